//! Flow 1, pure: the rules on `spec.secretTemplate`, which all kinds have.

use serde_json::Value;

use super::{LONG_PREFIX, QUALIFIED_NAME, each_key, rule};

/// Bundles of records, signing keys, the key of tenants to their deliveries, and the key of seals.
const RESERVED_NAME: &str = "^snaphook-(records-[0-9]+|signing-keys|deliveries|seal-key)$";
/// As [`record::file_name`](crate::record::file_name) makes them, and the key of a record Secret.
const RESERVED_KEY: &str = "^((client|endpoint|injection|signing-keys)[.].*[.]json|record[.]json)$";

/// On the object: there must be room for the default name of the Secret, `<name>-<suffix>`.
pub(super) fn room_for_name(suffix: &str) -> Value {
    let longest = 253 - suffix.len() - 1;
    rule(
        &format!(
            "(has(self.spec.secretTemplate) && has(self.spec.secretTemplate.name)) || size(self.metadata.name) <= {longest}"
        ),
        "",
        &format!(
            "metadata.name: longer than {longest} characters leaves no room for the Secret's name <name>-{suffix}; shorten it or set spec.secretTemplate.name"
        ),
    )
}

/// Which values lie in the Secret from its first write on.
pub(super) struct FirstWrite {
    /// Fields of `spec.secretTemplate.keys`.
    pub(super) always: &'static [&'static str],
    /// The field of the secret value, and the CEL condition under which that is there.
    pub(super) secret: (&'static str, &'static str),
    /// Keys that satisfy `kubernetes.io/basic-auth`, as users write them.
    pub(super) example: &'static str,
}

/// On the spec.
pub(super) fn rules(first: &FirstWrite) -> Vec<Value> {
    [vec![name()], types(), types_with_keys(first), metadata()].concat()
}

/// Secrets that Snaphook itself makes in some namespaces.
fn name() -> Value {
    rule(
        &format!(
            "!has(self.secretTemplate) || !has(self.secretTemplate.name) || !self.secretTemplate.name.matches('{RESERVED_NAME}')"
        ),
        ".secretTemplate.name",
        "spec.secretTemplate.name: Snaphook uses Secrets of this name itself; choose another",
    )
}

fn types() -> Vec<Value> {
    let type_of = |spec: &str| {
        format!(
            "(has({spec}.secretTemplate) && has({spec}.secretTemplate.type) ? {spec}.secretTemplate.type : 'Opaque')"
        )
    };
    vec![
        rule(
            &format!("{} == {}", type_of("self"), type_of("oldSelf")),
            ".secretTemplate.type",
            "spec.secretTemplate.type: cannot be changed, as in Kubernetes; delete the resource and create it anew",
        ),
        rule(
            "!has(self.secretTemplate) || !has(self.secretTemplate.type) || !(self.secretTemplate.type.startsWith('snaphook.dev/') || self.secretTemplate.type in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token', 'helm.sh/release.v1'])",
            ".secretTemplate.type",
            "spec.secretTemplate.type: Kubernetes, Helm or Snaphook gives Secrets of this type a meaning of its own; choose another, such as Opaque",
        ),
    ]
}

/// Types whose keys the API server looks for.
fn types_with_keys(first: &FirstWrite) -> Vec<Value> {
    const HAS_TYPE: &str = "has(self.secretTemplate) && has(self.secretTemplate.type)";
    const TYPE: &str = "self.secretTemplate.type";
    let FirstWrite { secret: (secret, _), example, .. } = first;
    vec![
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
                first.has_one_of(&["username", "password"])
            ),
            ".secretTemplate.type",
            &format!(
                "spec.secretTemplate.type: Kubernetes wants the key username or password in Secrets of this type; set spec.secretTemplate.keys to {example}, or choose another type"
            ),
        ),
        rule(
            &format!(
                "!({HAS_TYPE} && {TYPE} == 'kubernetes.io/ssh-auth') || {}",
                first.has_one_of(&["ssh-privatekey"])
            ),
            ".secretTemplate.type",
            &format!(
                "spec.secretTemplate.type: Kubernetes wants the key ssh-privatekey in Secrets of this type; set spec.secretTemplate.keys.{secret} to it, or choose another type"
            ),
        ),
    ]
}

impl FirstWrite {
    /// Whether the Secret has one of these keys from then on. No default name is among what Kubernetes asks for.
    fn has_one_of(&self, names: &[&str]) -> String {
        let among = |field: &str| {
            format!("(has(self.secretTemplate.keys.{field}) && self.secretTemplate.keys.{field} in {names:?})")
        };
        let always = self.always.iter().map(|field| among(field)).collect::<Vec<_>>().join(" || ");
        let (secret, condition) = self.secret;
        format!("(has(self.secretTemplate.keys) && ({always} || ({condition} && {})))", among(secret))
    }
}

fn metadata() -> Vec<Value> {
    let key = format!(
        "size(key) <= 317 && key.matches('{QUALIFIED_NAME}') && !key.matches('{LONG_PREFIX}') && !key.startsWith('snaphook.dev/')"
    );
    vec![
        each_key(
            "secretTemplate.labels",
            &key,
            "spec.secretTemplate.labels: keys must be Kubernetes label keys outside snaphook.dev/",
        ),
        each_key(
            "secretTemplate.annotations",
            &key,
            "spec.secretTemplate.annotations: keys must be Kubernetes annotation keys outside snaphook.dev/",
        ),
    ]
}

/// On `spec.secretTemplate.keys`: all values lie in one Secret, so each needs a key of its own. `keys` are fields and their defaults.
pub(super) fn distinct_keys(keys: &[(&str, &str)]) -> Value {
    let names = names("self", keys);
    rule(
        &format!("{names}.all(name, {names}.exists_one(other, other == name))"),
        "",
        "spec.secretTemplate.keys: two values would lie under one key; give each a name of its own",
    )
}

/// On `spec.secretTemplate.keys`: what a sidecar would read as a record.
pub(super) fn record_keys(keys: &[(&str, &str)]) -> Value {
    rule(
        &format!("{}.all(name, !name.matches('{RESERVED_KEY}'))", names("self", keys)),
        "",
        "spec.secretTemplate.keys: Snaphook keeps its own records under keys like this; choose other names",
    )
}

/// On `spec.secretTemplate`: what Service Binding wants in the Secret needs its own keys as well.
pub(super) fn binding_keys(keys: &[(&str, &str)]) -> Value {
    rule(
        &format!(
            "!has(self.serviceBinding) || !has(self.keys) || {}.all(name, name != 'type' && name != 'provider')",
            names("self.keys", keys)
        ),
        ".keys",
        "spec.secretTemplate.keys: type and provider are entries of spec.secretTemplate.serviceBinding; choose other names",
    )
}

/// The names that the keys have, as a CEL list.
fn names(place: &str, keys: &[(&str, &str)]) -> String {
    let name = |(field, default): &(&str, &str)| format!("has({place}.{field}) ? {place}.{field} : '{default}'");
    format!("[{}]", keys.iter().map(name).collect::<Vec<_>>().join(", "))
}
