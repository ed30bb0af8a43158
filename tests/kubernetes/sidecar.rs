//! Realms of single namespaces, whose servers are sidecars: an app and a server side by side, and nothing between realms.

mod bundles;
mod example;
mod isolation;
mod moves;
mod pod;
mod served;

use serde_json::Value;

use crate::harness::{Controller, Tenant};

/// What the operator allows in these tests.
const POLICY: &str = "policy: {rules: [{namespaces: {}, scopes: ['*', 'snaphook:introspect']}]}";

/// A row of the table of realms.
fn row(t: &Tenant<'_>, issuer: &str, url: &str) -> String {
    format!("{{namespace: {}, issuer: '{issuer}', internalUrl: '{url}'}}", t.namespace)
}

/// The configuration with these realms.
fn with_realms(t: &Tenant<'_>, rows: &[String]) -> String {
    t.config(&format!("leaderElection: {{enabled: false}}\nrealms: [{}]\n{POLICY}", rows.join(", ")))
}

/// A controller for this namespace, which has a realm of its own, under `rbac.yaml`.
async fn controller(t: &Tenant<'_>, url: &str) -> Controller {
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let rows = [row(t, &format!("https://{}.example.com", t.namespace), url)];
    Controller::start(&t.plane, &kubeconfig, &with_realms(t, &rows))
}

async fn apply_app(t: &Tenant<'_>, name: &str, spec: &str) {
    t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {spec}}}")).await;
}

fn is_active(answer: &(u16, Value)) -> bool {
    assert_eq!(answer.0, 200, "{answer:?}");
    answer.1["active"] == true
}
