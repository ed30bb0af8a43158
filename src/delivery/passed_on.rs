//! Flow 3, pure: which headers of the sender go on to the receiver.

use hyper::{
    HeaderMap,
    header::{CONNECTION, HeaderName, HeaderValue},
};

use super::inject::{folded, reserved};

/// What a receiver believes because a proxy before it sets it: who the user is, which address and which certificate a call comes from,
/// which URL and method it really has. A `*` stands for any rest. A sender could otherwise say it of himself through Snaphook.
const VOUCHED_FOR: [&str; 47] = [
    "cf-access-*",
    "cf-connecting-*",
    "client-cert*", // RFC 9440
    "client-ip",
    "fastly-client-ip",
    "front-end-https",
    "proxy", // what CGI makes of it configures a program's own calls (https://httpoxy.org)
    "remote-*",
    "ssl-*",
    "tailscale-user-*",
    "true-client-ip",
    "x-access-token",
    "x-amz-cf-*",
    "x-amzn-mtls-*",
    "x-amzn-oidc-*",
    "x-appengine-*",
    "x-apisix-*",
    "x-arr-*",
    "x-auth-*",
    "x-authelia-*",
    "x-authenticated-*",
    "x-authentik-*",
    "x-client-*",
    "x-cluster-client-ip",
    "x-consumer-*",
    "x-credential-*",
    "x-envoy-*",
    "x-goog-authenticated-*",
    "x-goog-iap-*",
    "x-host",
    "x-http-method*",
    "x-method-override",
    "x-ms-client-principal*",
    "x-ms-token-*",
    "x-original-*",
    "x-originating-*",
    "x-pomerium-*",
    "x-proxy-*",
    "x-real-ip",
    "x-remote-*",
    "x-rewrite-*",
    "x-scheme",
    "x-snaphook-*",
    "x-ssl-*",
    "x-tls-*",
    "x-vouch-*",
    "x-webauth-*",
];

/// The sender's headers without those for this hop alone (RFC 9110, section 7.6.1), those about the way here, those that a proxy vouches
/// with, and those that say how long the body is and for whom. For messages that are to be stored: the sender's credentials are gone by
/// then, as the handler drops them.
pub fn passed_on(sender: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let connection = sender.get_all(CONNECTION).iter().filter_map(|value| HeaderValue::to_str(value).ok());
    let named: Vec<_> = connection.flat_map(|value| value.split(',')).map(|name| folded(name.trim())).collect();
    sender.iter().filter(move |(name, _)| {
        let name = folded(name.as_str());
        !is_of_this_hop(&name) && !is_vouched_for(&name) && !named.contains(&name)
    })
}

/// What users may not set either, but for what describes the body itself.
fn is_of_this_hop(folded: &str) -> bool {
    match reserved(folded) {
        Some("content-*") => folded == "content-length",
        Some(_) => true,
        None => folded == "user-agent",
    }
}

fn is_vouched_for(folded: &str) -> bool {
    VOUCHED_FOR.into_iter().any(|known| match known.strip_suffix('*') {
        Some(prefix) => folded.starts_with(prefix),
        None => folded == known,
    })
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
    fn what_a_proxy_vouches_with_does_not_in_any_spelling() {
        let names = [
            "X-Snaphook-Client-Id",
            "Remote-User",
            "X-Forwarded-User",
            "X-Forwarded-Email",
            "X-Forwarded-Groups",
            "X-Forwarded-Client-Cert",
            "X-Auth-Request-User",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-SSL-Client-S-DN",
            "SSL-Client-Cert",
            "Client-Cert",
            "X-Amzn-Oidc-Data",
            "True-Client-IP",
            "Proxy",
        ];
        for name in names {
            for spelling in [name.to_owned(), name.replace('-', "_"), name.replace('-', "."), name.replace('-', "!")] {
                assert_eq!(passed(&[(&spelling, "x")]), [""; 0], "{spelling}");
            }
        }
        let others = [("x-shopify-topic", "1"), ("x-request-id", "2"), ("x-remotely", "3"), ("clients", "4")];
        assert_eq!(passed(&others).len(), others.len());
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
