//! Flow 2, pure: issues a token to a client that has authenticated.

use std::{borrow::Cow, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::{
    client::Client,
    form::Form,
    keys::{KeySet, KeysError},
    refusal::{Code, Refusal},
};

/// What the answer says beside the token.
#[derive(Debug)]
pub struct Grant<'a> {
    /// Life of the token in seconds.
    pub expires_in: i64,
    /// The granted scopes, separated by spaces, as a JSON string with its quotes.
    pub scope: Cow<'a, str>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request is to blame.
    #[error("refused: {}", .0.code.as_str())]
    Refused(Refusal),
    /// The realm has no key to sign with.
    #[error("the realm has no signing key")]
    NoKey,
    /// A key did not do what it must.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl From<Refusal> for IssueError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Appends to `token` the token that the form asks for. `jti` must be random.
///
/// # Errors
/// What is wrong with the request, in the order grant, resource, scope; or with the keys.
pub fn issue<'a>(
    client: &'a Client,
    keys: &KeySet,
    form: &Form<'_>,
    now: Timestamp,
    jti: [u8; 16],
    token: &mut String,
) -> Result<Grant<'a>, IssueError> {
    check_grant(form)?;
    let audience = client.audiences.grant(form.all("resource"), keys.issuer(), keys.issuer_json())?;
    let scope = client.scopes.grant(form.get("scope"))?;
    let key = keys.signing(now).ok_or(IssueError::NoKey)?;

    let (iat, nanos) = (now.as_second(), now.subsec_nanosecond());
    let exp = iat.saturating_add(i64::from(client.record.token_lifetime_seconds));
    let exp = client.record.expires_at.map_or(exp, |end| exp.min(end.as_second()));
    let issuer = keys.issuer_json();
    let mut claims = String::with_capacity(512);
    // Every part is JSON already. Writing to a string cannot fail.
    let _ = write!(
        claims,
        r#"{{"iss":{issuer},{},"aud":{audience},"scope":{scope},"iat":{iat},"iat_nanos":{nanos},"exp":{exp},"jti":""#,
        client.claims
    );
    URL_SAFE_NO_PAD.encode_string(jti, &mut claims);
    claims.push_str("\"}");
    key.sign(claims.as_bytes(), token)?;
    Ok(Grant { expires_in: exp - iat, scope })
}

fn check_grant(form: &Form<'_>) -> Result<(), Refusal> {
    match form.get("grant_type") {
        Some("client_credentials") => Ok(()),
        None => Err(Refusal::new(
            Code::InvalidRequest,
            "grant_type is missing: send grant_type=client_credentials in the body",
        )),
        Some(_) => {
            Err(Refusal::new(Code::UnsupportedGrantType, "the only grant_type that is served is client_credentials"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{
        Audience, Claims,
        test::{ISSUER, at, client, keys},
        verify,
    };

    fn claims(client: &Client, body: &str) -> Claims {
        let (keys, mut token) = (keys(|_| {}), String::new());
        let form = Form::parse(body.as_bytes()).ok().unwrap();
        let grant = issue(client, &keys, &form, at(1_000), [1; 16], &mut token).unwrap();
        let claims = verify(&keys, &token, at(1_000)).unwrap().claims().clone();
        assert_eq!(claims.exp - claims.iat, grant.expires_in);
        assert_eq!(format!("\"{}\"", claims.scope), grant.scope);
        claims
    }

    #[test]
    fn a_token_says_all_that_rfc_9068_wants() {
        let client = client("ns.\"app\\", |_| {});
        let claims = claims(&client, "grant_type=client_credentials&scope=orders:read");
        let Claims { iss, sub, client_id, aud, scope, iat, iat_nanos, exp, jti, namespace, r#gen } = claims;
        assert_eq!((iss.as_str(), sub.as_str(), client_id.as_str()), (ISSUER, "ns.\"app\\", "ns.\"app\\"));
        assert_eq!((aud, scope.as_str()), (Audience::One(ISSUER.to_owned()), "orders:read"));
        assert_eq!((iat, iat_nanos, exp), (1_000, 0, 1_300));
        assert_eq!((jti.as_str(), namespace.as_str()), ("AQEBAQEBAQEBAQEBAQEBAQ", "ns"));
        assert_eq!(r#gen, client.record.generation.as_str());
    }

    #[test]
    fn several_resources_become_an_array() {
        let audiences = ["https://a.test", "https://b.test"].map(str::to_owned).to_vec();
        let client = client("ns.app", |record| record.audiences.clone_from(&audiences));
        let body = "grant_type=client_credentials&resource=https://a.test&resource=https%3A%2F%2Fb.test";
        assert_eq!(claims(&client, body).aud, Audience::Several(audiences));
    }

    #[test]
    fn a_token_ends_with_its_credential() {
        let client = client("ns.app", |record| record.expires_at = Some(at(1_007)));
        assert_eq!(claims(&client, "grant_type=client_credentials").exp, 1_007);
    }

    #[test]
    fn the_order_is_grant_resource_scope() {
        let refused = |body: &str| {
            let (keys, client) = (keys(|_| {}), client("ns.app", |_| {}));
            let form = Form::parse(body.as_bytes()).ok().unwrap();
            match issue(&client, &keys, &form, at(0), [0; 16], &mut String::new()) {
                Err(IssueError::Refused(refusal)) => refusal.code,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused("resource=x&scope=x"), Code::InvalidRequest);
        assert_eq!(refused("grant_type=&resource=x&scope=x"), Code::InvalidRequest);
        assert_eq!(refused("grant_type=password&resource=x&scope=x"), Code::UnsupportedGrantType);
        assert_eq!(refused("grant_type=client_credentials&resource=x&scope=x"), Code::InvalidTarget);
        assert_eq!(refused("grant_type=client_credentials&scope=x"), Code::InvalidScope);
    }
}
