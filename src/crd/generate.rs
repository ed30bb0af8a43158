//! Flow 1: the CRDs as `snaphook crd` prints them: what the derive writes, and what it cannot write.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::AppCredential;

/// Every CRD, in the order in which they are printed.
///
/// # Panics
/// Never: the derived CRD has one version with a schema; a test generates it.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![app_credential()]
}

/// The CRD of [`AppCredential`].
#[must_use]
pub fn app_credential() -> CustomResourceDefinition {
    complete(AppCredential::crd(), &app_credential_rules(), &app_credential_spec_rules())
}

/// The CRDs as one YAML stream, as `kubectl apply -f -` reads it.
///
/// # Errors
/// A CRD that YAML cannot hold.
pub fn to_yaml() -> Result<String, serde_yaml::ser::Error> {
    let mut yaml = String::new();
    for crd in all() {
        yaml.push_str("---\n");
        yaml.push_str(&serde_yaml::to_string(&crd)?);
    }
    Ok(yaml)
}

fn rule(expression: &str, field: &str, message: &str) -> Value {
    let mut rule = json!({ "rule": expression, "message": message });
    if !field.is_empty() {
        rule["fieldPath"] = json!(field);
    }
    rule
}

/// Rules on the whole object.
fn app_credential_rules() -> Vec<Value> {
    vec![rule(
        "(has(self.spec.secretTemplate) && has(self.spec.secretTemplate.name)) || size(self.metadata.name) <= 242",
        "",
        "metadata.name: longer than 242 characters leaves no room for the Secret's name <name>-credential; shorten it or set spec.secretTemplate.name",
    )]
}

/// Rules on the spec. What needs a clock or another object is checked in `controller::app_credential::validate`.
fn app_credential_spec_rules() -> Vec<Value> {
    const HAS_TYPE: &str = "has(self.secretTemplate) && has(self.secretTemplate.type)";
    const TYPE: &str = "self.secretTemplate.type";
    const OWN: &str = "(has(self.secretFrom) || has(self.secretHash))";
    vec![
        rule(
            "!(has(self.secretFrom) && has(self.secretHash))",
            ".secretHash",
            "spec.secretHash: cannot be set together with spec.secretFrom; remove one of them",
        ),
        rule(
            &format!("!(has(self.rotation) && {OWN})"),
            ".rotation",
            "spec.rotation: a secret of one's own (spec.secretFrom, spec.secretHash) is replaced by changing it; remove spec.rotation",
        ),
        rule(
            "!has(self.tokenLifetime) || (duration(self.tokenLifetime) >= duration('30s') && duration(self.tokenLifetime) <= duration('24h'))",
            ".tokenLifetime",
            "spec.tokenLifetime: must be from 30s to 24h",
        ),
        rule(
            "!has(self.rotation) || !has(self.rotation.interval) || (duration(self.rotation.interval) >= duration('1m') && duration(self.rotation.interval) <= duration('87600h'))",
            ".rotation.interval",
            "spec.rotation.interval: must be from 1m to 87600h (ten years)",
        ),
        rule(
            "!has(self.rotation) || !has(self.rotation.overlap) || duration(self.rotation.overlap) <= duration('8760h')",
            ".rotation.overlap",
            "spec.rotation.overlap: must be 8760h (a year) at most",
        ),
        rule(
            "!has(self.rotation) || !has(self.rotation.interval) || !has(self.rotation.overlap) || duration(self.rotation.overlap) <= duration(self.rotation.interval)",
            ".rotation.overlap",
            "spec.rotation.overlap: must not be longer than spec.rotation.interval",
        ),
        rule(
            "(has(self.clientId) ? self.clientId : '') == (has(oldSelf.clientId) ? oldSelf.clientId : '')",
            ".clientId",
            "spec.clientId: cannot be changed, added or removed; delete the resource and create it anew",
        ),
        rule(
            "(has(self.secretTemplate) && has(self.secretTemplate.type) ? self.secretTemplate.type : 'Opaque') == (has(oldSelf.secretTemplate) && has(oldSelf.secretTemplate.type) ? oldSelf.secretTemplate.type : 'Opaque')",
            ".secretTemplate.type",
            "spec.secretTemplate.type: cannot be changed, as in Kubernetes; delete the resource and create it anew",
        ),
        rule(
            "!has(self.secretTemplate) || !has(self.secretTemplate.type) || !(self.secretTemplate.type.startsWith('snaphook.dev/') || self.secretTemplate.type in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token', 'helm.sh/release.v1'])",
            ".secretTemplate.type",
            "spec.secretTemplate.type: Kubernetes, Helm or Snaphook gives Secrets of this type a meaning of its own; choose another, such as Opaque",
        ),
        rule(
            &format!(
                "!({HAS_TYPE} && {TYPE} in ['kubernetes.io/tls', 'kubernetes.io/dockerconfigjson', 'kubernetes.io/dockercfg'])"
            ),
            ".secretTemplate.type",
            "spec.secretTemplate.type: Kubernetes wants a certificate or a registry's configuration in Secrets of this type; choose another, such as Opaque",
        ),
        rule(
            &format!(
                "!({HAS_TYPE} && {TYPE} == 'kubernetes.io/basic-auth') || {}",
                always_there(&["username", "password"])
            ),
            ".secretTemplate.type",
            "spec.secretTemplate.type: Kubernetes wants the key username or password in Secrets of this type; set spec.secretTemplate.keys to {clientId: username, clientSecret: password}, or choose another type",
        ),
        rule(
            &format!("!({HAS_TYPE} && {TYPE} == 'kubernetes.io/ssh-auth') || {}", always_there(&["ssh-privatekey"])),
            ".secretTemplate.type",
            "spec.secretTemplate.type: Kubernetes wants the key ssh-privatekey in Secrets of this type; set spec.secretTemplate.keys.clientSecret to it, or choose another type",
        ),
        rule(
            "!has(self.secretTemplate) || !has(self.secretTemplate.labels) || self.secretTemplate.labels.all(key, size(key) <= 317 && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') && !key.startsWith('snaphook.dev/'))",
            ".secretTemplate.labels",
            "spec.secretTemplate.labels: keys must be Kubernetes label keys outside snaphook.dev/",
        ),
        rule(
            "!has(self.secretTemplate) || !has(self.secretTemplate.annotations) || self.secretTemplate.annotations.all(key, size(key) <= 317 && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') && !key.startsWith('snaphook.dev/'))",
            ".secretTemplate.annotations",
            "spec.secretTemplate.annotations: keys must be Kubernetes annotation keys outside snaphook.dev/",
        ),
    ]
}

/// Whether the Secret has one of these keys from its first write on: the former secret comes later, and one that is only known
/// by its hash never does. No default name is among what Kubernetes asks for.
fn always_there(names: &[&str]) -> String {
    let among = |field: &str| {
        format!("(has(self.secretTemplate.keys.{field}) && self.secretTemplate.keys.{field} in {names:?})")
    };
    let fields = ["clientId", "issuer", "tokenUrl", "introspectionUrl", "jwksUrl"].map(among).join(" || ");
    format!("(has(self.secretTemplate.keys) && ({fields} || (!has(self.secretHash) && {})))", among("clientSecret"))
}

/// Rules on `spec.secretTemplate.keys`: all values lie in one Secret, so each needs a key of its own.
fn secret_keys_rules() -> Vec<Value> {
    let keys = [
        ("clientId", "client-id"),
        ("clientSecret", "client-secret"),
        ("clientSecretPrevious", "client-secret-previous"),
        ("issuer", "issuer"),
        ("tokenUrl", "token-url"),
        ("introspectionUrl", "introspection-url"),
        ("jwksUrl", "jwks-url"),
    ];
    let names = keys.map(|(field, default)| format!("has(self.{field}) ? self.{field} : '{default}'"));
    let names = format!("[{}]", names.join(", "));
    vec![rule(
        &format!("{names}.all(name, {names}.exists_one(other, other == name))"),
        "",
        "spec.secretTemplate.keys: two values would lie under one key; give each a name of its own",
    )]
}

/// Adds what the derive does not write: CEL rules, and the default status that lets `kubectl wait` and Argo CD see a
/// resource before its first reconcile.
fn complete(crd: CustomResourceDefinition, object_rules: &[Value], spec_rules: &[Value]) -> CustomResourceDefinition {
    let Ok(mut value) = serde_json::to_value(&crd) else { return crd };
    let schema = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["x-kubernetes-validations"] = json!(object_rules);
    schema["properties"]["spec"]["x-kubernetes-validations"] = json!(spec_rules);
    schema["properties"]["spec"]["properties"]["secretTemplate"]["properties"]["keys"]["x-kubernetes-validations"] =
        json!(secret_keys_rules());
    schema["properties"]["status"]["default"] = json!({ "observedGeneration": -1 });
    serde_json::from_value(value).unwrap_or(crd)
}
