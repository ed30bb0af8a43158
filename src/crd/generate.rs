//! Flow 1: the CRDs as `snaphook crd` prints them: what the derive writes, and what it cannot write.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::{
    AppCredential, Webhook, WebhookCredential,
    rules::{self, Placed},
};

/// Every CRD, in the order in which they are printed.
///
/// # Panics
/// Never: each derived CRD has one version with a schema; a test generates them.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![app_credential(), webhook_credential(), webhook()]
}

/// The CRD of [`AppCredential`].
#[must_use]
pub fn app_credential() -> CustomResourceDefinition {
    complete(AppCredential::crd(), &rules::app_credential::rules())
}

/// The CRD of [`WebhookCredential`].
#[must_use]
pub fn webhook_credential() -> CustomResourceDefinition {
    complete(WebhookCredential::crd(), &rules::webhook_credential::rules())
}

/// The CRD of [`Webhook`].
#[must_use]
pub fn webhook() -> CustomResourceDefinition {
    complete(Webhook::crd(), &rules::webhook::rules())
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

/// Adds what the derive does not write: CEL rules, and the default status that lets `kubectl wait` and Argo CD see a
/// resource before its first reconcile.
fn complete(crd: CustomResourceDefinition, rules: &[Placed]) -> CustomResourceDefinition {
    let Ok(mut value) = serde_json::to_value(&crd) else { return crd };
    let schema = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    for (place, rules) in rules {
        node(schema, place)["x-kubernetes-validations"] = json!(rules);
    }
    schema["properties"]["status"]["default"] = json!({ "observedGeneration": -1 });
    serde_json::from_value(value).unwrap_or(crd)
}

fn node<'a>(schema: &'a mut Value, place: &str) -> &'a mut Value {
    let fields = place.split('.').filter(|field| !field.is_empty());
    fields.fold(schema, |schema, field| &mut schema["properties"][field])
}
