//! Flow 1, pure: what the API server asks of any object: its kind, and the names in its metadata.

use serde_json::Value;

use super::{Place, Problem};

/// Everything that `ObjectMeta` has; `kubectl apply` refuses other fields.
const FIELDS: [&str; 14] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "uid",
];
const SUBDOMAIN: &str = "must consist of lower-case letters, digits, '-' and '.', and begin and end with a letter or digit (RFC 1123 subdomain)";
const LABEL: &str =
    "must be at most 63 lower-case letters, digits and '-', and begin and end with a letter or digit (RFC 1123 label)";
const KEY: &str =
    "must be a name of at most 63 letters, digits, '-', '_' and '.', with an optional prefix such as example.com/";
const LABEL_VALUE: &str =
    "must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit";
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Checks `metadata`.
pub(super) fn check(object: &Value) -> Vec<Problem> {
    let root = Place::default().child("metadata");
    let Some(metadata) = object.get("metadata").and_then(Value::as_object) else {
        return vec![Problem { place: root, message: "Required value: a resource needs a metadata.name".into() }];
    };
    let mut problems = Vec::new();
    let mut refuse = |place: Place, message: &str| problems.push(Problem { place, message: message.to_owned() });
    for field in metadata.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
        refuse(root.child(field), "unknown field: remove it, or mend its spelling");
    }
    match metadata.get("name").map(Value::as_str) {
        None => refuse(root.child("name"), "Required value: give the resource a name"),
        Some(name) if !name.is_some_and(is_subdomain) => refuse(root.child("name"), SUBDOMAIN),
        Some(_) => {}
    }
    if let Some(namespace) = metadata.get("namespace")
        && !namespace.as_str().is_some_and(is_label)
    {
        refuse(root.child("namespace"), LABEL);
    }
    let labels = metadata.get("labels").map(|labels| (root.child("labels"), labels, true));
    let annotations = metadata.get("annotations").map(|annotations| (root.child("annotations"), annotations, false));
    for (place, map, are_labels) in labels.into_iter().chain(annotations) {
        check_map(&place, map, are_labels, &mut refuse);
    }
    problems
}

fn check_map(place: &Place, map: &Value, are_labels: bool, refuse: &mut impl FnMut(Place, &str)) {
    let map = match map {
        Value::Object(map) => map,
        Value::Null => return,
        _ => return refuse(place.clone(), "must be a map from keys to strings"),
    };
    let mut size = 0;
    for (key, value) in map {
        if !is_qualified_name(key) {
            refuse(place.child(key), KEY);
        }
        match value.as_str() {
            None => refuse(place.child(key), "must be a string: put it in quotes"),
            Some(value) if are_labels && !is_label_value(value) => refuse(place.child(key), LABEL_VALUE),
            Some(value) => size += key.len() + value.len(),
        }
    }
    if !are_labels && size > MAX_ANNOTATIONS {
        refuse(place.clone(), "Too long: annotations may not be more than 262144 bytes together");
    }
}

fn is_alphanumeric_at_both_ends(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends(text.as_bytes().first()) && ends(text.as_bytes().last())
}

fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 63 && is_alphanumeric_at_both_ends(text) && text.bytes().all(fits)
}

fn is_subdomain(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 253 && text.split('.').all(|part| is_alphanumeric_at_both_ends(part) && part.bytes().all(fits))
}

fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.is_empty() || (text.len() <= 63 && is_alphanumeric_at_both_ends(text) && text.bytes().all(fits))
}
