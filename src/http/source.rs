//! Flow 2: from which address a request comes, through proxies that are trusted.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The right-most address that is no trusted proxy's: each proxy appends the one that it saw, and anything left of an
/// untrusted address may be invented.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut source = peer.to_canonical();
    let values = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::to_str);
    let lists: Vec<&str> = values.map(Result::unwrap_or_default).collect();
    for entry in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        if !trusted.iter().any(|net| net.contains(&source)) {
            break;
        }
        let Some(next) = parse(entry.trim()) else { break };
        source = next;
    }
    source
}

/// Some proxies add the port.
fn parse(entry: &str) -> Option<IpAddr> {
    let address = entry.parse().ok().or_else(|| entry.parse().ok().map(|socket: SocketAddr| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, headers: &[&str], trusted: &[&str]) -> String {
        let headers = headers.iter().map(|&value| (FORWARDED_FOR.parse().unwrap(), value.parse().unwrap()));
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        address(peer.parse().unwrap(), &headers.collect(), &trusted).to_string()
    }

    #[test]
    fn a_header_from_anyone_is_not_believed() {
        assert_eq!(found("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(found("192.0.2.1", &["198.51.100.7"], &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn the_right_most_untrusted_address_counts() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(found("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.0.0.2"], &trusted), "198.51.100.7");
        assert_eq!(found("10.0.0.1", &["6.6.6.6", "198.51.100.7:4711,10.0.0.2"], &trusted), "198.51.100.7");
        assert_eq!(found("::ffff:10.0.0.1", &["[2001:db8::1]:80"], &trusted), "2001:db8::1");
    }

    #[test]
    fn without_an_address_the_last_known_one_counts() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(found("10.0.0.1", &[], &trusted), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &["unknown"], &trusted), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &["198.51.100.7, , 10.0.0.3"], &trusted), "10.0.0.3");
    }
}
