//! Metadata and keys, and a resource server that believes nothing but them.

use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};
use snaphook::record::Algorithm;

use crate::{
    realm::{ISSUER, Realm, SECRET, key},
    request::Request,
};

#[test]
fn a_resource_server_verifies_tokens_of_every_algorithm_with_the_jwks() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
        let realm = Realm::with(ISSUER, vec![key(algorithm, -60)]);
        realm.client("app", |record| record.audiences = vec!["https://a.test".to_owned()]);
        let server = realm.start(&[]);
        let token = server.token("app");

        let keys: JwkSet = serde_json::from_str(&server.send(&Request::get("/oauth/jwks")).body).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        let jwk = keys.find(header.kid.as_deref().unwrap()).unwrap();
        assert_eq!(jwk.common.key_algorithm.unwrap().to_string(), algorithm.as_str());
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&["https://a.test"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap();
        assert_eq!(claims.claims["namespace"], "ns", "{algorithm:?}");
    }
}

#[test]
fn keys_are_published_before_they_sign() {
    let (now, later) = (key(Algorithm::EdDSA, -60), key(Algorithm::ES256, 600));
    let kids = [now.kid.clone(), later.kid.clone()];
    let realm = Realm::with(ISSUER, vec![now, later]);
    realm.client("app", |_| {});
    let server = realm.start(&[]);
    let response = server.send(&Request::get("/oauth/jwks"));
    assert_eq!(response.header("cache-control"), Some("public, max-age=60"));
    let keys = response.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), kids);
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
    assert_eq!(jsonwebtoken::decode_header(server.token("app")).unwrap().kid.unwrap(), kids[0]);
}

#[test]
fn the_metadata_names_what_is_served_and_nothing_else() {
    let server = Realm::new();
    let server = server.start(&[]);
    let response = server.send(&Request::get("/.well-known/oauth-authorization-server"));
    assert_eq!(response.header("cache-control"), Some("public, max-age=60"));
    let expected = json!({
        "issuer": ISSUER,
        "token_endpoint": "https://issuer.test/oauth/token",
        "introspection_endpoint": "https://issuer.test/oauth/introspect",
        "jwks_uri": "https://issuer.test/oauth/jwks",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "access_token_signing_alg_values_supported": ["EdDSA"],
    });
    assert_eq!(response.json(), expected);
}

#[test]
fn an_issuer_with_a_path_is_served_with_and_without_it() {
    let realm = Realm::with("https://issuer.test/team/x", vec![key(Algorithm::EdDSA, -60)]);
    realm.client("app", |_| {});
    let server = realm.start(&[]);
    for path in ["/.well-known/oauth-authorization-server/team/x", "/.well-known/oauth-authorization-server"] {
        let metadata = server.send(&Request::get(path)).json();
        assert_eq!(metadata["issuer"], "https://issuer.test/team/x");
        assert_eq!(metadata["token_endpoint"], "https://issuer.test/team/x/oauth/token");
    }
    for path in ["/oauth/token", "/team/x/oauth/token"] {
        let request = Request::form(path, &[("grant_type", "client_credentials")]).basic("ns.app", SECRET);
        assert_eq!(server.send(&request).status, 200, "{path}");
    }
    assert_eq!(server.send(&Request::get("/team/x/oauth/jwks")).status, 200);
    assert_eq!(server.send(&Request::get("/team/x/oauth/token")).header("allow"), Some("POST"));
    for path in ["/.well-known/oauth-authorization-server/other", "/other/oauth/jwks", "/team/x/"] {
        assert_eq!(server.send(&Request::get(path)).status, 404, "{path}");
    }
}

#[test]
fn other_paths_and_methods_are_refused_in_json() {
    let realm = Realm::new();
    let server = realm.start(&[]);
    for path in ["/", "/oauth", "/oauth/token/", "/oauth/revoke", "/hooks/x", "/metrics", "/livez", "/%00", "//"] {
        let response = server.send(&Request::get(path));
        assert_eq!((response.status, response.error().as_str()), (404, "not_found"), "{path}");
    }
    for path in ["/oauth/jwks", "/.well-known/oauth-authorization-server"] {
        let head = server.send(&Request::new("HEAD", path));
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), server.send(&Request::get(path)).header("content-length"));
        let response = server.send(&Request::new("POST", path));
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")), "{path}");
        assert_eq!(response.error(), "invalid_request");
    }
}
