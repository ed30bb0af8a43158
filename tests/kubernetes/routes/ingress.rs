//! One Ingress for each Webhook: made, repaired, changed and removed. No controller of Ingresses runs here; what one would report is
//! written by the tests.

use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use snaphook::crd::{Webhook, condition::ConditionStatus};

use super::{balance, config, controller, paths_of, spec_of, webhook};
use crate::harness::{Tenant, until, value};

#[tokio::test]
async fn a_webhook_is_reached_through_an_ingress_that_costs_one_write() {
    let t = Tenant::alone("ingress").await;
    let first =
        controller(&t, "routes: {className: edge, tlsSecret: hooks-tls, annotations: {example.com/all: yes}}").await;
    t.sentinel().await;
    let mark = t.plane.audit().mark().unwrap();
    t.apply(&webhook("alerts", &json!(null))).await;
    t.of::<Webhook>().ready("alerts").await;
    t.event("alerts", "Created").await;
    let (path, name) = (t.path("alerts").await, t.route_name("alerts"));
    let ingress = t.ingress("alerts", "an Ingress", |_| true).await;
    let expected = json!({
        "ingressClassName": "edge",
        "tls": [{ "hosts": ["hooks.example.com"], "secretName": "hooks-tls" }],
        "rules": [{ "host": "hooks.example.com", "http": { "paths": [{
            "path": path, "pathType": "Exact", "backend": { "service": { "name": "hooks", "port": { "number": 8080 } } },
        }] } }],
    });
    assert_eq!(spec_of(&ingress), expected);
    let uid = t.of::<Webhook>().api().get("alerts").await.unwrap().uid().unwrap();
    let marks = ingress.annotations();
    assert_eq!(marks["snaphook.dev/owner"], format!("Webhook/{}/alerts", t.namespace));
    assert_eq!((&*marks["snaphook.dev/owner-uid"], &*marks["example.com/all"]), (&*uid, "yes"));
    assert_eq!(ingress.labels()["snaphook.dev/namespace"], t.namespace);
    assert!(marks.keys().all(|key| !key.contains("ingress.class")));
    let status = t.route_is("alerts", ConditionStatus::Unknown, "Pending").await;
    assert_eq!((status.name.as_ref(), status.namespace.as_ref()), (Some(&name), Some(&t.realm)));
    assert!(status.host.as_deref() == Some("hooks.example.com") && status.message.contains("IngressClass edge"));

    let expected = [
        "create events/",
        "create ingresses/",
        "create secrets/",
        "create secrets/",
        "patch webhooks/",
        "patch webhooks/status",
    ];
    let made = t.writes_once(mark, expected.len()).await;
    let mut sorts: Vec<_> = made.iter().map(|it| format!("{} {}/{}", it.verb, it.resource, it.subresource)).collect();
    sorts.sort();
    assert_eq!(sorts, expected);

    balance(&t, &name, "192.0.2.7").await;
    let status = t.route_is("alerts", ConditionStatus::True, "Accepted").await;
    assert_eq!(status.addresses, ["192.0.2.7"]);
    t.sentinel().await;
    first.stop().await;
    let mark = t.plane.audit().mark().unwrap();
    let _second =
        first.another(&t.plane.kubeconfig_for_service_account(&t.realm, "snaphook-controller").await.unwrap());
    t.sentinel().await;
    t.sentinel().await;
    assert_eq!(t.writes_since(mark), [], "nothing has changed");
}

#[tokio::test]
async fn an_ingress_that_is_edited_or_deleted_is_as_it_was_and_what_others_added_stays() {
    let t = Tenant::alone("mended").await;
    let _controller = controller(&t, "").await;
    t.apply(&webhook("alerts", &json!(null))).await;
    t.of::<Webhook>().ready("alerts").await;
    let (name, before) = (t.route_name("alerts"), t.ingress("alerts", "an Ingress", |_| true).await);
    let edit = json!({
        "metadata": { "annotations": { "mine": "x", "snaphook.dev/owner-uid": "other" }, "labels": { "mine": "x" } },
        "spec": { "defaultBackend": { "service": { "name": "evil", "port": { "number": 1 } } }, "rules": [{ "host": "evil.example" }] },
    });
    let someone = PatchParams { field_manager: Some("someone".into()), ..PatchParams::default() };
    t.ingresses().patch(&name, &someone, &Patch::Merge(edit)).await.unwrap();
    let mended = t.ingress("alerts", "mended", |it| it.spec == before.spec).await;
    assert_eq!(mended.uid(), before.uid(), "changed in its place");
    assert_eq!((&*mended.annotations()["mine"], &*mended.labels()["mine"]), ("x", "x"));
    assert_eq!(mended.annotations()["snaphook.dev/owner-uid"], before.annotations()["snaphook.dev/owner-uid"]);
    t.ingresses().delete(&name, &DeleteParams::default()).await.unwrap();
    let anew = t.ingress("alerts", "made anew", |it| it.uid() != before.uid()).await;
    assert_eq!(anew.spec, before.spec);
}

#[tokio::test]
async fn while_a_former_url_works_both_are_routed() {
    let t = Tenant::alone("both").await;
    let _controller = controller(&t, "").await;
    t.apply(&webhook("alerts", &json!(null))).await;
    let all = t.of::<Webhook>();
    all.ready("alerts").await;
    let (old, uid) = (t.path("alerts").await, t.ingress("alerts", "an Ingress", |_| true).await.uid());
    all.patch("alerts", &json!({ "spec": { "rotation": { "urlNonce": "2", "overlap": "3s" } } })).await;
    let both = t.ingress("alerts", "two paths", |it| paths_of(it).len() == 2).await;
    let new = t.path("alerts").await;
    assert!(old != new && both.uid() == uid);
    assert_eq!(paths_of(&both), [&*new, &*old]);
    let one = t.ingress("alerts", "one path", |it| paths_of(it).len() == 1).await;
    assert_eq!((paths_of(&one), one.uid()), (vec![new], uid));
}

#[tokio::test]
async fn a_route_of_type_none_leaves_the_in_cluster_url_alone_and_a_host_of_its_own_is_in_the_url() {
    let t = Tenant::alone("type").await;
    let rule = format!(
        "policy: {{rules: [{{namespaces: {{names: [{}]}}, routeHosts: ['*.team.example'], routeAnnotations: ['example.com/*']}}]}}",
        t.namespace
    );
    let controller = controller(&t, &format!("routes: {{tlsSecret: hooks-tls}}\n{rule}")).await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!({ "type": "None" }))).await;
    let status = all.ready("alerts").await.status.unwrap();
    assert!(status.url == status.internal_url && status.url.unwrap().starts_with("http://snaphook.test/hooks/"));
    assert!(status.route.is_none() && t.ingresses().get_opt(&t.route_name("alerts")).await.unwrap().is_none());
    assert!(value(&t.secret("alerts-webhook").await, "url").starts_with("http://snaphook.test/hooks/"));

    let route = json!({ "type": "Ingress", "host": "a.team.example", "className": "edge", "annotations": { "example.com/a": "b" } });
    all.patch("alerts", &json!({ "spec": { "route": route } })).await;
    let ingress = t.ingress("alerts", "an Ingress", |_| true).await;
    let (spec, path) = (spec_of(&ingress), t.path("alerts").await);
    assert_eq!(
        (&spec["rules"][0]["host"], &spec["tls"]),
        (&json!("a.team.example"), &json!(null)),
        "the realm's certificate"
    );
    assert_eq!(ingress.annotations()["example.com/a"], "b");
    let url = format!("https://a.team.example{path}");
    all.reports("alerts", "at its own host", |it| it.url.as_ref() == Some(&url)).await;
    until("the Secret has it", || async { value(&t.secret("alerts-webhook").await, "url") == url }).await;

    // What is no longer asked for goes from the Ingress as well; the class stays, as nobody knows the default.
    let edit = json!({ "spec": { "route": { "annotations": null, "host": null, "className": null } } });
    all.patch("alerts", &edit).await;
    let ingress =
        t.ingress("alerts", "without the annotation", |it| !it.annotations().contains_key("example.com/a")).await;
    assert_eq!(spec_of(&ingress)["rules"][0]["host"], "hooks.example.com");
    assert_eq!(spec_of(&ingress)["tls"][0]["secretName"], "hooks-tls");

    // A policy that becomes narrower takes the route with it, a refused edit does not.
    all.patch("alerts", &json!({ "spec": { "route": { "host": "a.team.example" } } })).await;
    t.ingress("alerts", "at its host", |it| spec_of(it)["rules"][0]["host"] == "a.team.example").await;
    all.patch("alerts", &json!({ "spec": { "route": { "host": "b.example" } } })).await;
    let message = all.refused("alerts", "Stalled", "NotAllowedByPolicy").await;
    assert!(message.contains("routeHosts"), "{message}");
    t.sentinel().await;
    t.ingress("alerts", "still there", |it| spec_of(it)["rules"][0]["host"] == "a.team.example").await;
    controller.configure(&config(&t, ""));
    let name = t.route_name("alerts");
    until("it goes", || async { t.ingresses().get_opt(&name).await.unwrap().is_none() }).await;
    all.reports("alerts", "without a route", |it| it.route.is_none()).await;
    assert_eq!(value(&t.secret("alerts-webhook").await, "url"), url, "the Secret stays");
}

#[tokio::test]
async fn kubectl_delete_returns_when_the_route_is_gone_and_one_whose_webhook_went_unseen_is_swept() {
    let t = Tenant::alone("gone").await;
    let first = controller(&t, "").await;
    let all = t.of::<Webhook>();
    for name in ["alerts", "orphan", "kept"] {
        t.apply(&webhook(name, &json!(null))).await;
        all.ready(name).await;
        t.ingress(name, "an Ingress", |_| true).await;
    }
    all.delete("alerts").await;
    assert!(t.ingresses().get_opt(&t.route_name("alerts")).await.unwrap().is_none());
    first.stop().await;
    all.patch("orphan", &json!({ "metadata": { "finalizers": null } })).await;
    all.delete("orphan").await;
    let name = t.route_name("orphan");
    assert!(t.ingresses().get_opt(&name).await.unwrap().is_some());
    let kept = t.ingress("kept", "there", |_| true).await;
    let _second = controller(&t, "").await;
    until("the orphan goes", || async { t.ingresses().get_opt(&name).await.unwrap().is_none() }).await;
    t.sentinel().await;
    assert_eq!(t.ingress("kept", "there", |_| true).await.resource_version(), kept.resource_version());
}
