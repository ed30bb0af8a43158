//! An inbound endpoint: its URL, its secrets, where it delivers to, and what of it lasts.

mod credential;
mod rotation;
mod target;

use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::{Value, json};
use snaphook::{
    crd::{Webhook, WebhookStatus, webhook::EndpointState},
    record::{
        EndpointRecord,
        endpoint::{HandlerType, InactiveMode, Target, Verification},
    },
};

use crate::harness::{Tenant, until, value};

/// A Webhook with this in its spec besides what every one needs.
fn webhook(name: &str, spec: &Value) -> String {
    let mut whole =
        json!({ "verification": { "type": "GitHub" }, "delivery": { "url": "https://hooks.example.net/in" } });
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    json!({ "kind": "Webhook", "metadata": { "name": name }, "spec": whole }).to_string()
}

/// The id in a URL.
fn id(url: &str) -> String {
    let (_, id) = url.rsplit_once("/hooks/").unwrap_or_else(|| panic!("{url} is no URL of a hook"));
    id.to_owned()
}

/// Values, with whether they have an end.
type Versions = Vec<(String, bool)>;

/// The ids and secrets of a record.
fn versions(record: &EndpointRecord) -> (Versions, Versions) {
    let urls = record.urls.iter().map(|url| (url.id.expose().to_owned(), url.not_after.is_some()));
    let secrets = record.secrets.iter().map(|it| (it.value.expose().to_owned(), it.not_after.is_some()));
    (urls.collect(), secrets.collect())
}

#[tokio::test]
async fn what_kubectl_applies_becomes_a_url_a_secret_and_a_row_in_kubectl_get() {
    let t = Tenant::new("hook").await;
    let all = t.of::<Webhook>();
    let kubectl = async |arguments: &[&str]| {
        let arguments = [&["--namespace", &t.namespace], arguments].concat();
        t.plane.kubectl(&arguments).await.unwrap().success().unwrap()
    };
    let spec = json!({
        "displayName": "Alerts from Alertmanager",
        "handler": { "type": "Alertmanager", "filter": "body.status == 'firing'" },
        "delivery": { "url": "https://hooks.example.net/in?token=unseen" },
    });
    t.apply(&webhook("alerts", &spec)).await;
    kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "webhook/alerts"]).await;
    let resource = all.ready("alerts").await;
    let secret = t.secret("alerts-webhook").await;
    let url = value(&secret, "url");
    assert!(url.starts_with("https://auth.example.com/hooks/") && id(&url).len() == 43, "{url}");
    assert_eq!(value(&secret, "internal-url"), format!("http://snaphook.test/hooks/{}", id(&url)));
    let signing_secret = value(&secret, "signing-secret");
    assert!(signing_secret.starts_with("whsec_") && signing_secret.len() == 50, "{signing_secret}");
    assert_eq!(secret.data.as_ref().unwrap().len(), 3, "nothing else");
    assert_eq!(secret.owner_references()[0].uid, resource.uid().unwrap());

    let table = kubectl(&["get", "wh", "-o", "wide"]).await;
    let columns = ["DISPLAY NAME", "URL", "HANDLER", "DELIVERY", "AUTH", "STATUS", "AGE", "READY", "SECRET"];
    let cells = ["Alerts from Alertmanager", &url, "Alertmanager", "https://hooks.example.net", "No Auth", "Active"];
    for text in columns.iter().chain(&cells) {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }
    assert!(!table.contains("unseen"), "a path that may be secret is in\n{table}");
    assert!(t.event("alerts", "Created").await.contains("alerts-webhook"));

    let record = all.record("alerts").await.unwrap();
    assert_eq!(versions(&record), (vec![(id(&url), false)], vec![(signing_secret, false)]));
    assert_eq!((record.active, record.inactive_mode, record.max_body_bytes), (true, InactiveMode::Reject, 1_048_576));
    assert_eq!((record.verification, record.handler.type_), (Verification::GitHub, HandlerType::Alertmanager));
    let delivery = record.delivery;
    assert_eq!(delivery.target, Target::Url("https://hooks.example.net/in?token=unseen".into()));
    assert_eq!((delivery.timeout_seconds, delivery.retry.attempts, delivery.expire_after_seconds), (15, 10, 259_200));
    assert!(delivery.signing_secrets.is_empty());
}

#[tokio::test]
async fn kubectl_delete_returns_when_the_url_is_unknown_and_the_secret_follows() {
    let t = Tenant::new("delete-hook").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!({}))).await;
    all.ready("alerts").await;
    let url = value(&t.secret("alerts-webhook").await, "url");
    all.delete("alerts").await;
    assert!(all.record("alerts").await.is_none());
    until("the Secret goes", || async { t.secrets().get_opt("alerts-webhook").await.unwrap().is_none() }).await;
    t.apply(&webhook("alerts", &json!({}))).await;
    all.ready("alerts").await;
    assert_ne!(
        value(&t.secret("alerts-webhook").await, "url"),
        url,
        "the URL of a deleted Webhook is never used again"
    );
}

#[tokio::test]
async fn with_retain_applying_again_keeps_the_url_that_is_registered_at_the_provider() {
    let t = Tenant::new("retain-hook").await;
    let all = t.of::<Webhook>();
    let spec =
        json!({ "deletionPolicy": "Retain", "delivery": { "url": "https://hooks.example.net/in", "sign": true } });
    t.apply(&webhook("alerts", &spec)).await;
    all.ready("alerts").await;
    let before = t.secret("alerts-webhook").await;
    assert!(before.owner_references().is_empty());
    all.delete("alerts").await;
    assert!(all.record("alerts").await.is_none());
    assert_eq!(t.secret("alerts-webhook").await.data, before.data, "it stays");
    t.apply(&webhook("alerts", &spec)).await;
    all.ready("alerts").await;
    assert_eq!(t.secret("alerts-webhook").await.data, before.data);
    let record = all.record("alerts").await.unwrap();
    assert_eq!(record.urls[0].id.expose(), id(&value(&before, "url")));
    assert_eq!(record.secrets[0].value.expose(), value(&before, "signing-secret"));
    assert_eq!(record.delivery.signing_secrets[0].value.expose(), value(&before, "delivery-signing-secret"));
    t.event("alerts", "Restored").await;
}

#[tokio::test]
async fn a_url_that_another_webhook_has_cannot_be_brought_in_a_secret() {
    let t = Tenant::new("thief").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("victim", &json!({}))).await;
    all.ready("victim").await;
    let url = value(&t.secret("victim-webhook").await, "url");
    let planted = json!({
        "kind": "Secret",
        "metadata": {
            "name": "thief-webhook",
            "labels": { "snaphook.dev/consumer": "webhook" },
            "annotations": { "snaphook.dev/owner": "Webhook/thief" },
        },
        "stringData": { "url": url },
    });
    t.apply(&planted.to_string()).await;
    t.apply(&webhook("thief", &json!({}))).await;
    let message = all.refused("thief", "Stalled", "UrlTaken").await;
    assert!(message.contains("the Webhook victim") && !message.contains(&id(&url)), "{message}");
    assert!(all.record("thief").await.is_none());
    t.secrets().delete("thief-webhook", &DeleteParams::default()).await.unwrap();
    all.ready("thief").await;
    assert_ne!(value(&t.secret("thief-webhook").await, "url"), url);
    // What nobody has and nobody could have generated is not taken either.
    let typed = json!({ "kind": "Secret", "metadata": { "name": "easy-webhook", "labels": { "snaphook.dev/consumer": "webhook" }, "annotations": { "snaphook.dev/owner": "Webhook/easy" } }, "stringData": { "url": "https://auth.example.com/hooks/easy" } });
    t.apply(&typed.to_string()).await;
    t.apply(&webhook("easy", &json!({}))).await;
    all.ready("easy").await;
    assert_eq!(id(&value(&t.secret("easy-webhook").await, "url")).len(), 43);
}

#[tokio::test]
async fn where_everybody_may_post_the_url_is_shown_in_the_secret_alone() {
    let t = Tenant::new("open").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("open", &json!({ "verification": { "type": "None" } }))).await;
    let status = all.ready("open").await.status.unwrap();
    let masked = "https://auth.example.com/hooks/********";
    assert_eq!(status.url.as_deref(), Some(masked));
    assert_eq!(status.internal_url.as_deref(), Some("http://snaphook.test/hooks/********"));
    let secret = t.secret("open-webhook").await;
    assert_eq!(secret.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["internal-url", "url"], "no secret to know");
    let id = id(&value(&secret, "url"));
    all.patch("open", &json!({ "spec": { "rotation": { "urlNonce": "2" } } })).await;
    assert!(!t.event("open", "UrlRotated").await.contains(&id));
    let resource = serde_json::to_string(&all.api().get("open").await.unwrap()).unwrap();
    assert!(!resource.contains(&id), "{resource}");
}

#[tokio::test]
async fn a_url_that_was_shown_ends_when_it_becomes_a_credential() {
    let t = Tenant::new("opened").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("opened", &json!({ "rotation": { "urlNonce": "1" } }))).await;
    let shown = id(&all.ready("opened").await.status.unwrap().url.unwrap());
    all.patch("opened", &json!({ "spec": { "rotation": { "urlNonce": "2" } } })).await;
    all.record_when("opened", "a new URL beside the old one", |it| it.urls.len() == 2).await;

    all.patch("opened", &json!({ "spec": { "verification": { "type": "None" } } })).await;
    let record = all.record_when("opened", "one URL", |it| it.urls.len() == 1).await;
    let new = record.urls[0].id.expose().to_owned();
    assert!(new != shown && record.urls[0].nonce.as_deref() == Some("2"));
    let event = t.event("opened", "UrlReplaced").await;
    assert!(event.contains("is a credential") && !event.contains(&new), "{event}");
    until("the Secret has it", || async { id(&value(&t.secret("opened-webhook").await, "url")) == new }).await;
    t.of::<Webhook>().touch("opened").await;
    assert_eq!(all.record("opened").await.unwrap().urls[0].id.expose(), new, "once");
}

#[tokio::test]
async fn a_secret_that_is_deleted_or_changed_by_hand_gets_its_url_and_secret_back() {
    let t = Tenant::new("heal-hook").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!({}))).await;
    all.ready("alerts").await;
    let before = t.secret("alerts-webhook").await;
    t.secrets().delete("alerts-webhook", &DeleteParams::default()).await.unwrap();
    let same = async || t.secrets().get_opt("alerts-webhook").await.unwrap().is_some_and(|it| it.data == before.data);
    until("it is back", &same).await;
    t.patch_secret(
        "alerts-webhook",
        &json!({ "stringData": { "signing-secret": "typed", "url": "https://evil.test/" } }),
    )
    .await;
    until("it is as it was", same).await;
    assert_eq!(versions(&all.record("alerts").await.unwrap()).1.len(), 1);
}

#[tokio::test]
async fn one_that_is_not_active_says_so_and_stops_even_where_its_spec_is_refused() {
    let t = Tenant::new("inactive").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("alerts", &json!({}))).await;
    all.ready("alerts").await;
    all.patch("alerts", &json!({ "spec": { "active": false, "inactiveMode": "Hold" } })).await;
    let held = all.record_when("alerts", "held", |it| !it.active).await;
    assert_eq!(held.inactive_mode, InactiveMode::Hold);
    let state = |wanted: EndpointState| move |it: &WebhookStatus| it.state == Some(wanted);
    all.reports("alerts", "inactive", state(EndpointState::Inactive)).await;
    t.event("alerts", "Deactivated").await;
    all.patch("alerts", &json!({ "spec": { "active": true } })).await;
    all.reports("alerts", "active", state(EndpointState::Active)).await;
    // An edit that cannot be built still stops it.
    let edit = json!({ "spec": { "active": false, "handler": { "type": "Json", "filter": "body.status ==" } } });
    all.patch("alerts", &edit).await;
    let message = all.refused("alerts", "Stalled", "ExpressionNotAllowed").await;
    assert!(message.starts_with("spec.handler.filter: line 1, column "), "{message}");
    let record = all.record_when("alerts", "stopped", |it| !it.active).await;
    assert_eq!(record.handler.type_, HandlerType::Raw, "the last good handler stays");
}

#[tokio::test]
async fn what_the_server_could_not_use_is_refused_with_the_field() {
    let t = Tenant::new("refused-hook").await;
    let all = t.of::<Webhook>();
    let secret = |value: &str| {
        json!({ "kind": "Secret", "metadata": { "name": "vault", "labels": { "snaphook.dev/allow-reference": "true" } }, "stringData": { "key": value } }).to_string()
    };
    t.apply(&secret("canary-of-no-standard")).await;
    let own = json!({ "secretKeyRef": { "name": "vault", "key": "key" } });
    for (name, spec, reason, start) in [
        (
            "target",
            json!({ "delivery": { "url": "http://0x7f.1/" } }),
            "TargetNotAllowed",
            "spec.delivery.url is not in canonical form",
        ),
        (
            "content",
            json!({ "verification": { "type": "Hmac", "header": "x", "signedContent": "{body}.{other}" } }),
            "VerificationNotAllowed",
            "spec.verification.signedContent",
        ),
        (
            "secret",
            json!({ "verification": { "type": "StandardWebhooks", "secretFrom": own } }),
            "SecretNotUsable",
            "spec.verification.secretFrom",
        ),
        (
            "nested",
            json!({ "handler": { "type": "Json", "filter": "body.a.all(x, body.b.all(y, x == y))" } }),
            "ExpressionNotAllowed",
            "spec.handler.filter: line 1, column",
        ),
    ] {
        t.apply(&webhook(name, &spec)).await;
        let message = all.refused(name, "Stalled", reason).await;
        assert!(message.starts_with(start) && !message.contains("canary"), "{message}");
        assert!(all.record(name).await.is_none());
    }
    t.apply(&secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).await;
    all.ready("secret").await;
    let secret = t.secret("secret-webhook").await;
    assert_eq!(value(&secret, "signing-secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
}

#[tokio::test]
async fn the_policy_says_how_many_and_how_much_and_which_hosts() {
    let t = Tenant::new("restricted").await;
    let all = t.of::<Webhook>();
    t.apply(&webhook("first", &json!({}))).await;
    all.ready("first").await;
    let limits = all.record("first").await.unwrap().limits;
    assert_eq!((limits.messages, limits.bytes, limits.namespace_bytes), (Some(1000), None, Some(1_000_000)));
    assert_eq!(limits.posts_per_second, Some(50));
    let route = |host: &str, annotation: &str| json!({ "route": { "type": "Ingress", "host": host, "annotations": { annotation: "x" } } });
    t.apply(&webhook("second", &route("evil.example", "example.com/a"))).await;
    let message = all.refused("second", "Stalled", "NotAllowedByPolicy").await;
    assert!(message.contains("spec.route.host") && message.contains("policy.rules[0].routeHosts"), "{message}");
    t.apply(&webhook("second", &route("x.restricted.example", "nginx.ingress.kubernetes.io/server-snippet"))).await;
    let message = all.refused("second", "Stalled", "NotAllowedByPolicy").await;
    assert!(
        message.contains("spec.route.annotations") && message.contains("policy.rules[0].routeAnnotations"),
        "{message}"
    );
    t.apply(&webhook("second", &route("x.restricted.example", "example.com/a"))).await;
    all.ready("second").await;
    assert!(value(&t.secret("second-webhook").await, "url").starts_with("https://x.restricted.example/hooks/"));
    t.apply(&webhook("third", &json!({}))).await;
    let message = all.refused("third", "Stalled", "NotAllowedByPolicy").await;
    assert!(message.contains("policy.rules[0].maxWebhooks"), "{message}");
}
