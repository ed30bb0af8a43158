//! How Webhooks are reached from outside the cluster: Ingresses and `HTTPRoute`s in the realm's namespace, and what is said about them.

mod arrival;
mod http_route;
mod ingress;
mod obstacles;
mod shared;
mod traefik;

use std::fs;

use control_plane::gateway_api_crds;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use snaphook::{
    controller::route::HttpRoute,
    crd::{Webhook, condition::ConditionStatus, webhook::RouteStatus},
};

use crate::harness::{Controller, Tenant, until_some, value};

/// A Webhook with this for a route.
fn webhook(name: &str, route: &Value) -> String {
    let mut spec =
        json!({ "verification": { "type": "GitHub" }, "delivery": { "url": "https://hooks.example.net/in" } });
    if !route.is_null() {
        spec["route"] = route.clone();
    }
    json!({ "kind": "Webhook", "metadata": { "name": name }, "spec": spec }).to_string()
}

/// The configuration of a controller for one namespace, whose hooks are behind a Service.
pub(crate) fn config(t: &Tenant<'_>, more: &str) -> String {
    let (realm, namespace) = (&t.realm, &t.namespace);
    format!(
        "realm: {{issuer: 'https://auth.example.com', internalUrl: 'http://snaphook.test', hooksUrl: 'https://hooks.example.com', namespace: {realm}, service: {{name: hooks, port: 8080}}}}\n\
         watchNamespaces: [{namespace}]\nleaderElection: {{enabled: false}}\n{more}\n"
    )
}

async fn controller(t: &Tenant<'_>, more: &str) -> Controller {
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    Controller::start(&t.plane, &kubeconfig, &config(t, more))
}

/// One whose API server has the Gateway API.
async fn with_gateway_api(prefix: &str) -> Tenant<'static> {
    let t = Tenant::alone(prefix).await;
    t.plane.install_crds(&gateway_crds(|_| true)).await.unwrap();
    t
}

/// The Gateway API's definitions, those of some files.
pub(crate) fn gateway_crds(wanted: impl Fn(&str) -> bool) -> String {
    let entries = fs::read_dir(gateway_api_crds().unwrap()).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| wanted(path.file_name().unwrap().to_str().unwrap())).collect();
    files.sort();
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    // The policy that guards the channel is none of the definitions.
    let is_definition = |text: &&str| text.contains("\nkind: CustomResourceDefinition");
    let all = texts.join("\n---\n");
    all.split("\n---\n").filter(is_definition).collect::<Vec<_>>().join("\n---\n")
}

impl Tenant<'_> {
    pub(crate) fn ingresses(&self) -> Api<Ingress> {
        Api::namespaced(self.client.clone(), &self.realm)
    }

    pub(crate) fn http_routes(&self) -> Api<HttpRoute> {
        Api::namespaced(self.client.clone(), &self.realm)
    }

    /// The name of a Webhook's route.
    pub(crate) fn route_name(&self, name: &str) -> String {
        self.of::<Webhook>().record_name(name)
    }

    /// Waits until the Ingress of a Webhook looks as wanted.
    async fn ingress(&self, name: &str, what: &str, wanted: impl Fn(&Ingress) -> bool) -> Ingress {
        let name = self.route_name(name);
        until_some(what, || async { self.ingresses().get_opt(&name).await.unwrap().filter(|found| wanted(found)) })
            .await
    }

    /// Waits until the `HTTPRoute` of a Webhook looks as wanted.
    async fn http_route(&self, name: &str, what: &str, wanted: impl Fn(&HttpRoute) -> bool) -> HttpRoute {
        let name = self.route_name(name);
        until_some(what, || async { self.http_routes().get_opt(&name).await.unwrap().filter(|found| wanted(found)) })
            .await
    }

    /// Waits until a Webhook reports this of its route, in its condition too.
    async fn route_is(&self, name: &str, accepted: ConditionStatus, reason: &str) -> RouteStatus {
        let what = format!("told that its route is {accepted:?} for {reason}");
        let fits = |resource: &Webhook| {
            let Some(status) = &resource.status else { return false };
            let said = status.route.as_ref().is_some_and(|it| it.accepted == accepted && it.reason == reason);
            let mut conditions = status.conditions.iter().filter(|it| it.type_ == "RouteAccepted");
            said && conditions.any(|it| {
                (it.status, &*it.reason) == (accepted, reason)
                    && Some(it.observed_generation) == resource.metadata.generation
            })
        };
        self.of::<Webhook>().when(name, &what, fits).await.status.unwrap().route.unwrap()
    }

    /// The path in the URL of a Webhook.
    async fn path(&self, name: &str) -> String {
        let url = value(&self.secret(&format!("{name}-webhook")).await, "url");
        format!("/hooks/{}", url.rsplit_once("/hooks/").unwrap().1)
    }
}

/// Rules of an Ingress as JSON.
fn spec_of(ingress: &Ingress) -> Value {
    serde_json::to_value(ingress.spec.as_ref().unwrap()).unwrap()
}

/// Paths of an Ingress.
pub(crate) fn paths_of(ingress: &Ingress) -> Vec<String> {
    let spec = spec_of(ingress);
    let paths = spec["rules"][0]["http"]["paths"].as_array().unwrap().clone();
    paths.iter().map(|path| path["path"].as_str().unwrap().to_owned()).collect()
}

/// What a load balancer would report.
async fn balance(t: &Tenant<'_>, name: &str, ip: &str) {
    let patch = Patch::Merge(json!({ "status": { "loadBalancer": { "ingress": [{ "ip": ip }] } } }));
    t.ingresses().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}
