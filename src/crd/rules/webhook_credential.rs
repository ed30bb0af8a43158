//! Flow 1, pure: the rules on a `WebhookCredential`.

use serde_json::Value;

use super::{
    Placed, TOKEN, reserved_header, rule,
    secret_template::{self, FirstWrite},
};

const KEYS: [(&str, &str); 3] = [("fieldName", "field-name"), ("location", "location"), ("value", "value")];

const FIRST_WRITE: FirstWrite = FirstWrite {
    always: &["fieldName", "location"],
    secret: ("value", "true"),
    example: "{fieldName: username, value: password}",
};

pub(in crate::crd) fn rules() -> Vec<Placed> {
    vec![
        ("", vec![secret_template::room_for_name("webhook-credential")]),
        ("spec", [spec(), secret_template::rules(&FIRST_WRITE)].concat()),
        ("spec.secretTemplate", vec![secret_template::binding_keys(&KEYS)]),
        ("spec.secretTemplate.keys", vec![secret_template::distinct_keys(&KEYS), secret_template::record_keys(&KEYS)]),
    ]
}

fn spec() -> Vec<Value> {
    vec![
        rule(
            "self.type == oldSelf.type",
            ".type",
            "spec.type: cannot be changed; delete the resource and create it anew",
        ),
        rule(
            "has(self.clientId) != has(self.clientIdFrom)",
            ".clientId",
            "spec.clientId: set either spec.clientId or spec.clientIdFrom, and not both",
        ),
        rule(
            "self.type != 'ClientIdAndSecret' || has(self.clientSecretFrom)",
            ".clientSecretFrom",
            "spec.clientSecretFrom: required with type ClientIdAndSecret",
        ),
        rule(
            "self.type == 'ClientIdAndSecret' || !has(self.clientSecretFrom)",
            ".clientSecretFrom",
            "spec.clientSecretFrom: only with type ClientIdAndSecret; remove it",
        ),
        rule(
            &format!("self.location != 'Header' || self.fieldName.matches(\"{TOKEN}\")"),
            ".fieldName",
            "spec.fieldName: the name of a header has letters, digits and !#$%&'*+-.^_`|~ only (RFC 9110, section 5.6.2)",
        ),
        rule(
            "self.location != 'QueryParam' || self.fieldName.matches('^[^%&=#?+]+$')",
            ".fieldName",
            "spec.fieldName: write the name of a query parameter decoded, without any of % & = # ? +",
        ),
        rule(
            &format!("self.location != 'Header' || !self.fieldName.matches('{}')", reserved_header()),
            ".fieldName",
            "spec.fieldName: this header belongs to HTTP or is set by Snaphook itself; choose another, such as Authorization or X-Api-Key",
        ),
    ]
}
