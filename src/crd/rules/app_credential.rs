//! Flow 1, pure: the rules on an `AppCredential`.

use serde_json::Value;

use super::{
    Placed, between, rule,
    secret_template::{self, FirstWrite},
};

const KEYS: [(&str, &str); 7] = [
    ("clientId", "client-id"),
    ("clientSecret", "client-secret"),
    ("clientSecretPrevious", "client-secret-previous"),
    ("issuer", "issuer"),
    ("tokenUrl", "token-url"),
    ("introspectionUrl", "introspection-url"),
    ("jwksUrl", "jwks-url"),
];

/// The former secret comes later, and one that is only known by its hash never does.
const FIRST_WRITE: FirstWrite = FirstWrite {
    always: &["clientId", "issuer", "tokenUrl", "introspectionUrl", "jwksUrl"],
    secret: ("clientSecret", "!has(self.secretHash)"),
    example: "{clientId: username, clientSecret: password}",
};

pub(in crate::crd) fn rules() -> Vec<Placed> {
    vec![
        ("", vec![secret_template::room_for_name("credential")]),
        ("spec", [spec(), secret_template::rules(&FIRST_WRITE)].concat()),
        ("spec.secretTemplate", vec![secret_template::binding_keys(&KEYS)]),
        ("spec.secretTemplate.keys", vec![secret_template::distinct_keys(&KEYS), secret_template::record_keys(&KEYS)]),
    ]
}

fn spec() -> Vec<Value> {
    vec![
        rule(
            "!(has(self.secretFrom) && has(self.secretHash))",
            ".secretHash",
            "spec.secretHash: cannot be set together with spec.secretFrom; remove one of them",
        ),
        rule(
            "!(has(self.rotation) && (has(self.secretFrom) || has(self.secretHash)))",
            ".rotation",
            "spec.rotation: a secret of one's own (spec.secretFrom, spec.secretHash) is replaced by changing it; remove spec.rotation",
        ),
        between("spec", "tokenLifetime", "30s", "24h"),
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
    ]
}
