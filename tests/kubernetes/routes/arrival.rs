//! The Gateway API is no part of Kubernetes: it may be absent, come in parts, come later, and go.

use control_plane::ControlPlane;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::DeleteParams};
use serde_json::json;
use snaphook::crd::{Webhook, condition::ConditionStatus};

use super::{controller, gateway_crds, webhook};
use crate::harness::{CRDS, Plane, Tenant, until};

#[tokio::test]
async fn http_routes_are_made_once_the_api_is_there_and_nobody_waits_for_it() {
    let cp = ControlPlane::start().await.unwrap();
    cp.install_crds(CRDS).await.unwrap();
    // A part of it.
    cp.install_crds(&gateway_crds(|file| file.ends_with("_gateways.yaml"))).await.unwrap();
    let realm = cp.namespace("realm").await.unwrap();
    let t = Tenant::on(Plane(&cp), "arrival", realm).await;
    let controller = controller(&t, "").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!({ "type": "HTTPRoute", "parentRefs": [{ "name": "edge" }] }))).await;
    all.ready("alerts").await;
    let status = t.route_is("alerts", ConditionStatus::False, "RouteApiUnavailable").await;
    assert!(status.message.contains("every minute"), "{}", status.message);
    t.secret("alerts-webhook").await;
    t.apply(&webhook("other", &json!({ "type": "Ingress" }))).await;
    t.ingress("other", "an Ingress", |_| true).await;

    let apply = ["apply", "--server-side", "-f", "-"];
    cp.kubectl_with_input(&apply, &gateway_crds(|_| true)).await.unwrap().success().unwrap();
    until("the API is there", || async { t.http_routes().get_opt("any").await.is_ok() }).await;
    t.http_route("alerts", "an HTTPRoute", |_| true).await;
    t.route_is("alerts", ConditionStatus::Unknown, "Pending").await;

    // It goes, with all that there was.
    let crds: Api<CustomResourceDefinition> = Api::all(t.client.clone());
    crds.delete("httproutes.gateway.networking.k8s.io", &DeleteParams::default()).await.unwrap();
    t.route_is("alerts", ConditionStatus::False, "RouteApiUnavailable").await;
    all.delete("alerts").await;
    all.delete("other").await;
    until("the API is gone", || async {
        crds.get_opt("httproutes.gateway.networking.k8s.io").await.unwrap().is_none()
    })
    .await;
    let log = controller.process.log();
    assert!(log.matches("HTTPRoutes").count() <= 6, "it repeats itself:\n{log}");
    assert!(controller.process.try_wait().is_none(), "it has ended");
    cp.stop().await.unwrap();
}
