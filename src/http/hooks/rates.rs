//! Flow 3: how many posts a second an endpoint takes, where the operator limits that.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};

/// Limits of endpoints that had a post. As many as there are endpoints with a limit.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<Box<str>, Rate>>);

#[derive(Debug)]
struct Rate {
    per_second: NonZeroU32,
    limiter: Arc<DefaultDirectRateLimiter>,
}

impl Rates {
    /// Counts a post, or tells how long to wait. `uid` is that of the endpoint's resource.
    pub(super) fn admit(&self, uid: &str, per_second: Option<u32>) -> Result<(), Duration> {
        let Some(per_second) = per_second.and_then(NonZeroU32::new) else { return Ok(()) };
        let checked = self.limiter(uid, per_second).check();
        checked.map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }

    fn limiter(&self, uid: &str, per_second: NonZeroU32) -> Arc<DefaultDirectRateLimiter> {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = rates.get(uid).filter(|rate| rate.per_second == per_second);
        if let Some(rate) = known {
            return rate.limiter.clone();
        }
        let limiter = Arc::new(RateLimiter::direct(Quota::per_second(per_second)));
        rates.insert(uid.into(), Rate { per_second, limiter: limiter.clone() });
        limiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_its_own_rate_and_a_new_one_counts_at_once() {
        let rates = Rates::default();
        assert!(rates.admit("a", Some(1)).is_ok());
        assert!(rates.admit("a", Some(1)).is_err());
        assert!(rates.admit("b", Some(1)).is_ok());
        assert!(rates.admit("a", Some(5)).is_ok());
        assert!(rates.admit("a", None).is_ok());
    }
}
