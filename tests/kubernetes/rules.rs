//! What the API server itself refuses, with a message that names the field; the check without one has the same verdicts.

use axum::http::Request;
use kube::Client;
use serde_json::Value;

use crate::cases::{self, Case, Kind};

const CRDS: &str = include_str!("../../crds/snaphook.dev.yaml");

#[tokio::test]
async fn each_rule_accepts_and_refuses_as_it_should() {
    let plane = control_plane::shared().await.unwrap();
    plane.install_crds(CRDS).await.unwrap();
    let namespace = plane.namespace("rules").await.unwrap();
    let (client, mut complaints) = (plane.client().await.unwrap(), Vec::new());
    for kind in &cases::KINDS {
        for (number, case) in cases::all(kind).iter().enumerate() {
            let verdict = verdict(&client, &namespace, &format!("case-{number}"), kind, case).await;
            complaints.extend(case.judge(verdict).err());
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// As `kubectl` asks: nothing is stored, and unknown fields are refused.
async fn verdict(client: &Client, namespace: &str, name: &str, kind: &Kind, case: &Case) -> Result<(), String> {
    let plural = (kind.crd)().spec.names.plural;
    let collection = format!("/apis/snaphook.dev/v1alpha1/namespaces/{namespace}/{plural}");
    let dry = "dryRun=All&fieldValidation=Strict";
    let mut object = case.object(name, namespace);
    let Some(old) = case.old(name, namespace) else {
        return send(client, "POST", &format!("{collection}?{dry}"), &object).await.map(drop);
    };
    let stored = send(client, "POST", &collection, &old).await.unwrap();
    object["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    send(client, "PUT", &format!("{collection}/{name}?{dry}"), &object).await.map(drop)
}

async fn send(client: &Client, method: &str, uri: &str, body: &Value) -> Result<Value, String> {
    let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(body).unwrap()).unwrap();
    match client.request::<Value>(request).await {
        Ok(value) => Ok(value),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => panic!("{uri}: {error}"),
    }
}
