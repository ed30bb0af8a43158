//! The crash sweep: a controller that is killed at each of its writes in turn, before it is done and after, leaves nothing
//! that the next one does not bring to the same end; and at no moment does an app hold a secret that the server refuses.

mod end;
mod scenario;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use tokio::{sync::OnceCell, time::timeout};

use self::{end::EndState, scenario::Scenario};
use crate::harness::{Controller, Proxy, Side, Tenant, hash_of, value};

/// So many at a time, to keep two cores busy.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn a_crash_while_creating_leaves_no_trace() {
    sweep(Scenario::Create).await;
}

#[tokio::test]
async fn a_crash_while_rotating_leaves_no_trace() {
    sweep(Scenario::Rotate).await;
}

#[tokio::test]
async fn a_crash_while_revoking_leaves_no_trace() {
    sweep(Scenario::Revoke).await;
}

#[tokio::test]
async fn a_crash_while_deleting_leaves_no_trace() {
    sweep(Scenario::Delete).await;
}

#[tokio::test]
async fn a_crash_while_deleting_and_making_anew_leaves_no_trace() {
    sweep(Scenario::Recreate).await;
}

#[tokio::test]
async fn a_crash_while_making_anew_over_a_retained_secret_leaves_no_trace() {
    sweep(Scenario::RecreateRetained).await;
}

#[tokio::test]
async fn a_crash_while_replacing_a_deleted_secret_leaves_no_trace() {
    sweep(Scenario::SecretDeleted).await;
}

#[tokio::test]
async fn a_crash_while_moving_the_secret_to_another_name_leaves_no_trace() {
    sweep(Scenario::Rename).await;
}

async fn sweep(scenario: Scenario) {
    let undisturbed = run(scenario, None).await;
    let writes = undisturbed.writes.len();
    assert!(writes >= 2, "{:?}", undisturbed.writes);
    let cases = (1..=writes).flat_map(|n| [(n, Side::Before), (n, Side::After)]);
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

async fn run(scenario: Scenario, cut: Option<(usize, Side)>) -> Outcome {
    let t = Tenant::alone(scenario.prefix()).await;
    t.apply("{kind: Secret, metadata: {name: foreign}, stringData: {client-secret: theirs}}").await;
    let foreign = t.secret("foreign").await;
    let proxy = Proxy::start(&t.plane).await;
    let config = t.config("leaderElection: {enabled: false}\nconcurrency: 1");
    let first = Controller::start(&t.plane, &proxy.kubeconfig, &config);
    let before = scenario.prepare(&t).await;
    let (n, side) = cut.unwrap_or((usize::MAX, Side::Before));
    proxy.cut_at(n, side);

    let ended = AtomicBool::new(false);
    let story = async {
        scenario.act(&t).await;
        scenario.done(&t, &before).await;
        if cut.is_none() {
            scenario.last_write(&proxy).await;
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
        t.sentinel().await;
        ended.store(true, Ordering::Relaxed);
        next.get().unwrap_or(&first).stop().await;
        writes
    };
    let (writes, ()) = tokio::join!(drama, secrets_work(t, &ended));
    assert_eq!(t.secret("foreign").await, foreign, "a foreign Secret was touched");
    Outcome { writes, end: EndState::of(t, &before).await }
}

/// At every moment at which a Secret of an app exists, the record accepts its client secret.
/// Where the Secret was written before the record, this failed while creating, making anew, replacing and rotating.
async fn secrets_work(t: &Tenant<'_>, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        for name in ["app-credential", "other"] {
            // In this order: a Secret must not be newer than the record that it is compared with.
            let Some(secret) = t.secrets().get_opt(name).await.unwrap() else { continue };
            let held = value(&secret, "client-secret");
            let accepted = t.record("app").await.is_some_and(|record| {
                let now = jiff::Timestamp::now();
                let works = |it: &&snaphook::record::SecretVersion| it.not_after.is_none_or(|end| end > now);
                record.secrets.iter().filter(works).any(|it| it.hash == hash_of(&held))
            });
            assert!(accepted || !is_in_use(t, &secret).await, "an app holds a secret that the record refuses");
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// A Secret whose resource goes, or has gone, is on its way out; one that was retained waits for its next resource.
async fn is_in_use(t: &Tenant<'_>, secret: &k8s_openapi::api::core::v1::Secret) -> bool {
    let Some(resource) = t.resources().get_opt("app").await.unwrap() else { return false };
    let owned = secret.owner_references().iter().any(|owner| Some(&owner.uid) == resource.metadata.uid.as_ref());
    owned && resource.metadata.deletion_timestamp.is_none()
}
