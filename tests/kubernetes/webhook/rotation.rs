//! The URL and the secrets are replaced, each for itself, with an overlap in which old and new work.

use serde_json::json;
use snaphook::crd::Webhook;

use super::{id, versions, webhook};
use crate::harness::{Tenant, value};

#[tokio::test]
async fn url_and_secret_are_replaced_independently_and_the_old_ones_work_until_the_overlap_ends() {
    let t = Tenant::new("rotate-hook").await;
    let all = t.of::<Webhook>();
    let spec = json!({ "rotation": { "urlNonce": "1", "secretNonce": "1" } });
    t.apply(&webhook("alerts", &spec)).await;
    all.ready("alerts").await;
    let first = t.secret("alerts-webhook").await;
    let (url, secret) = (id(&value(&first, "url")), value(&first, "signing-secret"));

    all.patch("alerts", &json!({ "spec": { "rotation": { "urlNonce": "2" } } })).await;
    let settled = |it: &snaphook::record::EndpointRecord| it.urls.len() == 2 && it.urls[0].not_after.is_some();
    let record = all.record_when("alerts", "a new URL beside the old one", settled).await;
    let status = all.reports("alerts", "rotated", |it| it.former_url_until.is_some()).await;
    let second = t.secret("alerts-webhook").await;
    let new_url = id(&value(&second, "url"));
    assert_ne!(new_url, url);
    assert_eq!(versions(&record), (vec![(url, true), (new_url.clone(), false)], vec![(secret.clone(), false)]));
    let overlap = record.urls[0].not_after.unwrap().duration_since(record.urls[1].created_at).as_hours();
    assert_eq!(overlap, 24, "the default");
    assert_eq!(id(status.url.as_deref().unwrap()), new_url);
    assert_eq!((value(&second, "signing-secret"), second.data.unwrap().len()), (secret.clone(), 3));
    assert!(t.event("alerts", "UrlRotated").await.contains("alerts-webhook"));

    all.patch("alerts", &json!({ "spec": { "rotation": { "secretNonce": "2", "overlap": "5s" } } })).await;
    all.reports("alerts", "with another secret", |it| it.former_secret_until.is_some()).await;
    let third = t.secret("alerts-webhook").await;
    let new_secret = value(&third, "signing-secret");
    assert_ne!(new_secret, secret);
    assert_eq!(value(&third, "signing-secret-previous"), secret, "apps that verify need both");
    assert_eq!(id(&value(&third, "url")), new_url);
    let record = all.record_when("alerts", "without the old secret", |it| it.secrets.len() == 1).await;
    assert_eq!(record.secrets[0].value.expose(), new_secret);
    assert_eq!(record.urls.len(), 2, "the URL's overlap is its own");
    let status = all.reports("alerts", "settled", |it| it.former_secret_until.is_none()).await;
    assert!(status.secret_rotated_at.is_some() && status.url_rotated_at.is_some());
    let fourth = t.secret("alerts-webhook").await;
    assert_eq!(fourth.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["internal-url", "signing-secret", "url"]);
}

#[tokio::test]
async fn a_secret_of_ones_own_is_replaced_by_changing_it() {
    let t = Tenant::new("own-hook").await;
    let all = t.of::<Webhook>();
    let vault = |value: &str| {
        json!({ "kind": "Secret", "metadata": { "name": "vault", "labels": { "snaphook.dev/allow-reference": "true" } }, "stringData": { "key": value } }).to_string()
    };
    t.apply(&vault("It's a Secret to Everybody\n")).await;
    let own = json!({ "type": "GitHub", "secretFrom": { "secretKeyRef": { "name": "vault", "key": "key" } } });
    t.apply(&webhook("alerts", &json!({ "verification": own }))).await;
    all.ready("alerts").await;
    let old = "It's a Secret to Everybody".to_owned();
    assert_eq!(versions(&all.record("alerts").await.unwrap()).1, [(old.clone(), false)]);
    t.apply(&vault("another of theirs")).await;
    let new = "another of theirs".to_owned();
    let record =
        all.record_when("alerts", "both", |it| it.secrets.len() == 2 && it.secrets[0].not_after.is_some()).await;
    assert_eq!(versions(&record).1, [(old, true), (new.clone(), false)]);
    t.event("alerts", "SecretChanged").await;
    // From now on a generated one, and after that none at all.
    all.patch("alerts", &json!({ "spec": { "verification": { "secretFrom": null } } })).await;
    let record = all.record_when("alerts", "a generated one", |it| it.secrets.last().unwrap().generated).await;
    assert!(record.secrets.last().unwrap().value.expose().starts_with("whsec_"));
    all.patch(
        "alerts",
        &json!({ "spec": { "verification": { "type": "AppCredential", "scopes": ["alerts:write"] } } }),
    )
    .await;
    all.record_when("alerts", "none", |it| it.secrets.is_empty()).await;
    all.ready("alerts").await;
    assert_eq!(t.secret("alerts-webhook").await.data.unwrap().len(), 2);
}

#[tokio::test]
async fn outgoing_calls_are_signed_with_a_key_of_their_own() {
    let t = Tenant::new("signed").await;
    let all = t.of::<Webhook>();
    let delivery = json!({ "url": "https://hooks.example.net/in", "sign": true });
    t.apply(&webhook(
        "alerts",
        &json!({ "verification": { "type": "None" }, "delivery": delivery, "rotation": { "secretNonce": "1" } }),
    ))
    .await;
    all.ready("alerts").await;
    let key = value(&t.secret("alerts-webhook").await, "delivery-signing-secret");
    assert!(key.starts_with("whsec_"));
    let keys = async |what: &str, count: usize| {
        let record = all.record_when("alerts", what, |it| it.delivery.signing_secrets.len() == count).await;
        record.delivery.signing_secrets.iter().map(|it| it.value.expose().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys("one", 1).await, std::slice::from_ref(&key));
    all.patch("alerts", &json!({ "spec": { "rotation": { "secretNonce": "2" } } })).await;
    let both = keys("both sign during the overlap", 2).await;
    all.reports("alerts", "done", |it| it.observed_generation == Some(2)).await;
    let new = value(&t.secret("alerts-webhook").await, "delivery-signing-secret");
    assert_eq!(both, [key, new]);
    all.patch("alerts", &json!({ "spec": { "delivery": { "sign": false }, "rotation": null } })).await;
    keys("none", 0).await;
    all.reports("alerts", "unsigned", |it| it.observed_generation == Some(3)).await;
    assert!(!t.secret("alerts-webhook").await.data.unwrap().contains_key("delivery-signing-secret"));
}
