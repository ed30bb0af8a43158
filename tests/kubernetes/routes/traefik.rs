//! Traefik, a real controller of Ingresses and Gateways, as a process beside the API server: what it says of routes stands in the status
//! of their Webhooks. Traffic through it needs Pods, and is no part of this.

use std::{net::TcpListener, process::Command};

use control_plane::{ControlPlane, Supervised, Tool};
use serde_json::json;
use snaphook::crd::{Webhook, condition::ConditionStatus};

use super::{controller, gateway_crds, webhook};
use crate::harness::{CRDS, Plane, Tenant};

/// What the operators of a cluster have made: classes, and Gateways that take routes from all namespaces or none but their own.
fn classes_and_gateways(infra: &str, port: u16) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: traefik}}\nspec: {{controller: traefik.io/ingress-controller}}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: traefik}}\nspec: {{controllerName: traefik.io/gateway-controller}}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: open, namespace: {infra}}}\nspec:\n  gatewayClassName: traefik\n  \
         listeners: [{{name: web, protocol: HTTP, port: {port}, hostname: '*.example.com', allowedRoutes: {{namespaces: {{from: All}}}}}}]\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: closed, namespace: {infra}}}\nspec:\n  gatewayClassName: traefik\n  \
         listeners: [{{name: web, protocol: HTTP, port: {port}}}]\n"
    )
}

/// A Service with a Pod, as far as the API shows.
fn service() -> &'static str {
    "apiVersion: v1\nkind: Service\nmetadata: {name: hooks}\nspec: {selector: {app: snaphook}, ports: [{name: http, port: 8080}]}\n\
     ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: hooks-1, labels: {kubernetes.io/service-name: hooks}}\n\
     addressType: IPv4\nports: [{name: http, port: 8080, protocol: TCP}]\nendpoints: [{addresses: [192.0.2.40], conditions: {ready: true}}]\n"
}

async fn start_traefik(cp: &ControlPlane, port: u16) -> Supervised {
    let program = tokio::task::spawn_blocking(|| Tool::Traefik.find()).await.unwrap().unwrap();
    let mut command = Command::new(program);
    command.env_remove("KUBERNETES_SERVICE_HOST").env_remove("KUBECONFIG");
    command.args(["--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=DEBUG"]);
    command.arg(format!("--entrypoints.web.address=127.0.0.1:{port}"));
    for provider in ["kubernetesingress", "kubernetesgateway"] {
        command.arg(format!("--providers.{provider}=true"));
        command.arg(format!("--providers.{provider}.endpoint={}", cp.url()));
        command.arg(format!("--providers.{provider}.token={}", cp.admin_token()));
        command.arg(format!("--providers.{provider}.certauthfilepath={}", cp.ca().display()));
    }
    command.arg("--providers.kubernetesingress.ingressendpoint.ip=192.0.2.9");
    command.arg("--providers.kubernetesgateway.statusaddress.ip=192.0.2.9");
    Supervised::spawn(&command, cp.directory("traefik").unwrap().join("log")).unwrap()
}

#[tokio::test]
async fn what_traefik_says_of_routes_stands_in_the_status_of_their_webhooks() {
    let cp = ControlPlane::start().await.unwrap();
    cp.install_crds(CRDS).await.unwrap();
    cp.install_crds(&gateway_crds(|_| true)).await.unwrap();
    let (realm, infra) = (cp.namespace("realm").await.unwrap(), cp.namespace("infra").await.unwrap());
    let t = Tenant::on(Plane(&cp), "edge", realm).await;
    // Whoever takes the port before Traefik does makes this test fail; the kernel hands out others meanwhile.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let manifests = classes_and_gateways(&infra, port);
    cp.kubectl_with_input(&["apply", "-f", "-"], &manifests).await.unwrap().success().unwrap();
    let traefik = start_traefik(&cp, port).await;
    let rule = format!("{{namespaces: {{names: [{}]}}, routeHosts: ['hooks.other.example']}}", t.namespace);
    let policy = format!("policy: {{rules: [{rule}]}}");
    let controller = controller(&t, &policy).await;

    let all = t.of::<Webhook>();
    let gateway = |name: &str| json!([{ "name": name, "namespace": infra }]);
    t.apply(&webhook("ingress", &json!({ "type": "Ingress", "className": "traefik" }))).await;
    t.apply(&webhook("unclassed", &json!({ "type": "Ingress", "className": "another" }))).await;
    t.apply(&webhook("taken", &json!({ "type": "HTTPRoute", "parentRefs": gateway("open") }))).await;
    t.apply(&webhook("closed", &json!({ "type": "HTTPRoute", "parentRefs": gateway("closed") }))).await;
    let host = json!({ "type": "HTTPRoute", "host": "hooks.other.example", "parentRefs": gateway("open") });
    t.apply(&webhook("host", &host)).await;

    let status = t.route_is("ingress", ConditionStatus::True, "Accepted").await;
    assert_eq!(status.addresses, ["192.0.2.9"]);
    t.route_is("closed", ConditionStatus::False, "NotAllowedByListeners").await;
    all.refused("closed", "Stalled", "NotAllowedByListeners").await;
    t.route_is("host", ConditionStatus::False, "NoMatchingListenerHostname").await;
    // There is no Service yet, and then there is.
    let status = t.route_is("taken", ConditionStatus::False, "BackendNotFound").await;
    assert_eq!(status.parents[0].parent, format!("{infra}/open"));
    cp.kubectl_with_input(&["-n", &t.realm, "apply", "-f", "-"], service()).await.unwrap().success().unwrap();
    t.route_is("taken", ConditionStatus::True, "Accepted").await;
    all.ready("taken").await;
    // The Gateway opens for others.
    let open = json!([{ "op": "add", "path": "/spec/listeners/0/allowedRoutes", "value": { "namespaces": { "from": "All" } } }]);
    let patch = ["-n", &infra, "patch", "gateway", "closed", "--type=json", "-p", &open.to_string()];
    cp.kubectl(&patch).await.unwrap().success().unwrap();
    t.route_is("closed", ConditionStatus::True, "Accepted").await;
    all.ready("closed").await;
    // A new URL is another generation, and taken too.
    all.patch("taken", &json!({ "spec": { "rotation": { "urlNonce": "2" } } })).await;
    t.http_route("taken", "both paths", |it| it.spec.rules[0].matches.len() == 2).await;
    t.route_is("taken", ConditionStatus::True, "Accepted").await;
    // Nobody serves that class.
    t.route_is("unclassed", ConditionStatus::Unknown, "Pending").await;
    all.ready("unclassed").await;
    assert!(traefik.try_wait().is_none() && controller.process.try_wait().is_none());
    cp.stop().await.unwrap();
}
