//! Flow 3, pure: which headers of the sender go on to the receiver.

use hyper::{
    HeaderMap,
    header::{CONNECTION, HeaderValue},
};

use super::inject::{folded, reserved};
use crate::record::endpoint::Verification;

/// What senders prove themselves with. It is meant for this server, not for the receiver, whatever the endpoint verifies now: a
/// stored message may be older than the last edit.
const CREDENTIALS: [&str; 16] = [
    "api-key",
    "apikey",
    "authorization",
    "stripe-signature",
    "svix-signature",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-gitlab-token",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-shopify-hmac-sha256",
    "x-slack-signature",
    "x-twilio-signature",
    "x-zm-signature",
];

/// The sender's headers without those for this hop alone (RFC 9110, section 7.6.1), those about the way here, those that say how long
/// the body is and for whom, and the sender's credentials.
///
/// Used when a message is stored, so that no credential gets into the queue, and again for each call.
#[must_use]
pub fn passed_on(sender: &HeaderMap, verification: &Verification) -> HeaderMap {
    let dropped = dropped_here(sender, verification);
    let goes_on = |name: &str| {
        let name = folded(name);
        !is_of_this_hop(&name) && !CREDENTIALS.contains(&name.as_str()) && !dropped.contains(&name)
    };
    sender
        .iter()
        .filter(|(name, _)| goes_on(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Names that only this request or this endpoint knows to be no business of the receiver.
fn dropped_here(sender: &HeaderMap, verification: &Verification) -> Vec<String> {
    let connection = sender.get_all(CONNECTION).iter().filter_map(|value| HeaderValue::to_str(value).ok());
    let named = connection.flat_map(|value| value.split(',')).map(|name| folded(name.trim()));
    let signature = match verification {
        Verification::Hmac(hmac) => Some(folded(&hmac.header)),
        _ => None,
    };
    named.chain(signature).collect()
}

/// What users may not set either, but for what describes the body itself.
fn is_of_this_hop(folded: &str) -> bool {
    match reserved(folded) {
        Some("content-*") => folded == "content-length",
        Some(_) => true,
        None => matches!(folded, "user-agent" | "x-real-ip"),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;
    use crate::record::endpoint::{Hmac, HmacAlgorithm, HmacEncoding};

    fn passed(headers: &[(&str, &str)], verification: &Verification) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let passed = passed_on(&map, verification);
        passed.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    fn gone(names: &[&str], verification: &Verification) {
        for name in names {
            assert_eq!(passed(&[(name, "x")], verification), [""; 0], "{name}");
        }
    }

    #[test]
    fn what_describes_the_message_goes_on() {
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("x-github-event", "push"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ];
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(passed(&headers, &Verification::None), lines);
    }

    #[test]
    fn what_is_for_this_hop_does_not() {
        let names = [
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "HTTP2-Settings",
            "Expect",
            "Host",
            "Content-Length",
            "content_length",
            "Via",
            "Forwarded",
            "X-Forwarded-For",
            "X-Real-IP",
            "Accept-Encoding",
            "User-Agent",
            "webhook-id",
        ];
        gone(&names, &Verification::None);
    }

    #[test]
    fn what_connection_names_does_not() {
        let headers = [
            ("connection", "close, X-Hop"),
            ("connection", "x_other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("x-stays", "3"),
        ];
        assert_eq!(passed(&headers, &Verification::None), ["x-stays: 3"]);
    }

    #[test]
    fn credentials_and_signatures_of_the_sender_do_not() {
        let names = [
            "Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "x_api_key",
            "X-Hub-Signature",
            "X-Hub-Signature-256",
            "X-Gitlab-Token",
            "Stripe-Signature",
            "X-Slack-Signature",
            "X-Shopify-Hmac-Sha256",
            "webhook-signature",
        ];
        gone(&names, &Verification::GitHub);
        let hmac = Hmac {
            header: "X-Our-Signature".to_owned(),
            algorithm: HmacAlgorithm::SHA256,
            encoding: HmacEncoding::Hex,
            prefix: String::new(),
            signed_content: "{body}".to_owned(),
            timestamp_header: None,
            id_header: None,
            tolerance_seconds: 300,
        };
        gone(&["x-our-signature"], &Verification::Hmac(hmac));
        assert_eq!(passed(&[("x-our-signature", "x")], &Verification::GitHub), ["x-our-signature: x"]);
    }
}
