//! Flow 2, pure: who is asking. RFC 6749, section 2.3.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    client::{Client, Clients},
    form::Form,
    refusal::{Code, Refusal},
};
use crate::record::SecretHash;

/// A shorter secret could be guessed from its hash, so none is accepted, whatever the record says.
const MIN_SECRET: usize = 32;

/// Finds the client that a request comes from.
///
/// `authorization` are the values of all `Authorization` headers. An unknown client costs and answers what a wrong secret
/// does, and a revoked, suspended or expired one too.
///
/// # Errors
/// `invalid_request` for two methods at once or two names, otherwise `invalid_client`.
pub fn authenticate<'c, 'r>(
    clients: &'c Clients,
    authorization: impl Iterator<Item = &'r [u8]>,
    form: &'r Form<'_>,
    now: Timestamp,
) -> Result<&'c Arc<Client>, Refusal> {
    match method(authorization, form)? {
        Method::Basic(value) => {
            let pair = decode_basic(value).ok_or(Refusal::INVALID_CLIENT)?;
            let readings = Readings::of(&pair).ok_or(Refusal::INVALID_CLIENT)?;
            let mut readings = readings.named(form.get("client_id"))?;
            readings.find_map(|Pair { id, secret }| find(clients, id, secret, now)).ok_or(Refusal::INVALID_CLIENT)
        }
        Method::Post { secret } => {
            let id = form.get("client_id").unwrap_or_default();
            find(clients, id.as_bytes(), secret.as_bytes(), now).ok_or(Refusal::INVALID_CLIENT)
        }
        Method::Unsupported => Err(Refusal::INVALID_CLIENT),
    }
}

enum Method<'a> {
    Basic(&'a [u8]),
    Post { secret: &'a str },
    Unsupported,
}

fn method<'a>(authorization: impl Iterator<Item = &'a [u8]>, form: &'a Form<'_>) -> Result<Method<'a>, Refusal> {
    let header = authorization.map(|value| basic(value).map_or(Method::Unsupported, Method::Basic));
    let secret = form.get("client_secret").map(|secret| Method::Post { secret });
    let assertion = ["client_assertion", "client_assertion_type"].into_iter().find_map(|name| form.get(name));
    let mut methods = header.chain(secret).chain(assertion.map(|_| Method::Unsupported));
    match (methods.next(), methods.next()) {
        (None, _) => Ok(Method::Unsupported),
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Refusal::new(
            Code::InvalidRequest,
            "two methods of client authentication: send either an Authorization header or client_secret in the body",
        )),
    }
}

/// The credentials of the Basic scheme, whose name has no case.
fn basic(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(5)?;
    let credentials = rest.strip_prefix(b" ")?;
    scheme.eq_ignore_ascii_case(b"basic").then(|| credentials.trim_ascii())
}

fn decode_basic(credentials: &[u8]) -> Option<Wiped> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut pair = Zeroizing::new(Vec::with_capacity(credentials.len()));
    STANDARD.decode_vec(credentials, &mut pair).ok()?;
    Some(pair)
}

/// What an id and a secret in a Basic header may mean: as they stand, which authlib and requests-oauthlib send, or
/// form-encoded, which RFC 6749 wants.
struct Readings<'a> {
    raw: Pair<'a>,
    decoded: Option<(Wiped, Wiped)>,
}

type Wiped = Zeroizing<Vec<u8>>;

#[derive(Clone, Copy)]
struct Pair<'a> {
    id: &'a [u8],
    secret: &'a [u8],
}

impl<'a> Readings<'a> {
    fn of(pair: &'a [u8]) -> Option<Self> {
        let colon = pair.iter().position(|&byte| byte == b':')?;
        let (id, secret) = (&pair[..colon], &pair[colon + 1..]);
        let encoded = pair.iter().any(|byte| matches!(byte, b'%' | b'+'));
        let decoded = encoded.then(|| (form_decode(id), form_decode(secret)));
        Some(Self { raw: Pair { id, secret }, decoded })
    }

    /// The readings that agree with the `client_id` in the body.
    fn named(&self, client_id: Option<&str>) -> Result<impl Iterator<Item = Pair<'_>>, Refusal> {
        let decoded = self.decoded.as_ref().map(|(id, secret)| Pair { id, secret });
        let agrees = |pair: &Pair<'_>| client_id.is_none_or(|named| named.as_bytes() == pair.id);
        let [decoded, raw] = [decoded, Some(self.raw)].map(|reading| reading.filter(agrees));
        if decoded.is_none() && raw.is_none() {
            return Err(Refusal::new(
                Code::InvalidRequest,
                "client_id in the body is another one than in the Authorization header: leave it out there",
            ));
        }
        Ok(decoded.into_iter().chain(raw))
    }
}

fn form_decode(text: &[u8]) -> Wiped {
    let spaced: Wiped = Zeroizing::new(text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect());
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    decoded.extend(percent_encoding::percent_decode(&spaced));
    decoded
}

/// The one place where a secret is judged. All refusals take the same path: for an unknown client a hash
/// is compared for nothing.
fn find<'c>(clients: &'c Clients, id: &[u8], secret: &[u8], now: Timestamp) -> Option<&'c Arc<Client>> {
    let client = std::str::from_utf8(id).ok().and_then(|id| clients.get(id));
    let presented = SecretHash::of(secret);
    let accepted = if let Some(client) = client {
        client.accepts(&presented, now) & client.is_active(now)
    } else {
        std::hint::black_box(presented.matches(&presented));
        false
    };
    client.filter(|_| accepted & (secret.len() >= MIN_SECRET))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::test::{SECRET, at, client};

    /// A secret whose raw and decoded readings differ.
    const ODD: &str = "100%25+and+more-0123456789abcdefgh";

    fn clients() -> Clients {
        let odd = client("ns.odd", |record| record.secrets[0].hash = SecretHash::of(ODD.as_bytes()));
        let revoked = client("ns.revoked", |record| record.revoked = true);
        let suspended = client("ns.suspended", |record| record.suspended = true);
        let expired = client("ns.expired", |record| record.expires_at = Some(at(1_000)));
        let short = client("ns.short", |record| record.secrets[0].hash = SecretHash::of(b"short"));
        let rotated = client("ns.rotated", |record| {
            let mut old = record.secrets[0].clone();
            old.hash = SecretHash::of(ODD.as_bytes());
            old.not_after = Some(at(1_000));
            record.secrets.insert(0, old);
        });
        let all = [client("ns.app", |_| {}), odd, revoked, suspended, expired, short, rotated];
        all.into_iter().map(|client| (client.id().into(), Arc::new(client))).collect()
    }

    fn ask(headers: &[&str], body: &str, second: i64) -> Result<String, Code> {
        let form = Form::parse(body.as_bytes()).unwrap_or_else(|_| panic!("{body}"));
        let headers = headers.iter().map(|header| header.as_bytes());
        let clients = clients();
        let found = authenticate(&clients, headers, &form, at(second)).map(|client| client.id().to_owned());
        found.map_err(|refusal| refusal.code)
    }

    fn basic_header(id: &str, secret: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
    }

    #[test]
    fn basic_and_post_name_the_client() {
        let header = basic_header("ns.app", SECRET);
        assert_eq!(ask(&[&header], "", 5).unwrap(), "ns.app");
        assert_eq!(ask(&[&header.replace("Basic", "bAsIc")], "client_id=ns.app", 5).unwrap(), "ns.app");
        assert_eq!(ask(&[], &format!("client_id=ns.app&client_secret={SECRET}"), 5).unwrap(), "ns.app");
    }

    #[test]
    fn basic_is_read_raw_and_decoded() {
        assert_eq!(ask(&[&basic_header("ns.odd", ODD)], "", 5).unwrap(), "ns.odd");
        let encoded: String = form_urlencoded::byte_serialize(ODD.as_bytes()).collect();
        assert_eq!(ask(&[&basic_header("ns%2Eodd", &encoded)], "", 5).unwrap(), "ns.odd");
        assert_eq!(ask(&[&basic_header("ns%2Eodd", &encoded)], "client_id=ns.odd", 5).unwrap(), "ns.odd");
    }

    #[test]
    fn two_methods_or_two_names_are_an_invalid_request() {
        let header = basic_header("ns.app", SECRET);
        for (headers, body) in [
            (vec![header.as_str()], format!("client_secret={SECRET}")),
            (vec![&header, &header], String::new()),
            (vec![&header], "client_assertion=x".to_owned()),
            (vec![], format!("client_secret={SECRET}&client_id=ns.app&client_assertion_type=x")),
            (vec![&header], "client_id=ns.other".to_owned()),
        ] {
            assert_eq!(ask(&headers, &body, 5), Err(Code::InvalidRequest), "{body}");
        }
    }

    #[test]
    fn everything_else_is_an_invalid_client() {
        let wrong = "another-secret-of-more-than-32-characters";
        for (headers, body) in [
            (vec![], String::new()),
            (vec![], "client_id=ns.app".to_owned()),
            (vec![], "client_assertion=x".to_owned()),
            (vec![], format!("client_id=ns.app&client_secret={wrong}")),
            (vec![], format!("client_secret={SECRET}")),
            (vec![basic_header("ns.app", wrong)], String::new()),
            (vec![basic_header("ns.nobody", SECRET)], String::new()),
            (vec![basic_header("ns.revoked", SECRET)], String::new()),
            (vec![basic_header("ns.suspended", SECRET)], String::new()),
            (vec![basic_header("ns.short", "short")], String::new()),
            (vec!["Basic".to_owned()], String::new()),
            (vec!["Basic !!!".to_owned()], String::new()),
            (vec!["Basic bm8tY29sb24=".to_owned()], String::new()),
            (vec!["Bearer abc".to_owned()], String::new()),
            (vec![String::new()], String::new()),
            (vec!["Basi\u{e9}".to_owned()], String::new()),
        ] {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            assert_eq!(ask(&headers, &body, 5), Err(Code::InvalidClient), "{headers:?} {body}");
        }
    }

    #[test]
    fn a_client_and_a_secret_end_when_they_say() {
        assert!(ask(&[&basic_header("ns.expired", SECRET)], "", 999).is_ok());
        assert_eq!(ask(&[&basic_header("ns.expired", SECRET)], "", 1_000), Err(Code::InvalidClient));
        assert!(ask(&[&basic_header("ns.rotated", ODD)], "", 999).is_ok());
        assert_eq!(ask(&[&basic_header("ns.rotated", ODD)], "", 1_000), Err(Code::InvalidClient));
        assert!(ask(&[&basic_header("ns.rotated", SECRET)], "", 1_000).is_ok());
    }
}
