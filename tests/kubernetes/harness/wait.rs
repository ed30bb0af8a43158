//! Waiting for something that comes to be: often looked at, with a deadline that only a failure meets.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Generous: the machine may be busy, and Kubernetes' own controllers back off for up to a minute.
pub(crate) const SOON: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(40);

/// Waits until `condition` holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    until_some(what, || async { condition().await.then_some(()) }).await;
}

/// Waits until there is something.
pub(crate) async fn until_some<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// As [`until`], for a condition that changes something of its own.
pub(crate) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !check().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}
