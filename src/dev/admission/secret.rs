//! Flow 1 without a cluster: a Secret from its document. What is said about a mistake never quotes a value.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::Value;

use crate::{
    crd::check::{Place, Problem},
    dev::Key,
};

/// Reads a Secret as `kubectl apply` would store it.
pub(super) fn read(document: &Value, default_namespace: &str) -> Result<(Key, Secret), Vec<Problem>> {
    let mut problems = Vec::new();
    let text = |path: &str| document.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let namespace = text("/metadata/namespace").unwrap_or_else(|| default_namespace.to_owned());
    let name = text("/metadata/name").unwrap_or_default();
    if name.is_empty() {
        problems.push(problem(Place::parse("metadata.name"), "Required value: give the Secret a name"));
    }
    let labels = strings(document, "metadata.labels", &mut problems);
    let annotations = strings(document, "metadata.annotations", &mut problems);
    let mut data = BTreeMap::new();
    for (key, value) in strings(document, "data", &mut problems) {
        // YAML may break Base64 into lines, and the API server reads it so.
        let packed: String = value.chars().filter(|char| !char.is_ascii_whitespace()).collect();
        match STANDARD.decode(packed) {
            Ok(bytes) => _ = data.insert(key, ByteString(bytes)),
            Err(_) => problems.push(problem(
                Place::default().child("data").child(&key),
                "is not standard Base64: encode the value, or write it under stringData",
            )),
        }
    }
    let plain = strings(document, "stringData", &mut problems);
    data.extend(plain.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))));
    if !problems.is_empty() {
        return Err(problems);
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        type_: Some(text("/type").unwrap_or_else(|| "Opaque".into())),
        data: Some(data),
        immutable: document.get("immutable").and_then(Value::as_bool),
        ..Secret::default()
    };
    Ok(((namespace, name), secret))
}

fn problem(place: Place, message: &str) -> Problem {
    Problem { place, message: message.to_owned() }
}

/// A map from strings to strings.
fn strings(document: &Value, path: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let place = Place::parse(path);
    let map = match place.parts().iter().try_fold(document, |value, part| value.get(part)) {
        None | Some(Value::Null) => return BTreeMap::new(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            problems.push(problem(place, "must be a map from keys to strings"));
            return BTreeMap::new();
        }
    };
    let mut strings = BTreeMap::new();
    for (key, value) in map {
        match value {
            Value::String(value) => _ = strings.insert(key.clone(), value.clone()),
            Value::Null => _ = strings.insert(key.clone(), String::new()),
            _ => problems.push(problem(place.child(key), "must be a string: put it in quotes")),
        }
    }
    strings
}
