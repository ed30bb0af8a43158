//! Flow 1, pure: the rules on `spec.secretTemplate`, which all kinds have.

use serde_json::Value;

use super::{QUALIFIED_NAME, each_key, rule};

const HAS_TYPE: &str = "has(self.secretTemplate) && has(self.secretTemplate.type)";
const TYPE: &str = "self.secretTemplate.type";

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

/// On the spec.
pub(super) fn rules() -> Vec<Value> {
    let type_of = |spec: &str| {
        format!(
            "(has({spec}.secretTemplate) && has({spec}.secretTemplate.type) ? {spec}.secretTemplate.type : 'Opaque')"
        )
    };
    let key = format!("size(key) <= 317 && key.matches('{QUALIFIED_NAME}') && !key.startsWith('snaphook.dev/')");
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
        rule(
            &format!(
                "!({HAS_TYPE} && {TYPE} in ['kubernetes.io/tls', 'kubernetes.io/dockerconfigjson', 'kubernetes.io/dockercfg'])"
            ),
            ".secretTemplate.type",
            "spec.secretTemplate.type: Kubernetes wants a certificate or a registry's configuration in Secrets of this type; choose another, such as Opaque",
        ),
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

/// On the spec: types of Secrets that Kubernetes wants certain keys in. `always` are the fields of `keys` whose values are there from
/// the first write on, each with the CEL condition for it, if there is one. No default name is among what Kubernetes asks for.
pub(super) fn typed(always: &[(&str, Option<&str>)], basic: &str, ssh: &str) -> Vec<Value> {
    let one_is = |names: &[&str]| {
        let among = |(field, condition): &(&str, Option<&str>)| {
            let condition = condition.map(|condition| format!("{condition} && ")).unwrap_or_default();
            format!(
                "({condition}has(self.secretTemplate.keys.{field}) && self.secretTemplate.keys.{field} in {names:?})"
            )
        };
        let fields = always.iter().map(among).collect::<Vec<_>>().join(" || ");
        format!("(has(self.secretTemplate.keys) && ({fields}))")
    };
    let wants = |type_: &str, names: &[&str], fix: &str| {
        rule(
            &format!("!({HAS_TYPE} && {TYPE} == '{type_}') || {}", one_is(names)),
            ".secretTemplate.type",
            &format!(
                "spec.secretTemplate.type: Kubernetes wants the key {} in Secrets of this type; set spec.secretTemplate.keys{fix}, or choose another type",
                names.join(" or ")
            ),
        )
    };
    vec![
        wants("kubernetes.io/basic-auth", &["username", "password"], basic),
        wants("kubernetes.io/ssh-auth", &["ssh-privatekey"], ssh),
    ]
}

/// On `spec.secretTemplate.keys`: all values lie in one Secret, so each needs a key of its own. `keys` are fields and their defaults.
pub(super) fn distinct_keys(keys: &[(&str, &str)]) -> Value {
    let name = |(field, default): &(&str, &str)| format!("has(self.{field}) ? self.{field} : '{default}'");
    let names = format!("[{}]", keys.iter().map(name).collect::<Vec<_>>().join(", "));
    rule(
        &format!("{names}.all(name, {names}.exists_one(other, other == name))"),
        "",
        "spec.secretTemplate.keys: two values would lie under one key; give each a name of its own",
    )
}
