//! One `HTTPRoute` for each Webhook, and what its parents say. No controller of Gateways runs here: what a real one cannot be brought to
//! show, such as a verdict on a generation that has passed, two parents that differ, and a route that may not refer to its Service, is
//! written by the tests as such a controller would. A real one is in `traefik.rs`.

use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use snaphook::{
    controller::route::HttpRoute,
    crd::{Webhook, condition::ConditionStatus},
};

use super::{controller, webhook, with_gateway_api};
use crate::harness::{Tenant, until};

const ROUTES: &str =
    "routes: {type: HTTPRoute, parentRefs: [{name: edge, namespace: infra, sectionName: web}, {name: own}]}";

/// What a controller says of one parent.
fn says(parent: &Value, generation: i64, verdicts: &[(&str, &str, &str)]) -> Value {
    let condition = |(type_, status, reason): &(&str, &str, &str)| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": format!("because of {reason}"),
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions: Vec<_> = verdicts.iter().map(condition).collect();
    json!({ "parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions })
}

fn edge() -> Value {
    json!({ "name": "edge", "namespace": "infra", "sectionName": "web" })
}

fn own() -> Value {
    json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "own" })
}

async fn report(t: &Tenant<'_>, name: &str, parents: &[Value]) {
    let patch = Patch::Merge(json!({ "status": { "parents": parents } }));
    t.http_routes().patch_status(&t.route_name(name), &PatchParams::default(), &patch).await.unwrap();
}

fn generation(route: &HttpRoute) -> i64 {
    route.metadata.generation.unwrap()
}

#[tokio::test]
async fn a_route_is_accepted_when_every_parent_takes_it_as_it_is_now() {
    let t = with_gateway_api("http-route").await;
    let controller = controller(&t, ROUTES).await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!(null))).await;
    all.ready("alerts").await;
    let path = t.path("alerts").await;
    let route = t.http_route("alerts", "an HTTPRoute", |_| true).await;
    let expected = json!({
        "parentRefs": [
            { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "namespace": "infra", "sectionName": "web" },
            { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "own" },
        ],
        "hostnames": ["hooks.example.com"],
        "rules": [{
            "matches": [{ "path": { "type": "Exact", "value": path } }],
            "backendRefs": [{ "group": "", "kind": "Service", "name": "hooks", "port": 8080, "weight": 1 }],
        }],
    });
    assert_eq!(serde_json::to_value(&route.spec).unwrap(), expected);
    assert_eq!(route.annotations()["snaphook.dev/owner"], format!("Webhook/{}/alerts", t.namespace));
    let status = t.route_is("alerts", ConditionStatus::Unknown, "Pending").await;
    let (edge_name, own_name) = ("infra/edge/web".to_owned(), format!("{}/own", t.realm));
    assert_eq!(status.parents.iter().map(|it| &it.parent).collect::<Vec<_>>(), [&edge_name, &own_name]);
    t.sentinel().await;
    let mark = t.plane.audit().mark().unwrap();
    t.sentinel().await;
    assert_eq!(t.writes_since(mark), [], "what the API server added is no difference");

    // One parent only.
    let now = generation(&route);
    let taken = [("Accepted", "True", "Accepted"), ("ResolvedRefs", "True", "ResolvedRefs")];
    report(&t, "alerts", &[says(&edge(), now, &taken)]).await;
    let one = |it: &snaphook::crd::WebhookStatus| {
        it.route.as_ref().is_some_and(|it| it.parents.iter().any(|it| it.accepted == ConditionStatus::True))
    };
    let status = all.reports("alerts", "taken by one", one).await.route.unwrap();
    assert_eq!(status.accepted, ConditionStatus::Unknown);
    assert!(status.message.contains(&own_name) && !status.message.contains(&edge_name), "{}", status.message);

    // The other refuses: the route is not accepted, and posts still come in.
    let refused = [("Accepted", "False", "NotAllowedByListeners"), ("ResolvedRefs", "True", "ResolvedRefs")];
    report(&t, "alerts", &[says(&edge(), now, &taken), says(&own(), now, &refused)]).await;
    let status = t.route_is("alerts", ConditionStatus::False, "NotAllowedByListeners").await;
    assert!(status.message.contains(&own_name) && status.message.contains("because of"), "{}", status.message);
    all.ready("alerts").await;
    t.event("alerts", "RouteNotAccepted").await;

    // Both refuse, one for the Service: nothing comes in from outside.
    let unresolved = [("Accepted", "True", "Accepted"), ("ResolvedRefs", "False", "RefNotPermitted")];
    report(&t, "alerts", &[says(&edge(), now, &unresolved), says(&own(), now, &refused)]).await;
    let message = all.refused("alerts", "Stalled", "RefNotPermitted").await;
    assert!(message.contains(&edge_name) && message.contains("NotAllowedByListeners"), "{message}");
    let (_, metrics) = controller.probe("/metrics").await;
    let line = "condition=\"RouteAccepted\",status=\"False\",reason=\"RefNotPermitted\"";
    assert!(metrics.contains(line), "{metrics}");

    // Both take it, and then it changes: their word was about something else.
    report(&t, "alerts", &[says(&edge(), now, &taken), says(&own(), now, &taken)]).await;
    t.route_is("alerts", ConditionStatus::True, "Accepted").await;
    all.ready("alerts").await;
    t.event("alerts", "RouteAccepted").await;
    all.patch("alerts", &json!({ "spec": { "rotation": { "urlNonce": "2" } } })).await;
    let status = t.route_is("alerts", ConditionStatus::Unknown, "Pending").await;
    assert!(status.parents.iter().all(|it| it.accepted == ConditionStatus::Unknown));
    let rotated = t.http_route("alerts", "with both paths", |it| it.spec.rules[0].matches.len() == 2).await;
    assert!(generation(&rotated) > now && rotated.uid() == route.uid());
    // A controller that has not looked yet reports again on what it knows.
    report(&t, "alerts", &[says(&edge(), now, &taken), says(&own(), now, &refused)]).await;
    t.sentinel().await;
    t.route_is("alerts", ConditionStatus::Unknown, "Pending").await;
    let next = generation(&rotated);
    report(&t, "alerts", &[says(&edge(), next, &taken), says(&own(), next, &taken)]).await;
    t.route_is("alerts", ConditionStatus::True, "Accepted").await;
}

#[tokio::test]
async fn a_change_of_type_makes_the_new_route_and_removes_the_former() {
    let t = with_gateway_api("retype").await;
    let _controller = controller(&t, "").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!(null))).await;
    all.ready("alerts").await;
    t.ingress("alerts", "an Ingress", |_| true).await;
    let name = t.route_name("alerts");
    let no_ingress = async || t.ingresses().get_opt(&name).await.unwrap().is_none();
    let no_route = async || t.http_routes().get_opt(&name).await.unwrap().is_none();
    let retype = async |route: &Value| all.patch("alerts", &json!({ "spec": { "route": route } })).await;
    // As long as the new one cannot be, the former stays.
    retype(&json!({ "type": "HTTPRoute" })).await;
    all.refused("alerts", "Stalled", "NoParentRefs").await;
    assert!(!no_ingress().await);
    retype(&json!({ "parentRefs": [{ "name": "edge" }] })).await;
    t.http_route("alerts", "an HTTPRoute", |_| true).await;
    until("the Ingress goes", no_ingress).await;
    t.route_is("alerts", ConditionStatus::Unknown, "Pending").await;
    retype(&json!({ "type": "Ingress", "parentRefs": null })).await;
    t.ingress("alerts", "an Ingress again", |_| true).await;
    until("the HTTPRoute goes", &no_route).await;
    retype(&json!({ "type": "HTTPRoute", "parentRefs": [{ "name": "edge" }] })).await;
    t.http_route("alerts", "an HTTPRoute again", |_| true).await;
    retype(&json!({ "type": "None", "parentRefs": null })).await;
    until("nothing is left", no_route).await;
    all.reports("alerts", "without a route", |it| it.route.is_none()).await;
    retype(&json!({ "type": "HTTPRoute", "parentRefs": [{ "name": "edge" }] })).await;
    t.http_route("alerts", "an HTTPRoute once more", |_| true).await;
    all.delete("alerts").await;
    assert!(t.http_routes().get_opt(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_filter_that_somebody_adds_to_a_route_goes_again() {
    let t = with_gateway_api("filtered").await;
    let _controller = controller(&t, ROUTES).await;
    t.apply(&webhook("alerts", &json!(null))).await;
    t.of::<Webhook>().ready("alerts").await;
    let before = t.http_route("alerts", "an HTTPRoute", |_| true).await;
    let mut rules = serde_json::to_value(&before.spec.rules).unwrap();
    rules[0]["filters"] = json!([{ "type": "URLRewrite", "urlRewrite": { "hostname": "evil.example" } }]);
    let (someone, name) = (PatchParams::apply("someone").force(), t.route_name("alerts"));
    let edit = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": name },
        "spec": { "rules": rules },
    });
    let edited = t.http_routes().patch(&name, &someone, &Patch::Apply(edit)).await.unwrap();
    assert_ne!(edited.spec, before.spec);
    let mended = t.http_route("alerts", "mended", |it| it.spec == before.spec).await;
    assert_eq!(mended.uid(), before.uid());
}
