//! Flow 1, pure: the rules on a `Webhook`.

use serde_json::Value;

use super::{
    Placed, QUALIFIED_NAME, TOKEN, between, each_key, forbidden, reserved_header, rule,
    secret_template::{self, FirstWrite},
};

const KEYS: [(&str, &str); 5] = [
    ("url", "url"),
    ("internalUrl", "internal-url"),
    ("signingSecret", "signing-secret"),
    ("signingSecretPrevious", "signing-secret-previous"),
    ("deliverySigningSecret", "delivery-signing-secret"),
];

const FIRST_WRITE: FirstWrite = FirstWrite {
    always: &["url", "internalUrl"],
    secret: ("signingSecret", "!(self.verification.type in ['None', 'AppCredential'])"),
    example: "{url: username, signingSecret: password}",
};

pub(in crate::crd) fn rules() -> Vec<Placed> {
    vec![
        ("", vec![secret_template::room_for_name("webhook")]),
        ("spec", [spec(), secret_template::rules(&FIRST_WRITE)].concat()),
        ("spec.verification", verification()),
        ("spec.delivery", delivery()),
        ("spec.route", route()),
        ("spec.secretTemplate", vec![secret_template::binding_keys(&KEYS)]),
        ("spec.secretTemplate.keys", vec![secret_template::distinct_keys(&KEYS), secret_template::record_keys(&KEYS)]),
    ]
}

fn spec() -> Vec<Value> {
    vec![
        rule(
            "!has(self.rotation) || !has(self.rotation.secretNonce) || (has(self.delivery.sign) && self.delivery.sign) || !(has(self.verification.secretFrom) || self.verification.type in ['None', 'AppCredential'])",
            ".rotation.secretNonce",
            "spec.rotation.secretNonce: there is no generated secret to replace (a secret of one's own is replaced by changing it); remove it",
        ),
        rule(
            "!has(self.rotation) || !has(self.rotation.overlap) || duration(self.rotation.overlap) <= duration('8760h')",
            ".rotation.overlap",
            "spec.rotation.overlap: must be 8760h (a year) at most",
        ),
    ]
}

fn verification() -> Vec<Value> {
    const PLACE: &str = "spec.verification";
    let hmac_only = |field| forbidden(PLACE, field, "self.type == 'Hmac'", "only with type Hmac; remove it");
    let mut rules = vec![
        rule(
            "self.type != 'Hmac' || has(self.header)",
            ".header",
            "spec.verification.header: required with type Hmac: the header that holds the signature",
        ),
        rule(
            "self.type != 'Basic' || has(self.username)",
            ".username",
            "spec.verification.username: required with type Basic",
        ),
        forbidden(PLACE, "username", "self.type == 'Basic'", "only with type Basic; remove it"),
        rule(
            "self.type != 'AppCredential' || has(self.scopes)",
            ".scopes",
            "spec.verification.scopes: required with type AppCredential, or every client of the realm could post",
        ),
        forbidden(PLACE, "scopes", "self.type == 'AppCredential'", "only with type AppCredential; remove it"),
        forbidden(PLACE, "audience", "self.type == 'AppCredential'", "only with type AppCredential; remove it"),
        forbidden(PLACE, "clients", "self.type == 'AppCredential'", "only with type AppCredential; remove it"),
        forbidden(
            PLACE,
            "secretFrom",
            "!(self.type in ['None', 'AppCredential'])",
            "types None and AppCredential have no secret; remove it",
        ),
    ];
    let fields =
        ["header", "algorithm", "encoding", "prefix", "signedContent", "timestampHeader", "idHeader", "tolerance"];
    rules.extend(fields.map(hmac_only));
    rules.extend(signed_content());
    rules
}

fn signed_content() -> [Value; 9] {
    const PLACE: &str = "spec.verification";
    let asks_for = |what: &str| format!("has(self.signedContent) && self.signedContent.contains('{{{what}}}')");
    let needs = |what: &str, field: &str| {
        rule(
            &format!("!({}) || has(self.{field})", asks_for(what)),
            &format!(".{field}"),
            &format!("{PLACE}.{field}: required, as spec.verification.signedContent has {{{what}}}"),
        )
    };
    let refuse = |pattern: &str, message: &str| {
        rule(
            &format!("!has(self.signedContent) || !self.signedContent.matches('{pattern}')"),
            ".signedContent",
            &format!("{PLACE}.signedContent: {message}"),
        )
    };
    [
        refuse(
            "[}][{]",
            "put fixed text between two placeholders, or bytes could be moved from one to the other under the same signature",
        ),
        refuse(
            "(?s)[{]body[}].*[{](body|id)[}]|[{]body[}].*[{]timestamp[}].*[{]timestamp[}]",
            "after {body} there may be fixed text and {timestamp} only, or another body could have the same signature",
        ),
        refuse(
            "[0-9][{]timestamp[}]|[{]timestamp[}][0-9]",
            "put no digit next to {timestamp}, or the time could be cut at another place",
        ),
        rule(
            "!has(self.signedContent) || self.signedContent.contains('{body}')",
            ".signedContent",
            "spec.verification.signedContent: must have {body}, or anything could be posted under one signature",
        ),
        needs("timestamp", "timestampHeader"),
        needs("id", "idHeader"),
        forbidden(
            PLACE,
            "timestampHeader",
            &asks_for("timestamp"),
            "proves nothing where spec.verification.signedContent has no {timestamp}; add it there, or remove this",
        ),
        forbidden(
            PLACE,
            "tolerance",
            "has(self.timestampHeader)",
            "only with spec.verification.timestampHeader; remove it",
        ),
        between(PLACE, "tolerance", "1s", "24h"),
    ]
}

fn delivery() -> Vec<Value> {
    const PLACE: &str = "spec.delivery";
    vec![
        rule(
            "has(self.url) != has(self.service)",
            ".url",
            "spec.delivery.url: set either spec.delivery.url or spec.delivery.service, and not both",
        ),
        forbidden(
            PLACE,
            "onMissingCredential",
            "has(self.credentialRef)",
            "only with spec.delivery.credentialRef; remove it",
        ),
        each_key(
            "headers",
            &format!("size(key) <= 128 && key.matches(\"{TOKEN}\") && !key.matches('{}')", reserved_header()),
            "spec.delivery.headers: keys must be names of headers (RFC 9110, section 5.6.2) that belong neither to HTTP nor to Snaphook itself",
        ),
        between(PLACE, "timeout", "1s", "5m"),
        between(PLACE, "retry.initialDelay", "1s", "1h"),
        between(PLACE, "retry.maxDelay", "1s", "24h"),
        rule(
            "!has(self.retry) || duration(has(self.retry.initialDelay) ? self.retry.initialDelay : '5s') <= duration(has(self.retry.maxDelay) ? self.retry.maxDelay : '10h')",
            ".retry.maxDelay",
            "spec.delivery.retry.maxDelay: must not be shorter than spec.delivery.retry.initialDelay (default 5s)",
        ),
        between(PLACE, "rateLimit.per", "1s", "1h"),
        between(PLACE, "expireAfter", "1m", "720h"),
    ]
}

fn route() -> Vec<Value> {
    const PLACE: &str = "spec.route";
    let something =
        |field| forbidden(PLACE, field, "self.type != 'None'", "there is no route with type None; remove it");
    vec![
        something("host"),
        something("annotations"),
        forbidden(PLACE, "className", "self.type == 'Ingress'", "only with type Ingress; remove it"),
        forbidden(PLACE, "parentRefs", "self.type == 'HTTPRoute'", "only with type HTTPRoute; remove it"),
        each_key(
            "annotations",
            &format!(
                "size(key) <= 317 && key.matches('{QUALIFIED_NAME}') && !key.startsWith('snaphook.dev/') && key != 'kubernetes.io/ingress.class'"
            ),
            "spec.route.annotations: keys must be Kubernetes annotation keys outside snaphook.dev/; the class is spec.route.className",
        ),
    ]
}
