//! The crash sweep: a controller that is killed before each of its writes in turn, and after the last, leaves nothing that the next
//! one does not bring to the same end; and at no moment does an app hold what the server refuses or does not send.
//!
//! A kill after a write needs no run of its own: what it leaves is what a kill before the next one leaves.

mod app_credential;
mod end;
mod webhook;
mod webhook_credential;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource as _, ResourceExt as _, core::object::HasStatus};
use snaphook::controller::steps::Steps;
use tokio::{sync::OnceCell, time::timeout};

use self::end::EndState;
use crate::{
    harness::{Controller, Proxy, SOON, Side, Tenant},
    routes::config,
};

/// So many at a time, to keep two cores busy.
const AT_ONCE: usize = 4;
/// The resource that it is all about.
const NAME: &str = "app";

/// What a user does with a resource while the controller is killed.
trait Scenario: Copy + Debug {
    type Kind: Steps + HasStatus<Status: Debug>;
    /// What was there before.
    type Before;

    fn prefix(self) -> &'static str;

    /// The number of writes may differ by one: the garbage collector takes part, or the event of the record's end comes
    /// before that of the resource's, and a second removal of the finalizer finds nothing.
    fn is_racy(self) -> bool;

    async fn prepare(self, t: &Tenant<'_>) -> Self::Before;

    async fn act(self, t: &Tenant<'_>);

    /// Waits until the user sees what he asked for.
    async fn done(self, t: &Tenant<'_>, before: &Self::Before);

    /// How the path of the write ends that comes only once, and after which nothing comes.
    fn last_write(self) -> &'static str;

    /// Asserts what must hold at every moment, also while no controller runs.
    async fn check_moment(t: &Tenant<'_>, before: &Self::Before);

    /// What is there in the end of what only this kind has, without what is random or a moment in time.
    async fn facts(t: &Tenant<'_>, before: &Self::Before) -> BTreeMap<&'static str, String>;
}

async fn sweep<S: Scenario>(scenario: S) {
    let undisturbed = run(scenario, None).await;
    let writes = undisturbed.writes.len();
    assert!(writes >= 1, "{scenario:?} writes nothing");
    let cases = (1..=writes).map(|n| (n, Side::Before)).chain([(writes, Side::After)]);
    let runs = cases.map(|case| async move { (case, run(scenario, Some(case)).await) });
    let runs: Vec<_> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    for ((n, side), disturbed) in runs {
        let place = format!("{scenario:?}, killed {side:?} write {n} of {:#?}", disturbed.writes);
        assert!(disturbed.writes.len() == n || scenario.is_racy(), "{place}: never got there");
        assert_eq!(disturbed.end, undisturbed.end, "{place}");
    }
}

struct Outcome {
    writes: Vec<String>,
    end: EndState,
}

async fn run<S: Scenario>(scenario: S, cut: Option<(usize, Side)>) -> Outcome {
    let t = Tenant::alone(scenario.prefix()).await;
    t.apply("{kind: Secret, metadata: {name: foreign}, stringData: {client-secret: theirs}}").await;
    let foreign = t.secret("foreign").await;
    let proxy = Proxy::start(&t.plane).await;
    let config = config(&t, "concurrency: 1");
    let first = Controller::start(&t.plane, &proxy.kubeconfig, &config);
    let before = scenario.prepare(&t).await;
    let (n, side) = cut.unwrap_or((usize::MAX, Side::Before));
    proxy.cut_at(n, side);

    let ended = AtomicBool::new(false);
    let story = async {
        scenario.act(&t).await;
        scenario.done(&t, &before).await;
        if cut.is_none() {
            written(&proxy, scenario.last_write()).await;
        }
    };
    let (proxy, t, next) = (&proxy, &t, OnceCell::new());
    let replace = async {
        proxy.is_cut().await;
        first.kill().await;
        next.get_or_init(|| async { first.another(&t.plane.kubeconfig()) }).await;
    };
    let drama = async {
        match cut {
            None => story.await,
            // A cut that never comes is told by the number of writes.
            Some(_) => drop(tokio::join!(story, timeout(Duration::from_secs(15), replace))),
        }
        let writes = proxy.writes();
        proxy.cut_at(usize::MAX, Side::Before);
        // Whatever comes late has come when something new is through.
        t.of::<S::Kind>().sentinel().await;
        ended.store(true, Ordering::Relaxed);
        next.get().unwrap_or(&first).stop().await;
        writes
    };
    let watch = async {
        while !ended.load(Ordering::Relaxed) {
            S::check_moment(t, &before).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let (writes, ()) = tokio::join!(drama, watch);
    assert_eq!(t.secret("foreign").await, foreign, "a foreign Secret was touched");
    Outcome { writes, end: EndState::of::<S>(t, &before).await }
}

async fn written(proxy: &Proxy, end: &str) {
    let deadline = Instant::now() + SOON;
    while !proxy.writes().iter().any(|write| write.ends_with(end)) {
        assert!(Instant::now() < deadline, "no write to {end}: {:#?}", proxy.writes());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A Secret whose resource goes, or has gone, is on its way out; one that was retained waits for its next resource.
async fn is_in_use<S: Scenario>(t: &Tenant<'_>, secret: &Secret) -> bool {
    let Some(resource) = t.of::<S::Kind>().api().get_opt(NAME).await.unwrap() else { return false };
    let owned = secret.owner_references().iter().any(|owner| Some(&owner.uid) == resource.meta().uid.as_ref());
    owned && resource.meta().deletion_timestamp.is_none()
}
