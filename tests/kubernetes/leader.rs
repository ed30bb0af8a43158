//! Which of two controllers works.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;

use crate::harness::{Controller, Proxy, Tenant, until, value};

const LEASE: &str = "snaphook-controller";

async fn holder(t: &Tenant<'_>) -> Option<String> {
    let lease = Api::<Lease>::namespaced(t.client.clone(), &t.realm).get_opt(LEASE).await.unwrap()?;
    lease.spec?.holder_identity
}

async fn two(prefix: &str) -> (Tenant<'static>, Controller, Controller) {
    let t = Tenant::alone(prefix).await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let first = Controller::start(&t.plane, &kubeconfig, &t.config(""));
    first.logged("leading").await;
    let second = first.another(&kubeconfig);
    second.logged("controller starting").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {rotation: {nonce: '1'}}}").await;
    t.ready("app").await;
    assert!(!second.process.log().contains("leading"), "two leaders");
    (t, first, second)
}

/// The next one works, and nothing has changed because it is another.
async fn works_without_a_change(t: &Tenant<'_>, before: &k8s_openapi::api::core::v1::Secret) {
    t.sentinel().await;
    assert_eq!(t.secret("app-credential").await, *before, "nothing rotates because the leader changed");
}

#[tokio::test]
async fn after_a_crash_the_second_controller_takes_over_within_the_terms_of_the_lease() {
    let (t, first, second) = two("takeover").await;
    let (before, record) = (t.secret("app-credential").await, t.record("app").await);
    let (start, old) = (Instant::now(), holder(&t).await);
    first.kill().await;
    second.logged("leading").await;
    let took = start.elapsed();
    // `logged` has a deadline of its own.
    assert!(took > Duration::from_secs(8), "{took:?}: it took a Lease that another could still have been using");
    assert_ne!(holder(&t).await, old);
    works_without_a_change(&t, &before).await;
    assert_eq!(t.record("app").await, record);
}

#[tokio::test]
async fn on_sigterm_the_lease_is_given_back_and_the_second_takes_over_at_once() {
    let (t, first, second) = two("handover").await;
    let before = t.secret("app-credential").await;
    let start = Instant::now();
    assert!(first.stop().await.success());
    second.logged("leading").await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}: it has waited until the Lease had run out, after 15 s");
    works_without_a_change(&t, &before).await;
    let transitions = Api::<Lease>::namespaced(t.client.clone(), &t.realm).get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(transitions.lease_transitions, Some(1));
}

#[tokio::test]
async fn a_leader_cut_off_from_the_api_server_stops_and_campaigns_again() {
    let t = Tenant::alone("cut-off").await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let proxy = Proxy::start(&t.plane).await;
    let first = Controller::start(&t.plane, &proxy.kubeconfig, &t.config(""));
    first.logged("leading").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {rotation: {nonce: '1', overlap: 1h}}}").await;
    t.ready("app").await;
    let before = t.secret("app-credential").await;
    let second = first.another(&kubeconfig);
    second.logged("controller starting").await;

    proxy.close(true);
    first.logged("lost the Lease; campaigning again").await;
    second.logged("leading").await;
    works_without_a_change(&t, &before).await;
    let lost = first.process.log().matches("lost the Lease").count();

    // Back on the network it is one of the candidates, and does not write.
    proxy.cut_at(usize::MAX, crate::harness::Side::Before);
    proxy.close(false);
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    t.new_value("app-credential", &value(&before, "client-secret")).await;
    t.ready("app").await;
    assert_eq!(proxy.writes(), [] as [String; 0], "it wrote without leading");
    assert_eq!(t.record("app").await.unwrap().secrets.len(), 2, "one rotation, not two");
    second.stop().await;
    until("it leads again", || async { first.process.log().matches("leading").count() >= 2 }).await;
    t.sentinel().await;
    assert!(first.process.try_wait().is_none() && lost == 1);
}
