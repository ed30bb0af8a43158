//! What happens around the controller: namespaces that end, CRDs that come late or differ, an API server that dies.

use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use crate::harness::{CRDS, Controller, Plane, Tenant, until, until_some};

const APP: &str = "{kind: AppCredential, metadata: {name: app}, spec: {scopes: [orders:read]}}";

async fn private<'a>(prefix: &str, plane: Plane<'a>) -> (Tenant<'a>, Controller) {
    let realm = plane.namespace("realm").await.unwrap();
    let t = Tenant::on(plane, prefix, realm).await;
    let kubeconfig = plane.account(&t.realm, None).await;
    let config = format!("realm: {{issuer: 'https://auth.example.com', namespace: {}}}", t.realm);
    let controller = Controller::start(&plane, &kubeconfig, &config);
    (t, controller)
}

#[tokio::test]
async fn a_namespace_that_is_deleted_is_done_and_no_error() {
    let t = Tenant::alone("ending").await;
    // Kubernetes empties a namespace in any order: a right that is given by a RoleBinding in it may go before the resources do.
    let kubeconfig = t.plane.account(&t.realm, None).await;
    let controller = Controller::start(&t.plane, &kubeconfig, &t.config("leaderElection: {enabled: false}"));
    for name in ["one", "two", "three"] {
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{}}}}")).await;
        t.ready(name).await;
    }
    // One that hangs: Secrets go first, and the resource stays while the namespace ends.
    let finalizers = json!({ "metadata": { "finalizers": ["snaphook.dev/record", "example.com/slow"] } });
    t.patch("three", &finalizers).await;
    let namespaces: Api<Namespace> = Api::all(t.client.clone());
    namespaces.delete(&t.namespace, &DeleteParams::default()).await.unwrap();
    let params = ListParams::default().labels("snaphook.dev/record=client");
    until("all records go", || async { t.records().list(&params).await.unwrap().items.is_empty() }).await;
    until("its Secrets go", || async { t.secrets().list(&ListParams::default()).await.unwrap().items.is_empty() })
        .await;
    t.patch("three", &json!({ "metadata": { "labels": { "look": "again" }, "finalizers": ["example.com/slow"] } }))
        .await;
    t.patch("three", &json!({ "metadata": { "finalizers": null } })).await;
    until("the namespace goes", || async { namespaces.get_opt(&t.namespace).await.unwrap().is_none() }).await;
    let log = controller.process.log();
    assert!(log.matches("not reconciled yet").count() <= 2 && !log.contains("ERROR"), "{log}");
    assert!(controller.process.try_wait().is_none());
}

#[tokio::test]
async fn crds_may_come_after_the_controller_and_go_and_come_again() {
    let cp = ControlPlane::start().await.unwrap();
    let (t, controller) = private("late", Plane(&cp)).await;
    controller.logged("leading").await;
    until("it says what is missing", || async { controller.process.log().contains("AppCredentials") }).await;
    cp.install_crds(CRDS).await.unwrap();
    t.apply(APP).await;
    t.ready("app").await;
    let warnings = controller.process.log().matches("a watch failed").count();
    assert!(warnings <= 3, "it repeats itself:\n{}", controller.process.log());

    let crds: Api<CustomResourceDefinition> = Api::all(t.client.clone());
    crds.delete("appcredentials.snaphook.dev", &DeleteParams::default()).await.unwrap();
    until("the record goes with the CRD", || async { t.record("app").await.is_none() }).await;
    until("the CRD goes", || async { crds.get_opt("appcredentials.snaphook.dev").await.unwrap().is_none() }).await;
    let apply = ["apply", "--server-side", "-f", "-"];
    cp.kubectl_with_input(&apply, CRDS).await.unwrap().success().unwrap();
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd/appcredentials.snaphook.dev"];
    cp.kubectl(&wait).await.unwrap().success().unwrap();
    until("the resource can be applied", || async {
        cp.kubectl_with_input(&["-n", &t.namespace, "apply", "-f", "-"], &with_version(APP))
            .await
            .unwrap()
            .status
            .success()
    })
    .await;
    t.ready("app").await;
    assert!(controller.process.try_wait().is_none());
    cp.stop().await.unwrap();
}

fn with_version(yaml: &str) -> String {
    yaml.replacen('{', "{apiVersion: snaphook.dev/v1alpha1, ", 1)
}

#[tokio::test]
async fn an_api_server_that_is_killed_and_comes_back_finds_the_controller_at_work_and_no_value_changed() {
    let cp = ControlPlane::start().await.unwrap();
    cp.install_crds(CRDS).await.unwrap();
    let (t, controller) = private("killed", Plane(&cp)).await;
    t.apply(APP).await;
    t.ready("app").await;
    let (secret, record) = (t.secret("app-credential").await, t.record("app").await);
    cp.apiserver().kill().await.unwrap();
    // Long enough for everyone to notice, and for the Lease to be lost.
    controller.logged("a watch failed").await;
    controller.logged("lost the Lease").await;
    cp.apiserver().start().await.unwrap();
    let start = Instant::now();
    t.apply("{kind: AppCredential, metadata: {name: next}, spec: {}}").await;
    t.ready("next").await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}: its pauses between tries grow");
    assert_eq!(t.secret("app-credential").await, secret);
    assert_eq!(t.record("app").await, record);
    assert!(controller.process.try_wait().is_none(), "it has ended");
    cp.stop().await.unwrap();
}

#[tokio::test]
async fn a_resource_that_does_not_parse_is_told_so_and_can_be_deleted() {
    let cp = ControlPlane::start().await.unwrap();
    cp.install_crds(CRDS).await.unwrap();
    let (t, controller) = private("unreadable", Plane(&cp)).await;
    t.apply(APP).await;
    t.apply("{kind: AppCredential, metadata: {name: other}, spec: {}}").await;
    t.ready("app").await;
    t.ready("other").await;
    let before = t.record("app").await;

    // A CRD of a later version, or one that somebody has loosened.
    let crds: Api<CustomResourceDefinition> = Api::all(t.client.clone());
    let mut crd = crds.get("appcredentials.snaphook.dev").await.unwrap();
    crd.metadata.managed_fields = None;
    let mut crd = serde_json::to_value(&crd).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    *crd.pointer_mut(spec).unwrap() = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = Value::Null;
    let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
    crds.replace("appcredentials.snaphook.dev", &PostParams::default(), &crd).await.unwrap();
    let resource = ApiResource::erase::<snaphook::crd::AppCredential>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(t.client.clone(), &t.namespace, &resource);
    until("the API server takes it", || async {
        let patch = Patch::Merge(json!({ "spec": { "scopes": [1, 2] } }));
        api.patch("app", &PatchParams::default(), &patch).await.is_ok()
    })
    .await;
    let told = until_some("its status tells", || async {
        let found = api.get("app").await.unwrap();
        let conditions = found.data["status"]["conditions"].as_array().unwrap().clone();
        conditions.into_iter().find(|it| it["type"] == "Stalled" && it["reason"] == "InvalidResource")
    })
    .await;
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("apply the CRDs of this version"), "{message}");
    assert_eq!(t.record("app").await, before, "what works goes on working");
    t.patch("other", &json!({ "spec": { "displayName": "Others go on" } })).await;
    t.when("other", "well", |it| it.status.as_ref().unwrap().display_name.as_deref() == Some("Others go on")).await;

    let mark = cp.audit().mark().unwrap();
    let next = controller.another(&cp.kubeconfig_for_service_account(&t.realm, "snaphook-controller").await.unwrap());
    controller.stop().await;
    next.logged("leading").await;
    t.patch("other", &json!({ "spec": { "displayName": "Also later" } })).await;
    t.when("other", "well", |it| it.status.as_ref().unwrap().display_name.as_deref() == Some("Also later")).await;
    let writes = t.writes_since(mark);
    assert!(writes.iter().all(|it| it.name != "app"), "told again: {writes:#?}");

    api.delete("app", &DeleteParams::default()).await.unwrap();
    until("it goes", || async { api.get_opt("app").await.unwrap().is_none() }).await;
    assert!(t.record("app").await.is_none());
    assert!(next.process.try_wait().is_none());
    cp.stop().await.unwrap();
}

#[tokio::test]
async fn a_record_whose_resource_went_unseen_is_swept_at_the_next_start() {
    let t = Tenant::alone("orphan").await;
    let first = t.controller().await;
    for name in ["app", "kept"] {
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{}}}}")).await;
        t.ready(name).await;
    }
    first.stop().await;
    t.patch("app", &json!({ "metadata": { "finalizers": null } })).await;
    t.delete("app").await;
    assert!(t.record("app").await.is_some());
    let kept = t.record("kept").await.unwrap();
    let second = t.controller().await;
    until("the orphan goes", || async { t.record("app").await.is_none() }).await;
    assert!(second.process.log().contains("removed the record of a resource that is gone"));
    t.sentinel().await;
    assert_eq!(t.record("kept").await.unwrap(), kept);
    assert_eq!(t.resources().get("kept").await.unwrap().finalizers().len(), 1);
}
