//! Every preset against its provider's own example, or one that openssl made, and all the ways to get it wrong.

mod declared;
mod examples;
mod garbage;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use self::examples::{Example, examples};
use super::{Incoming, Rejection, Verdict, Verified, Verifier};
use crate::record::{
    Confidential,
    endpoint::{EndpointSecret, TokenRequirements, Verification},
};

const WRONG: &str = "whsec_d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc=";
/// RFC 8032, section 7.1, test 2.
const WRONG_PUBLIC_KEY: &str = "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn secret(text: &str, not_after: Option<i64>) -> EndpointSecret {
    EndpointSecret {
        value: Confidential::from(text.to_owned()),
        generated: false,
        created_at: at(0),
        not_after: not_after.map(at),
        nonce: None,
    }
}

fn header_map<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> HeaderMap {
    let header = |(name, value): (&str, &[u8])| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap())
    };
    headers.into_iter().fold(HeaderMap::new(), |mut map, entry| {
        let (name, value) = header(entry);
        map.append(name, value);
        map
    })
}

/// The delivery's id, if the request is good.
fn judge(
    verification: &Verification,
    secrets: &[EndpointSecret],
    headers: &HeaderMap,
    body: &str,
    now: i64,
) -> Result<Option<String>, Rejection> {
    let verifier = Verifier::new(verification, secrets).unwrap();
    let incoming = Incoming { headers, body: body.as_bytes() };
    match verifier.verify(&incoming, at(now))? {
        Verdict::Verified(Verified { delivery_id }) => Ok(delivery_id),
        Verdict::CheckToken { .. } => panic!("nobody has looked at the token"),
    }
}

impl Example {
    fn headers(&self) -> HeaderMap {
        header_map(self.headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    /// One that could be used for the same signatures.
    fn other_secret(&self) -> &'static str {
        if self.secret.starts_with("whpk_") { WRONG_PUBLIC_KEY } else { WRONG }
    }

    fn judge_with(&self, secrets: &[EndpointSecret]) -> Result<Option<String>, Rejection> {
        judge(&self.verification, secrets, &self.headers(), self.body, self.time)
    }

    fn judge(&self) -> Result<Option<String>, Rejection> {
        self.judge_with(&[secret(self.secret, None)])
    }
}

#[test]
fn what_the_provider_signed_is_accepted() {
    for example in examples() {
        assert_eq!(example.judge(), Ok(example.id.map(str::to_owned)), "{}", example.name);
    }
}

#[test]
fn another_secret_is_refused() {
    for example in examples() {
        assert_eq!(
            example.judge_with(&[secret(example.other_secret(), None)]),
            Err(Rejection::BadSignature),
            "{}",
            example.name
        );
    }
}

#[test]
fn another_body_is_refused_where_it_is_signed() {
    for example in examples().into_iter().filter(|example| example.signs_body) {
        for body in [&example.body[1..], "", " "] {
            assert_eq!(Example { body, ..example.clone() }.judge(), Err(Rejection::BadSignature), "{}", example.name);
        }
    }
}

#[test]
fn every_header_that_is_needed_is_missed() {
    for example in examples() {
        for missing in example.needed {
            let mut less = example.clone();
            less.headers.retain(|(name, _)| name != missing);
            let expected = if *missing == example.needed[0] { Rejection::NoSignature } else { Rejection::Malformed };
            assert_eq!(less.judge(), Err(expected), "{} without {missing}", example.name);
        }
    }
}

#[test]
fn a_header_that_is_needed_must_not_be_there_twice() {
    for example in examples() {
        for (name, value) in example.headers.clone() {
            let mut more = example.clone();
            more.headers.push((name, value));
            let is_list = matches!(name, "webhook-signature");
            match more.judge() {
                Ok(_) => assert!(is_list || !example.needed.contains(&name), "{} with {name} twice", example.name),
                Err(rejection) => assert_eq!(rejection, Rejection::Malformed, "{} with {name} twice", example.name),
            }
        }
    }
}

#[test]
fn a_time_too_far_from_now_is_refused_both_ways() {
    for example in examples() {
        for (distance, is_fresh) in
            [(-300, true), (300, true), (-301, false), (301, false), (-1_400_000_000, false), (250_000_000_000, false)]
        {
            let judged = Example { time: example.time + distance, ..example.clone() }.judge();
            let expected = if is_fresh || !example.signs_time {
                Ok(example.id.map(str::to_owned))
            } else {
                Err(Rejection::StaleTimestamp)
            };
            assert_eq!(judged, expected, "{} at {distance}", example.name);
        }
    }
}

#[test]
fn any_secret_that_still_counts_will_do() {
    for example in examples() {
        let (good, wrong) = (example.secret, example.other_secret());
        let is_ok = |secrets: &[EndpointSecret]| example.judge_with(secrets).is_ok();
        assert!(is_ok(&[secret(good, Some(example.time + 1)), secret(wrong, None)]), "{}", example.name);
        assert!(is_ok(&[secret(wrong, None), secret(good, None)]), "{}", example.name);
        assert!(is_ok(&[secret(wrong, Some(example.time)), secret(good, None)]), "{}", example.name);
    }
}

#[test]
fn a_secret_ends_when_it_says() {
    for example in examples() {
        let over = secret(example.secret, Some(example.time));
        assert_eq!(example.judge_with(std::slice::from_ref(&over)), Err(Rejection::NoSecret), "{}", example.name);
        let judged = example.judge_with(&[over, secret(example.other_secret(), None)]);
        assert_eq!(judged, Err(Rejection::BadSignature), "{}", example.name);
        assert_eq!(example.judge_with(&[]), Err(Rejection::NoSecret), "{}", example.name);
    }
}

#[test]
fn nothing_shows_a_secret() {
    for example in examples() {
        let verifier = Verifier::new(&example.verification, &[secret(example.secret, None)]).unwrap();
        let shown = format!("{verifier:?}");
        let text = example.secret.trim_start_matches("whsec_").trim_start_matches("whpk_");
        assert!(!shown.contains(text), "{}: {shown}", example.name);
    }
}

#[test]
fn none_takes_everything_and_an_app_credential_is_left_to_the_token_check() {
    let headers = header_map([("authorization", b"bearer  abc.def ".as_slice())]);
    let incoming = Incoming { headers: &headers, body: b"x" };
    let open = Verifier::new(&Verification::None, &[]).unwrap();
    assert_eq!(open.verify(&incoming, at(0)), Ok(Verdict::Verified(Verified::default())));

    let scopes = vec!["hooks:post".to_owned()];
    let required = TokenRequirements { scopes, audience: None, clients: vec![] };
    let token = Verifier::new(&Verification::AppCredential(required.clone()), &[]).unwrap();
    let expected = Verdict::CheckToken { token: "abc.def", required: &required };
    assert_eq!(token.verify(&incoming, at(0)), Ok(expected));
    for (values, expected) in [
        (vec![], Rejection::NoSignature),
        (vec!["Basic abc"], Rejection::Malformed),
        (vec!["Bearer "], Rejection::Malformed),
        (vec!["Bearer"], Rejection::Malformed),
        (vec!["Bearer \u{e9}"], Rejection::Malformed),
        (vec!["Bearer a", "Bearer b"], Rejection::Malformed),
    ] {
        let bytes = |text: &&str| text.chars().map(|char| char as u8).collect::<Vec<u8>>();
        let values: Vec<Vec<u8>> = values.iter().map(bytes).collect();
        let headers = header_map(values.iter().map(|value| ("authorization", value.as_slice())));
        let incoming = Incoming { headers: &headers, body: b"x" };
        assert_eq!(token.verify(&incoming, at(0)), Err(expected), "{values:?}");
    }
}

#[test]
fn where_the_proof_is_and_what_a_refusal_asks_for_is_known() {
    let basic = Verification::Basic { username: "ops".to_owned() };
    let required = TokenRequirements { scopes: vec!["a".to_owned()], audience: None, clients: vec![] };
    let token = Verification::AppCredential(required);
    for (verification, headers, challenge) in [
        (Verification::None, vec![], None),
        (Verification::GitHub, vec!["x-hub-signature-256"], None),
        (Verification::GitLab, vec!["webhook-signature", "x-gitlab-token"], None),
        (basic, vec!["authorization"], Some(r#"Basic realm="webhook", charset="UTF-8""#)),
        (Verification::Bearer, vec!["authorization"], Some(r#"Bearer realm="webhook""#)),
        (token, vec!["authorization"], Some(r#"Bearer realm="webhook""#)),
    ] {
        let verifier = Verifier::new(&verification, &[]).unwrap();
        assert_eq!(verifier.proof_headers().collect::<Vec<_>>(), headers, "{verification:?}");
        assert_eq!(verifier.challenge(), challenge, "{verification:?}");
    }
}
