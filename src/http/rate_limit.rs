//! Flow 2: how many requests one source address may send, where that is configured.

use std::{
    hash::{BuildHasher as _, RandomState},
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

/// Sources that are told apart at most. Beyond that some share an allowance, and which ones nobody outside can know;
/// so memory has a bound (about 8 MiB), however many addresses a flood has.
const BUCKETS: u64 = 1 << 18;

/// A limit for every source address.
#[derive(Debug)]
pub(super) struct RateLimit {
    limiter: DefaultKeyedRateLimiter<u64>,
    clock: DefaultClock,
    trusted: Vec<IpNet>,
    hasher: RandomState,
}

impl RateLimit {
    /// As many requests a second, and as many at once. `trusted` are the proxies whose `X-Forwarded-For` is believed.
    pub(super) fn new(per_second: NonZeroU32, trusted: Vec<IpNet>) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(per_second));
        Self { limiter, clock: DefaultClock::default(), trusted, hasher: RandomState::new() }
    }

    pub(super) fn admit(&self, parts: &Parts) -> Result<(), HttpError> {
        let Some(Peer(peer)) = parts.extensions.get() else { return Ok(()) };
        let source = network(source::address(*peer, &parts.headers, &self.trusted));
        let checked = self.limiter.check_key(&self.bucket(source));
        checked.map_err(|until| HttpError::RateLimited(until.wait_time_from(self.clock.now())))
    }

    fn bucket(&self, source: IpAddr) -> u64 {
        self.hasher.hash_one(source) % BUCKETS
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

    fn admit(limit: &RateLimit, address: IpAddr) -> bool {
        let request = Request::builder().extension(Peer(address)).body(()).unwrap();
        limit.admit(&request.into_parts().0).is_ok()
    }

    #[test]
    fn a_source_over_its_limit_is_refused_and_others_are_not() {
        let limit = RateLimit::new(NonZeroU32::new(2).unwrap(), vec![]);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let [v4, v6] = [address("192.0.2.1"), address("2001:db8::")];
        assert!(admit(&limit, v4) && admit(&limit, address("::ffff:192.0.2.1")));
        assert!(!admit(&limit, v4));
        let others = (2..=9).map(|last| IpAddr::from([192, 0, 2, last]));
        assert!(others.filter(|&other| admit(&limit, other)).count() >= 6, "a shared bucket is rare");
        let limit = RateLimit::new(NonZeroU32::new(2).unwrap(), vec![]);
        assert!(admit(&limit, v6) && admit(&limit, address("2001:db8::2")));
        assert!(!admit(&limit, address("2001:db8::3")), "one /64 is one source");
    }

    #[test]
    fn memory_has_a_bound_however_many_sources_there_are() {
        let limit = RateLimit::new(NonZeroU32::new(2).unwrap(), vec![]);
        let sources = 2 * u32::try_from(BUCKETS).unwrap();
        let admitted = (0..sources).filter(|&source| admit(&limit, IpAddr::from(source.to_be_bytes()))).count();
        assert!(limit.limiter.len() as u64 <= BUCKETS);
        assert!(admitted > sources as usize / 2, "most are still served: {admitted}");
    }
}
