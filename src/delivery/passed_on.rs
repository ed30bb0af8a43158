//! Flow 3, pure: which headers of the sender go on to the receiver.

use hyper::{
    HeaderMap,
    header::{CONNECTION, HeaderName, HeaderValue},
};

use super::inject::{folded, reserved};

/// The sender's headers without those for this hop alone (RFC 9110, section 7.6.1), those about the way here, and those that say how
/// long the body is and for whom. For messages that are to be stored: the sender's credentials are gone by then, as the handler drops
/// them.
pub fn passed_on(sender: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let connection = sender.get_all(CONNECTION).iter().filter_map(|value| HeaderValue::to_str(value).ok());
    let named: Vec<_> = connection.flat_map(|value| value.split(',')).map(|name| folded(name.trim())).collect();
    sender.iter().filter(move |(name, _)| {
        let name = folded(name.as_str());
        !is_of_this_hop(&name) && !named.contains(&name)
    })
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
    use super::*;

    fn passed(headers: &[(&str, &str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        passed_on(&map).map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
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
        assert_eq!(passed(&headers), lines);
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
            "Cookie",
            "Set-Cookie",
        ];
        for name in names {
            assert_eq!(passed(&[(name, "x")]), [""; 0], "{name}");
        }
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
        assert_eq!(passed(&headers), ["x-stays: 3"]);
    }
}
