//! Flow 3, pure: what senders ask before they send events. None of it is a message.
//!
//! The caller's text is echoed only in few characters and short, as plain text that no browser takes for anything else.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use serde::Deserialize;

use crate::record::endpoint::{HandlerType, Verification};

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const REQUEST_RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// Longer than any handshake; so events are not parsed here.
const MAX_BODY: usize = 4096;
/// Twice what providers send.
const MAX_CHALLENGE: usize = 128;
/// The longest name of the DNS (RFC 1035, section 2.3.4).
const MAX_ORIGIN: usize = 253;

/// The answer to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of the protocol.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: String,
}

impl Answer {
    fn new(mut headers: Vec<(HeaderName, HeaderValue)>, body: String) -> Self {
        headers.push((CONTENT_TYPE, HeaderValue::from_static("text/plain")));
        headers.push((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        Self { status: StatusCode::OK, headers, body }
    }
}

/// The answer to a post that has been verified and is a handshake. To be asked only then: the provider signs it like an event.
///
/// Slack's `url_verification` (<https://docs.slack.dev/reference/events/url_verification>): the challenge comes back, if it is 1 to 128
/// characters of `A-Z a-z 0-9 + / _ = -`.
#[must_use]
pub fn after_verification(verification: &Verification, body: &[u8]) -> Option<Answer> {
    match verification {
        Verification::Slack => slack_challenge(body).map(|challenge| Answer::new(Vec::new(), challenge)),
        _ => None,
    }
}

#[derive(Deserialize)]
struct UrlVerification {
    #[serde(rename = "type")]
    type_: String,
    challenge: String,
}

fn slack_challenge(body: &[u8]) -> Option<String> {
    if body.len() > MAX_BODY {
        return None;
    }
    let UrlVerification { type_, challenge } = serde_json::from_slice(body).ok()?;
    (type_ == "url_verification" && may_be_echoed(&challenge)).then_some(challenge)
}

fn may_be_echoed(challenge: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/_=-".contains(&byte);
    (1..=MAX_CHALLENGE).contains(&challenge.len()) && challenge.bytes().all(is_allowed)
}

/// The answer to OPTIONS, if it asks for permission to send as CloudEvents' HTTP 1.1 Web Hooks 1.0.1, section 4 says
/// (<https://github.com/cloudevents/spec/blob/v1.0.1/http-webhook.md>). Otherwise OPTIONS is a wrong method.
///
/// The origin comes back if it is 1 to 253 characters of `A-Z a-z 0-9 . - _`, the characters of a DNS name. The rate is the wanted
/// one, in requests a minute, as far as `posts_per_second` allows it. Permission says nothing of who may post: every post is verified. A
/// `WebHook-Request-Callback` is never called: it could point anywhere.
#[must_use]
pub fn preflight(headers: &HeaderMap, handler: HandlerType, posts_per_second: Option<u32>) -> Option<Answer> {
    // It would refuse every event.
    if handler == HandlerType::Alertmanager {
        return None;
    }
    let origin = only(headers, &REQUEST_ORIGIN).filter(|origin| is_dns_name(origin))?;
    let allowed = [
        (ALLOW, HeaderValue::from_static("OPTIONS, POST")),
        (ALLOWED_ORIGIN, origin.clone()),
        (ALLOWED_RATE, rate(only(headers, &REQUEST_RATE), posts_per_second)?),
    ];
    Some(Answer::new(allowed.to_vec(), String::new()))
}

/// None where nothing at all is allowed: there is no number for that.
fn rate(wanted: Option<&HeaderValue>, posts_per_second: Option<u32>) -> Option<HeaderValue> {
    let Some(limit) = posts_per_second else { return Some(HeaderValue::from_static("*")) };
    let limit = u64::from(limit) * 60;
    // A wish that is no number is none.
    let wanted = wanted.and_then(|value| value.to_str().ok()?.parse().ok());
    let rate = wanted.filter(|&rate| rate > 0).map_or(limit, |rate: u64| rate.min(limit));
    (rate > 0).then(|| HeaderValue::from(rate))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_dns_name(origin: &HeaderValue) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    (1..=MAX_ORIGIN).contains(&origin.len()) && origin.as_bytes().iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(answer: &Answer, name: &str) -> Option<String> {
        let found = answer.headers.iter().find(|(header, _)| header.as_str() == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    }

    fn slack(body: &str) -> Option<String> {
        after_verification(&Verification::Slack, body.as_bytes()).map(|answer| answer.body)
    }

    #[test]
    fn the_challenge_of_slack_comes_back_as_plain_text() {
        // https://docs.slack.dev/reference/events/url_verification
        let body = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
        let answer = after_verification(&Verification::Slack, body.as_bytes()).unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
        assert_eq!(header(&answer, "content-type").as_deref(), Some("text/plain"));
        assert_eq!(header(&answer, "x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(after_verification(&Verification::GitHub, body.as_bytes()), None);
    }

    #[test]
    fn nothing_else_is_a_challenge() {
        let challenge = |text: &str| format!(r#"{{"type":"url_verification","challenge":"{text}"}}"#);
        assert!(slack(&challenge(&"x".repeat(128))).is_some());
        for body in [
            challenge(""),
            challenge(&"x".repeat(129)),
            challenge("<script>"),
            challenge("two words"),
            challenge("é"),
            challenge("a\\nb"),
            challenge("ok").replace("url_verification", "event_callback"),
            challenge("ok").replace("\"ok\"", "7"),
            challenge("ok").replace('}', &format!(",\"x\":\"{}\"}}", "x".repeat(MAX_BODY))),
            r#"{"type":"url_verification"}"#.to_owned(),
            "payload=%7B%7D".to_owned(),
            String::new(),
        ] {
            assert_eq!(slack(&body), None, "{body}");
        }
    }

    fn ask(headers: &[(&'static str, &str)], limit: Option<u32>) -> Option<[Option<String>; 2]> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let answer = preflight(&map, HandlerType::CloudEvents, limit)?;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
        assert_eq!(header(&answer, "allow").as_deref(), Some("OPTIONS, POST"));
        Some(["webhook-allowed-origin", "webhook-allowed-rate"].map(|name| header(&answer, name)))
    }

    #[test]
    fn permission_is_given_as_far_as_the_limit_goes() {
        const ORIGIN: (&str, &str) = ("webhook-request-origin", "eventemitter.example.com");
        const RATE: &str = "webhook-request-rate";
        for (headers, limit, rate) in [
            (vec![ORIGIN], None, "*"),
            (vec![ORIGIN, (RATE, "120")], None, "*"),
            (vec![ORIGIN], Some(10), "600"),
            (vec![ORIGIN, (RATE, "120")], Some(10), "120"),
            (vec![ORIGIN, (RATE, "601")], Some(10), "600"),
            (vec![ORIGIN, (RATE, "0")], Some(10), "600"),
            (vec![ORIGIN, (RATE, "-1")], Some(10), "600"),
            (vec![ORIGIN, (RATE, "99999999999999999999")], Some(10), "600"),
            (vec![ORIGIN, (RATE, "1")], Some(u32::MAX), "1"),
            (vec![ORIGIN], Some(u32::MAX), "257698037700"),
        ] {
            let expected = Some([Some(ORIGIN.1.to_owned()), Some(rate.to_owned())]);
            assert_eq!(ask(&headers, limit), expected, "{headers:?} {limit:?}");
        }
        assert_eq!(ask(&[ORIGIN], Some(0)), None);
    }

    #[test]
    fn without_a_sound_origin_options_is_a_wrong_method() {
        let long = "x".repeat(254);
        for origins in [vec![], vec![""], vec!["*"], vec!["a b"], vec!["a/b"], vec!["a", "b"], vec![long.as_str()]] {
            let headers: Vec<_> = origins.iter().map(|&origin| ("webhook-request-origin", origin)).collect();
            assert_eq!(ask(&headers, None), None, "{origins:?}");
        }
        let headers = [(REQUEST_ORIGIN, HeaderValue::from_static("a.test"))].into_iter().collect();
        assert_eq!(preflight(&headers, HandlerType::Alertmanager, None), None);
        assert!(preflight(&headers, HandlerType::Raw, None).is_some());
    }

    proptest! {
        #[test]
        fn whatever_is_asked_the_answer_is_bounded(
            origin in proptest::collection::vec(0x20..=0x7e_u8, 0..300),
            rate in proptest::collection::vec(0x80..=0xff_u8, 0..20),
            body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ORIGIN, HeaderValue::from_bytes(&origin).unwrap());
            headers.insert(REQUEST_RATE, HeaderValue::from_bytes(&rate).unwrap());
            if let Some(answer) = preflight(&headers, HandlerType::Json, Some(1)) {
                prop_assert!(answer.headers.iter().all(|(_, value)| value.len() <= MAX_ORIGIN));
            }
            prop_assert_eq!(after_verification(&Verification::Slack, &body), None);
        }
    }
}
