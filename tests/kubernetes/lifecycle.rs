//! Controllers that restart, take over, or lose the API server; namespaces and CRDs that come and go.

use std::time::Duration;

use control_plane::{AuditEvent, ControlPlane};

use crate::harness::{Installation, SOON, eventually};

/// Writes of the controller, the Lease left out.
fn writes(events: &[AuditEvent], installation: &Installation<'_>) -> Vec<String> {
    let ours = |event: &&AuditEvent| {
        event.is_write()
            && event.resource != "leases"
            && event.user_agent.starts_with("snaphook-controller")
            && [&installation.team, &installation.realm].contains(&&event.namespace)
    };
    events
        .iter()
        .filter(ours)
        .map(|event| format!("{} {}/{} {}", event.verb, event.resource, event.subresource, event.name))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_credential_costs_five_writes_and_an_unchanged_one_none() {
    let installation = Installation::shared("budget").await;
    let controller = installation.controller("one").await;
    eventually("signing keys", async || {
        let keys = ["--namespace", &installation.realm, "get", "secret", "snaphook-signing-keys"];
        installation.plane.kubectl(&keys).await.unwrap().status.success()
    })
    .await;
    let mark = installation.plane.audit().mark().unwrap();
    for index in 0..10 {
        installation.declare(&format!("client-{index}"), "{scopes: [a, b]}").await;
    }
    for index in 0..10 {
        installation.ready(&format!("client-{index}")).await;
    }
    let audit = installation.plane.audit();
    let events = audit.wait_for(mark, SOON, |events| writes(events, &installation).len() >= 50).await.unwrap();
    assert_eq!(writes(&events, &installation).len(), 50, "{:#?}", writes(&events, &installation));

    let mark = audit.mark().unwrap();
    controller.stop().await.unwrap();
    let _controller = installation.controller("two").await;
    installation.declare("marker", "{}").await;
    installation.ready("marker").await;
    let events = audit.wait_for(mark, SOON, |events| writes(events, &installation).len() >= 5).await.unwrap();
    let writes = writes(&events, &installation);
    assert!(writes.iter().all(|write| write.contains("marker")), "unchanged resources were written: {writes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_controller_takes_over_and_nothing_rotates() {
    let installation = Installation::shared("takeover").await;
    let first = installation.controller("first").await;
    installation.declare("billing", "{}").await;
    installation.ready("billing").await;
    let before = installation.credentials("billing-credential").await;
    let second = installation.candidate("second", &installation.plane.kubeconfig());
    second.logged("controller starting", SOON).await.unwrap();
    assert!(!second.log().contains("leading"));
    first.signal("TERM").unwrap();
    assert!(first.wait(SOON).await.unwrap().success());
    second.logged("leading", SOON).await.unwrap();
    installation.declare("another", "{}").await;
    installation.ready("another").await;
    let third = installation.candidate("third", &installation.plane.kubeconfig());
    third.logged("controller starting", SOON).await.unwrap();
    second.signal("KILL").unwrap();
    third.logged("leading", SOON).await.unwrap();
    installation.declare("a-third", "{}").await;
    installation.ready("a-third").await;
    assert_eq!(installation.credentials("billing-credential").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_dies_and_comes_back_changes_nothing() {
    let plane = ControlPlane::start().await.unwrap();
    let installation = Installation::new(&plane, "outage").await;
    let controller = installation.controller("one").await;
    let server = installation.server(&["--max-staleness", "5s"]).await;
    installation.declare("billing", "{}").await;
    installation.ready("billing").await;
    let before = installation.credentials("billing-credential").await;
    eventually("a token", async || server.token(&before).0 == 200).await;
    plane.apiserver().kill().await.unwrap();
    plane.apiserver().start().await.unwrap();
    installation.declare("after", "{}").await;
    installation.ready("after").await;
    assert_eq!(installation.credentials("billing-credential").await, before);

    plane.apiserver().freeze().unwrap();
    eventually("stale records are no answer", async || server.token(&before).0 == 503).await;
    assert!(!server.is_ready());
    plane.apiserver().thaw().unwrap();
    eventually("well again", async || server.token(&before).0 == 200).await;
    assert!(controller.try_wait().is_none() && server.process.try_wait().is_none(), "nobody exits");
    plane.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crd_that_comes_late_is_waited_for() {
    let plane = ControlPlane::start().await.unwrap();
    let realm = plane.namespace("late").await.unwrap();
    let config = plane.directory("late").unwrap().join("config.yaml");
    std::fs::write(&config, format!("realm: {{namespace: {realm}, issuer: 'https://x'}}\n")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.env("KUBECONFIG", plane.kubeconfig()).arg("controller").arg("--config").arg(&config);
    let controller = control_plane::Supervised::spawn(&command, config.with_file_name("controller.log")).unwrap();
    controller.logged("a watch failed", SOON).await.unwrap();
    let installation = Installation::new(&plane, "late").await;
    installation.declare("billing", "{}").await;
    installation.ready("billing").await;
    plane.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_everything_in_it() {
    let installation = Installation::shared("going").await;
    let controller = installation.controller("one").await;
    installation.declare("billing", "{}").await;
    installation.ready("billing").await;
    installation
        .plane
        .kubectl(&["delete", "namespace", &installation.team, "--timeout=50s"])
        .await
        .unwrap()
        .success()
        .unwrap();
    assert!(installation.record("billing").await.is_none());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!controller.log().contains("not reconciled yet"), "{}", controller.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_resource_went_unseen_is_swept() {
    let installation = Installation::shared("sweep").await;
    let controller = installation.controller("one").await;
    installation.declare("billing", "{}").await;
    installation.ready("billing").await;
    controller.stop().await.unwrap();
    let finalizers = ["patch", "appcredential", "billing", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
    installation.kubectl(&finalizers).await;
    installation.kubectl(&["delete", "appcredential", "billing"]).await;
    assert!(installation.record("billing").await.is_some());
    let _controller = installation.controller("two").await;
    eventually("the record is removed", async || installation.record("billing").await.is_none()).await;
}
