//! What keeps a route from being made never holds back the Secret, and is told where people look.

use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use snaphook::{
    controller::route::HttpRoute,
    crd::{Webhook, condition::ConditionStatus},
};

use super::{config, controller, webhook, with_gateway_api};
use crate::harness::{Controller, Tenant, until, value};

#[tokio::test]
async fn an_ingress_that_is_somebody_elses_is_not_touched() {
    let t = Tenant::alone("foreign-route").await;
    let _controller = controller(&t, "").await;
    let name = t.route_name("alerts");
    let foreign = json!({
        "metadata": { "name": name, "annotations": { "snaphook.dev/adopt": "Webhook/alerts" } },
        "spec": { "rules": [{ "host": "theirs.example" }] },
    });
    let foreign: Ingress = serde_json::from_value(foreign).unwrap();
    let before = t.ingresses().create(&PostParams::default(), &foreign).await.unwrap();
    t.apply(&webhook("alerts", &json!(null))).await;
    let all = t.of::<Webhook>();
    let message = all.refused("alerts", "Stalled", "RouteExists").await;
    assert!(message.contains(&name) && message.contains("not ours"), "{message}");
    t.route_is("alerts", ConditionStatus::False, "RouteExists").await;
    assert!(value(&t.secret("alerts-webhook").await, "url").starts_with("https://hooks.example.com/hooks/"));
    t.event("alerts", "Created").await;
    t.sentinel().await;
    assert_eq!(t.ingresses().get(&name).await.unwrap(), before);
    all.delete("alerts").await;
    assert_eq!(t.ingresses().get(&name).await.unwrap(), before);
    t.apply(&webhook("alerts", &json!(null))).await;
    all.refused("alerts", "Stalled", "RouteExists").await;
    t.ingresses().delete(&name, &DeleteParams::default()).await.unwrap();
    t.ingress("alerts", "made once there is room", |it| it.annotations().contains_key("snaphook.dev/owner")).await;
    all.ready("alerts").await;
}

/// A refusal quotes what it refuses; where everybody may post, the path is a credential.
#[tokio::test]
async fn a_route_that_the_api_server_refuses_is_told_without_its_path_and_made_when_it_can_be() {
    let t = Tenant::alone("refused-route").await;
    let guard = t.realm.clone();
    let policy = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: {guard}}}\nspec:\n  \
         matchConstraints: {{resourceRules: [{{apiGroups: [networking.k8s.io], apiVersions: [v1], operations: [CREATE], resources: [ingresses]}}]}}\n  \
         validations: [{{expression: 'false', messageExpression: \"'no path ' + object.spec.rules[0].http.paths[0].path + ' here'\"}}]\n\
         ---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {guard}}}\nspec:\n  \
         policyName: {guard}\n  validationActions: [Deny]\n  \
         matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {guard}}}}}}}\n"
    );
    t.plane.kubectl_with_input(&["apply", "-f", "-"], &policy).await.unwrap().success().unwrap();
    let probe = json!({ "metadata": { "generateName": "probe-" }, "spec": { "rules": [{ "http": { "paths": [
        { "path": "/probe", "pathType": "Exact", "backend": { "service": { "name": "hooks", "port": { "number": 1 } } } },
    ] } }] } });
    let probe: Ingress = serde_json::from_value(probe).unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    until("the policy is in force", || async { t.ingresses().create(&dry, &probe).await.is_err() }).await;

    let controller = controller(&t, "").await;
    let all = t.of::<Webhook>();
    let open = json!({ "kind": "Webhook", "metadata": { "name": "open" }, "spec": {
        "verification": { "type": "None" }, "delivery": { "url": "https://hooks.example.net/in" },
    } });
    t.apply(&open.to_string()).await;
    let message = all.refused("open", "Stalled", "RouteNotWritten").await;
    assert!(message.contains("no path /hooks/******** here"), "{message}");
    let path = t.path("open").await;
    let id = path.strip_prefix("/hooks/").unwrap();
    t.event("open", "Created").await;
    until("it is logged", || async { controller.process.log().contains("RouteNotWritten") }).await;
    let delete = ["delete", "validatingadmissionpolicybinding", &guard];
    t.plane.kubectl(&delete).await.unwrap().success().unwrap();
    t.ingress("open", "made", |_| true).await;
    all.ready("open").await;
    t.route_is("open", ConditionStatus::Unknown, "Pending").await;
    let resource = serde_json::to_string(&all.api().get("open").await.unwrap()).unwrap();
    let events = serde_json::to_string(&t.events("open").await).unwrap();
    let (_, metrics) = controller.probe("/metrics").await;
    assert!(
        metrics.contains("result=\"RouteNotWritten\"") && metrics.contains("condition=\"RouteAccepted\""),
        "{metrics}"
    );
    for place in [resource, events, metrics, controller.process.log()] {
        assert!(!place.contains(id), "{place}");
    }
}

#[tokio::test]
async fn who_keeps_rewriting_a_route_is_named_and_not_fought() {
    let t = Tenant::alone("contested-route").await;
    let _controller = controller(&t, "").await;
    t.apply(&webhook("alerts", &json!(null))).await;
    t.of::<Webhook>().ready("alerts").await;
    let name = t.route_name("alerts");
    let ours = t.ingress("alerts", "there", |_| true).await;
    for round in 0..3 {
        let rival = PatchParams { field_manager: Some("rival".into()), ..PatchParams::default() };
        let edit = json!({ "spec": { "rules": [{ "host": format!("{round}.example") }] } });
        t.ingresses().patch(&name, &rival, &Patch::Merge(edit)).await.unwrap();
        t.ingress("alerts", "mended", |it| it.spec == ours.spec).await;
    }
    let rival = PatchParams { field_manager: Some("rival".into()), ..PatchParams::default() };
    let edit = json!({ "spec": { "rules": [{ "host": "last.example" }] } });
    t.ingresses().patch(&name, &rival, &Patch::Merge(edit)).await.unwrap();
    let message = t.of::<Webhook>().refused("alerts", "Stalled", "RouteContested").await;
    assert!(message.contains("\"rival\""), "{message}");
}

#[tokio::test]
async fn a_route_that_nobody_could_make_is_told_and_nothing_else_waits() {
    let t = Tenant::alone("no-parents").await;
    let controller = controller(&t, "").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!({ "type": "HTTPRoute" }))).await;
    let message = all.refused("alerts", "Stalled", "NoParentRefs").await;
    assert!(message.contains("spec.route.parentRefs") && message.contains("routes.parentRefs"), "{message}");
    t.secret("alerts-webhook").await;
    controller.configure(&t.config("leaderElection: {enabled: false}"));
    let status = t.route_is("alerts", ConditionStatus::False, "RouteNotConfigured").await;
    assert!(status.message.contains("realm.service"), "{}", status.message);
    all.ready("alerts").await;
}

#[tokio::test]
async fn a_controller_that_may_not_see_http_routes_says_so_and_goes_on() {
    let t = with_gateway_api("no-right").await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let role = ["-n", &t.realm, "patch", "role", "snaphook-controller-realm", "--type=json", "-p"];
    let without = json!([
        { "op": "test", "path": "/rules/2/resources/0", "value": "httproutes" },
        { "op": "remove", "path": "/rules/2" },
    ]);
    t.plane.kubectl(&[&role[..], &[&without.to_string()]].concat()).await.unwrap().success().unwrap();
    let client = t.plane.client_for(&kubeconfig).await.unwrap();
    let seen_by_it: Api<HttpRoute> = Api::namespaced(client, &t.realm);
    until("the right is gone", || async { seen_by_it.list(&ListParams::default()).await.is_err() }).await;
    let controller = Controller::start(&t.plane, &kubeconfig, &config(&t, ""));
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!({ "type": "HTTPRoute", "parentRefs": [{ "name": "edge" }] }))).await;
    t.apply(&webhook("other", &json!(null))).await;
    let status = t.route_is("alerts", ConditionStatus::False, "RouteApiUnavailable").await;
    assert!(status.message.contains("no right to list them"), "{}", status.message);
    all.ready("alerts").await;
    t.ingress("other", "an Ingress", |_| true).await;
    assert_eq!(controller.process.log().matches("they cannot be watched").count(), 1);
    all.delete("alerts").await;
}
