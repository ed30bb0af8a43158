//! Flow 2: how many requests one source address may send, where that is configured.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

use axum::http::request::Parts;
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use ipnet::IpNet;

use super::{error::HttpError, source};

/// The address at the other end of a connection; an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// A limit for every source address.
#[derive(Debug)]
pub(super) struct RateLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    trusted: Vec<IpNet>,
}

impl RateLimit {
    /// As many requests a second, and as many at once. `trusted` are the proxies whose `X-Forwarded-For` is believed.
    pub(super) fn new(per_second: NonZeroU32, trusted: Vec<IpNet>) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(per_second)), clock: DefaultClock::default(), trusted }
    }

    pub(super) fn admit(&self, parts: &Parts) -> Result<(), HttpError> {
        let Some(Peer(peer)) = parts.extensions.get() else { return Ok(()) };
        let key = network(source::address(*peer, &parts.headers, &self.trusted));
        let checked = self.limiter.check_key(&key);
        checked.map_err(|until| HttpError::RateLimited(until.wait_time_from(self.clock.now())))
    }

    /// Forgets the sources that have been quiet: without this, every address ever seen would stay in memory.
    pub(super) fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// One subscriber of IPv6 has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_source_over_its_limit_is_refused_and_others_are_not() {
        let limit = RateLimit::new(NonZeroU32::new(2).unwrap(), vec![]);
        let admit = |address: &str| {
            let request = Request::builder().extension(Peer(address.parse().unwrap())).body(()).unwrap();
            limit.admit(&request.into_parts().0).is_ok()
        };
        assert!(admit("192.0.2.1") && admit("::ffff:192.0.2.1"));
        assert!(!admit("192.0.2.1"));
        assert!(admit("192.0.2.2"));
        assert!(admit("2001:db8::1") && admit("2001:db8::2"));
        assert!(!admit("2001:db8::3"), "one /64 is one source");
        assert_eq!(limit.limiter.len(), 3);
    }
}
