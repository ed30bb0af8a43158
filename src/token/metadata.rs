//! Flow 2, pure: what this server can do (RFC 8414), and under which paths.

use jiff::Timestamp;

use super::{claims::json_string, keys::KeySet};

/// Path of the token endpoint, below the issuer.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Path of the introspection endpoint, below the issuer.
pub const INTROSPECTION_PATH: &str = "/oauth/introspect";
/// Path of the JWKS, below the issuer.
pub const JWKS_PATH: &str = "/oauth/jwks";
/// Where requests through a proxy are checked, below the issuer: the name of a policy comes behind it. In no metadata: it is for
/// proxies that somebody configured, and RFC 8414 has no word for it.
pub const FORWARD_AUTH_PATH: &str = "/oauth/forward-auth/";
/// Path of the metadata; an issuer's own path comes behind it.
pub const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// The metadata document. It names only what is served.
#[must_use]
pub fn metadata(keys: &KeySet, now: Timestamp) -> String {
    let base = keys.issuer().trim_end_matches('/');
    let endpoint = |path: &str| json_string(&format!("{base}{path}"));
    let methods = r#"["client_secret_basic","client_secret_post"]"#;
    let algorithms: Vec<String> = keys.algorithms(now).into_iter().map(json_string).collect();
    format!(
        concat!(
            r#"{{"issuer":{issuer},"token_endpoint":{token},"introspection_endpoint":{introspection},"jwks_uri":{jwks},"#,
            r#""grant_types_supported":["client_credentials"],"response_types_supported":[],"#,
            r#""token_endpoint_auth_methods_supported":{methods},"#,
            r#""introspection_endpoint_auth_methods_supported":{methods},"#,
            r#""access_token_signing_alg_values_supported":[{algorithms}]}}"#
        ),
        issuer = keys.issuer_json(),
        token = endpoint(TOKEN_PATH),
        introspection = endpoint(INTROSPECTION_PATH),
        jwks = endpoint(JWKS_PATH),
        methods = methods,
        algorithms = algorithms.join(","),
    )
}
