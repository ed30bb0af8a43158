//! `snaphook uninstall`: nothing hangs on a finalizer, and nothing that was wanted is lost.

use std::process::{Command, Output};

use kube::ResourceExt as _;

use crate::harness::{Controller, Tenant, until, value};

/// Runs it with the configuration of a controller.
fn uninstall(t: &Tenant<'_>, controller: &Controller, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.env("KUBECONFIG", t.plane.kubeconfig()).args(["uninstall", "--config"]).arg(&controller.config);
    command.args(more).output().unwrap()
}

async fn has_finalizer(t: &Tenant<'_>, name: &str) -> bool {
    !t.resources().get(name).await.unwrap().finalizers().is_empty()
}

/// A tenant with resources, and a controller with leader election.
async fn at_work(prefix: &str) -> (Tenant<'static>, Controller) {
    let t = Tenant::alone(prefix).await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let controller = Controller::start(&t.plane, &kubeconfig, &t.config(""));
    for name in ["app", "leaver"] {
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{}}}}")).await;
        t.ready(name).await;
    }
    (t, controller)
}

#[tokio::test]
async fn what_hangs_goes_and_the_rest_waits_for_a_controller_that_goes_on_with_it() {
    let (t, controller) = at_work("farewell").await;
    let (secret, record) = (value(&t.secret("app-credential").await, "client-secret"), t.record("app").await);
    controller.stop().await;
    let delete = ["-n", &t.namespace, "delete", "appcredential/leaver", "--wait=false"];
    t.plane.kubectl(&delete).await.unwrap().success().unwrap();
    assert!(has_finalizer(&t, "leaver").await, "without a controller it hangs");

    let output = uninstall(&t, &controller, &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(t.resources().get_opt("leaver").await.unwrap().is_none());
    assert!(t.record("leaver").await.is_none());
    assert!(!has_finalizer(&t, "app").await);
    assert_eq!(t.record("app").await, record);
    assert!(uninstall(&t, &controller, &[]).status.success(), "a second time there is nothing to do");

    let _again = controller.another(&t.plane.account(&t.realm, Some(&[&t.namespace])).await);
    until("it is looked after again", || has_finalizer(&t, "app")).await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), secret);
}

#[tokio::test]
async fn while_a_controller_works_nothing_is_removed_and_the_lease_is_named() {
    let (t, controller) = at_work("too-early").await;
    let output = uninstall(&t, &controller, &["--timeout", "3s"]);
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("does a controller still hold the Lease snaphook-controller?"), "{error}");
    assert!(has_finalizer(&t, "app").await);
}

#[tokio::test]
async fn a_purge_removes_records_and_keys_and_leaves_what_apps_mount() {
    let (t, controller) = at_work("purge").await;
    controller.stop().await;
    let output = uninstall(&t, &controller, &["--purge"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!has_finalizer(&t, "app").await);
    let left = t.records().list(&kube::api::ListParams::default()).await.unwrap();
    assert!(left.items.is_empty(), "{:?}", left.items.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>());
    assert!(!value(&t.secret("app-credential").await, "client-secret").is_empty());
}
