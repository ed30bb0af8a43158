//! Delivery to a Service: as the address that it has, and only where that leads to Pods of the same namespace.

use serde_json::{Value, json};
use snaphook::{crd::Webhook, record::endpoint::Target};

use super::webhook;
use crate::harness::Tenant;

fn service(name: &str, spec: &Value) -> String {
    json!({ "kind": "Service", "metadata": { "name": name }, "spec": spec }).to_string()
}

fn to(name: &str) -> Value {
    json!({ "delivery": { "service": { "name": name, "port": 8080, "path": "/in" } } })
}

#[tokio::test]
async fn a_service_with_a_selector_is_called_at_its_address_once_it_is_there() {
    let t = Tenant::new("service").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &to("inbox"))).await;
    let message = all.refused("alerts", "Reconciling", "ServiceNotFound").await;
    assert!(message.contains("the Service inbox in namespace"), "{message}");
    let record = all.record("alerts").await.unwrap();
    assert!(matches!(record.delivery.target, Target::Unresolved(why) if why.contains("inbox")), "messages wait");
    t.secret("alerts-webhook").await;

    t.apply(&service("inbox", &json!({ "selector": { "app": "inbox" }, "ports": [{ "port": 8080 }] }))).await;
    let status = all.ready("alerts").await.status.unwrap();
    assert_eq!(status.delivery.as_deref(), Some("service/inbox:8080"));
    let target = all.record("alerts").await.unwrap().delivery.target;
    let Target::Service { host, address, port, path } = target else { panic!("{target:?}") };
    assert_eq!((host, port, &*path), (format!("inbox.{}.svc:8080", t.namespace), 8080, "/in"));
    let look = ["-n", &t.namespace, "get", "service", "inbox", "-o", "jsonpath={.spec.clusterIP}"];
    assert_eq!(t.plane.kubectl(&look).await.unwrap().success().unwrap(), address.to_string());
    t.event("alerts", "ServiceFound").await;
}

#[tokio::test]
async fn one_that_can_point_anywhere_is_not_called() {
    let t = Tenant::new("anywhere").await;
    let all = t.of::<Webhook>();
    let ports = json!([{ "port": 8080 }]);
    for (name, spec, reason) in [
        (
            "external",
            json!({ "type": "ExternalName", "externalName": "metadata.google.internal" }),
            "ServiceNotAllowed",
        ),
        ("headless", json!({ "clusterIP": "None", "selector": { "a": "b" }, "ports": ports }), "ServiceNotAllowed"),
        ("selectorless", json!({ "ports": ports }), "ServiceNotAllowed"),
        ("elsewhere", json!({ "selector": { "a": "b" }, "ports": [{ "port": 81 }] }), "ServicePortNotFound"),
    ] {
        t.apply(&service(name, &spec)).await;
        t.apply(&webhook(name, &to(name))).await;
        all.refused(name, "Reconciling", reason).await;
        let target = all.record(name).await.unwrap().delivery.target;
        assert!(matches!(target, Target::Unresolved(_)), "{name}: {target:?}");
    }
}
