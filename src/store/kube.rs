//! Flow 2: records from the API: list the record Secrets of one namespace, then watch them, for ever. Or, where rights are given by name, the
//! bundles of records, each with a list and a watch of its own.
//!
//! kube-runtime's watcher keeps bookmarks and reconnects to itself, and those are what proves, while nothing changes,
//! that the API server would still tell of a revocation. So this is a loop of our own.

mod error;
mod followed;
mod list;
mod scope;
mod watch;
mod wire;

use std::{
    error::Error as _,
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, Resource as _, core::Request};
use tokio::time::sleep;

use self::{error::SourceError, followed::Followed, scope::Scope, wire::Version};
use super::{Records, Store};

/// The longest watch. Where nothing changes, beginning a new one is what proves the API server: it sends bookmarks only
/// for versions later than the watch's own.
const LONGEST_WATCH: Duration = Duration::from_secs(20);
/// A list repairs what a watch has lost, should it ever lose something.
const RESYNC: Duration = Duration::from_mins(15);
/// Delays after failures; the jitter makes them up to twice as long.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(1))
    .without_max_times()
    .with_jitter();

/// Follows the records in `namespace` until it is dropped.
///
/// # Guarantees
/// Only what the API server says proves the store: an event, a bookmark, a complete list, a confirmed new watch that has
/// nothing to tell; and not before what it told is published. A list is published as a whole.
///
/// # Caveats
/// Failures are logged and tried again, always; who needs to know of them looks at [`Store::age`].
pub async fn run(client: Client, namespace: String, store: Arc<Store>, max_staleness: Duration) {
    let needs = store.needs();
    let followed = Arc::new(Followed::new(Records::new(needs), store, 1));
    Follower::new(client, &namespace, Scope::Labelled(needs), followed, max_staleness).run().await;
}

/// Follows the first `count` bundles of records in `namespace` until it is dropped.
///
/// # Guarantees
/// As those of [`run`]. The store is as fresh as the bundle of which the API server has said nothing for longest, and nothing is published
/// before each was listed.
///
/// # Caveats
/// As those of [`run`]. Changes of two bundles arrive one after the other.
pub async fn run_bundles(client: Client, namespace: String, count: u8, store: Arc<Store>, max_staleness: Duration) {
    let followed = Arc::new(Followed::new(Records::of_bundles(store.needs()), store, count.into()));
    let one = |index| {
        let scope = Scope::bundle(index, count);
        Follower::new(client.clone(), &namespace, scope, followed.clone(), max_staleness).run()
    };
    futures::future::join_all((0..count).map(one)).await;
}

/// In whole seconds, which is what the API server takes.
fn watch_time(max_staleness: Duration) -> Duration {
    Duration::from_secs((max_staleness / 3).min(LONGEST_WATCH).as_secs().max(1))
}

fn backoff() -> ExponentialBackoff {
    // Without a seed of their own all servers would come back at the same moments.
    BACKOFF.with_jitter_seed(rand::random()).build()
}

struct Follower {
    client: Client,
    secrets: Request,
    scope: Scope,
    followed: Arc<Followed>,
    /// Where the next watch begins. Without it a list comes first.
    position: Option<Position>,
    watch_time: Duration,
    backoff: ExponentialBackoff,
    failing: bool,
}

struct Position {
    version: Version,
    listed: Instant,
}

impl Follower {
    fn new(client: Client, namespace: &str, scope: Scope, followed: Arc<Followed>, max_staleness: Duration) -> Self {
        Self {
            client,
            secrets: Request::new(Secret::url_path(&(), Some(namespace))),
            scope,
            followed,
            position: None,
            watch_time: watch_time(max_staleness),
            backoff: backoff(),
            failing: false,
        }
    }

    async fn run(mut self) {
        loop {
            if let Err(error) = self.step().await {
                let delay = self.fail(&error);
                sleep(delay).await;
            }
        }
    }

    async fn step(&mut self) -> Result<(), SourceError> {
        match &self.position {
            Some(position) if position.listed.elapsed() < RESYNC => self.watch(position.version.clone()).await,
            _ => self.list().await,
        }
    }

    /// The API server said something at `received`, and it was taken over.
    fn prove(&mut self, received: Instant) {
        self.followed.prove(self.scope.index(), received);
        if self.failing {
            self.followed.recovered();
            self.failing = false;
            self.backoff = backoff();
        }
    }

    /// Notes a failure, and tells how long to wait.
    fn fail(&mut self, error: &SourceError) -> Duration {
        if error.wants_list() {
            self.position = None;
        }
        let cause = error.source().map(tracing::field::display);
        if self.failing || !self.followed.failed() {
            tracing::debug!(%error, cause, "still no word of records");
        } else {
            tracing::warn!(%error, cause, "records cannot be followed, trying again");
        }
        self.failing = true;
        self.backoff.next().unwrap_or(LONGEST_WATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_fits_into_the_staleness_bound_three_times() {
        for (max_staleness, expected) in [(300, 20), (60, 20), (59, 19), (30, 10), (3, 1), (1, 1), (0, 1)] {
            assert_eq!(watch_time(Duration::from_secs(max_staleness)), Duration::from_secs(expected));
        }
    }

    #[test]
    fn delays_grow_to_two_seconds_at_most_and_never_end() {
        let delays: Vec<Duration> = backoff().take(1_000).collect();
        assert_eq!(delays.len(), 1_000);
        assert!(delays[0] <= Duration::from_millis(100));
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(2)), "{delays:?}");
        assert!(delays[999] >= Duration::from_secs(1));
    }

    #[test]
    fn servers_do_not_wait_in_step() {
        assert_ne!(backoff().take(5).collect::<Vec<_>>(), backoff().take(5).collect::<Vec<_>>());
    }
}
