//! Flow 1, pure: the CEL rules in the CRDs. Each message names the field and the fix.
//!
//! What needs a clock or another object is checked in the `validate` step of each kind.

pub(super) mod app_credential;
mod secret_template;
pub(super) mod webhook;
pub(super) mod webhook_credential;

use serde_json::{Value, json};

use crate::delivery::inject::RESERVED;

/// Rules, and the place in the schema that they are written at: field names, joined by dots; the object itself where it is empty.
pub(super) type Placed = (&'static str, Vec<Value>);

/// RFC 9110, section 5.6.2.
const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// A key of a label or annotation: a name, and a DNS subdomain before it.
const QUALIFIED_NAME: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// A prefix of such a key that is too long.
const LONG_PREFIX: &str = "^[^/]{254}";

/// A pattern of the header names that belong to HTTP or to Snaphook: a user who sets one of them breaks the call, or forges what others
/// rely on. Receivers take `_` and `.` for `-`.
fn reserved_header() -> String {
    let names = RESERVED.map(|name| name.replace('-', "[-_.]").replace('*', ".*"));
    format!("(?i)^({})$", names.join("|"))
}

fn rule(expression: &str, field: &str, message: &str) -> Value {
    let mut rule = json!({ "rule": expression, "message": message });
    if !field.is_empty() {
        rule["fieldPath"] = json!(field);
    }
    rule
}

/// The condition under which an optional field is not there: `!has(self.a) || !has(self.a.b)`.
fn absent(field: &str) -> String {
    let mut path = String::from("self");
    let steps = field.split('.').map(|part| {
        path = format!("{path}.{part}");
        format!("!has({path})")
    });
    steps.collect::<Vec<_>>().join(" || ")
}

/// An optional duration that must be from `low` to `high`. `place` is where the rule stands, `field` what it is about, from there.
fn between(place: &str, field: &str, low: &str, high: &str) -> Value {
    rule(
        &format!(
            "{} || (duration(self.{field}) >= duration('{low}') && duration(self.{field}) <= duration('{high}'))",
            absent(field)
        ),
        &format!(".{field}"),
        &format!("{place}.{field}: must be from {low} to {high}"),
    )
}

/// A field that cannot be set, under a condition.
fn forbidden(place: &str, field: &str, unless: &str, why: &str) -> Value {
    rule(&format!("{} || ({unless})", absent(field)), &format!(".{field}"), &format!("{place}.{field}: {why}"))
}

/// Keys of the map `field` that must be what `expression` says of `key`.
fn each_key(field: &str, expression: &str, message: &str) -> Value {
    rule(&format!("{} || self.{field}.all(key, {expression})", absent(field)), &format!(".{field}"), message)
}
