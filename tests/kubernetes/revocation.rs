//! Everything that ends tokens.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use snaphook::crd::app_credential::State;

use crate::harness::{Tenant, value};

fn state(resource: &snaphook::crd::AppCredential) -> Option<State> {
    resource.status.as_ref()?.state
}

#[tokio::test]
async fn revoking_starts_a_new_generation_that_stays_when_it_is_lifted() {
    let t = Tenant::new("revoke").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {}}").await;
    t.ready("app").await;
    let (before, secret) = (t.record("app").await.unwrap(), t.secret("app-credential").await);
    t.patch("app", &json!({ "spec": { "revoked": true } })).await;
    let revoked = t.ready("app").await;
    assert_eq!(state(&revoked), Some(State::Revoked));
    let record = t.record("app").await.unwrap();
    assert!(record.revoked && record.generation != before.generation);
    t.event("app", "Revoked").await;
    assert_eq!(t.secret("app-credential").await, secret, "the app's Secret stays");

    t.patch("app", &json!({ "spec": { "revoked": null } })).await;
    assert_eq!(state(&t.ready("app").await), Some(State::Active));
    let lifted = t.record("app").await.unwrap();
    assert!(!lifted.revoked);
    assert_eq!(lifted.generation, record.generation, "tokens from before stay dead");
    t.event("app", "Reinstated").await;
    t.patch("app", &json!({ "spec": { "revoked": true } })).await;
    t.ready("app").await;
    assert_ne!(t.record("app").await.unwrap().generation, record.generation, "and those from between die as well");
}

#[tokio::test]
async fn revocation_takes_effect_also_where_the_spec_is_refused() {
    let t = Tenant::new("restricted").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {scopes: [orders:read]}}").await;
    t.ready("app").await;
    let before = t.record("app").await.unwrap();
    let patch = json!({ "spec": { "scopes": ["admin"], "revoked": true, "expiresAt": "2099-01-01T00:00:00Z",
        "tokensNotBefore": "2026-01-01T00:00:00Z" } });
    t.patch("app", &patch).await;
    t.stalled("app", "NotAllowedByPolicy").await;
    let record = t.record("app").await.unwrap();
    assert!(record.revoked && record.generation != before.generation);
    assert_eq!(record.expires_at, Some("2099-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(record.tokens_not_before, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(record.scopes, before.scopes, "nothing is granted");
    assert_eq!(state(&t.resources().get("app").await.unwrap()), Some(State::Revoked));
}

#[tokio::test]
async fn a_moment_before_which_tokens_are_dead_is_never_taken_back_once_it_has_come() {
    let t = Tenant::new("not-before").await;
    let (past, earlier, future) = ("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    let moment = async |wanted: serde_json::Value| {
        t.patch("app", &json!({ "spec": { "tokensNotBefore": wanted } })).await;
        t.ready("app").await;
        t.record("app").await.unwrap().tokens_not_before.map(|it| it.to_string())
    };
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {}}").await;
    t.ready("app").await;
    assert_eq!(moment(json!(future)).await.as_deref(), Some(future));
    assert_eq!(moment(json!(past)).await.as_deref(), Some(past), "one in the future can be moved");
    assert_eq!(moment(json!(earlier)).await.as_deref(), Some(past));
    assert_eq!(moment(json!(null)).await.as_deref(), Some(past));
}

#[tokio::test]
async fn a_credential_expires_by_itself_and_goes_on_with_a_later_moment() {
    let t = Tenant::new("expire").await;
    let end = Timestamp::from_second((Timestamp::now() + SignedDuration::from_secs(4)).as_second()).unwrap();
    t.apply(&format!("{{kind: AppCredential, metadata: {{name: app}}, spec: {{expiresAt: '{end}'}}}}")).await;
    let active = t.ready("app").await;
    let secret = value(&t.secret("app-credential").await, "client-secret");
    let expired = t.when("app", "expired", |it| state(it) == Some(State::Expired)).await;
    assert!(Timestamp::now() >= end);
    assert_eq!(active.metadata.generation, expired.metadata.generation);
    assert!(t.event("app", "Expired").await.contains("expired"));
    assert_eq!(t.record("app").await.unwrap().expires_at, Some(end));
    t.patch("app", &json!({ "spec": { "expiresAt": "2099-01-01T00:00:00Z" } })).await;
    t.when("app", "active", |it| state(it) == Some(State::Active)).await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), secret);
}
