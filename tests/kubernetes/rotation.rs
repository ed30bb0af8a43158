//! One secret takes the place of another, and both work until the overlap ends.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::harness::{Tenant, hash_of, until, value};

#[tokio::test]
async fn a_new_nonce_rotates_at_once_and_the_old_secret_works_until_the_overlap_ends() {
    let t = Tenant::new("nonce").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {rotation: {nonce: '1', overlap: 1h}}}").await;
    t.ready("app").await;
    let first = value(&t.secret("app-credential").await, "client-secret");
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    let second = t.new_value("app-credential", &first).await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret-previous"), first);

    let resource = t.ready("app").await;
    let status = resource.status.unwrap();
    let record = t.record("app").await.unwrap();
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(&first), hash_of(&second)]);
    let end = record.secrets[0].not_after.unwrap();
    let expected = Timestamp::now() + SignedDuration::from_hours(1);
    assert!((expected - SignedDuration::from_mins(2)..=expected).contains(&end), "{end}");
    assert_eq!(record.secrets[1].not_after, None);
    let versions: Vec<_> = status.versions.iter().map(|it| (it.id, it.not_after.map(|end| end.0))).collect();
    assert_eq!(versions, [(1, Some(end)), (2, None)]);
    assert_eq!(status.last_rotated_at.unwrap().0, record.secrets[1].created_at);
    assert_eq!(status.next_rotation_at, None);
    assert!(t.event("app", "Rotated").await.contains("until its overlap ends"));

    t.touch("app").await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), second, "one nonce, one rotation");
    t.patch("app", &json!({ "spec": { "rotation": null } })).await;
    t.ready("app").await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), second, "no nonce, no rotation");
}

#[tokio::test]
async fn when_the_overlap_ends_the_old_secret_goes_everywhere() {
    let t = Tenant::new("overlap").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {rotation: {nonce: '1', overlap: 4s}}}").await;
    t.ready("app").await;
    let first = value(&t.secret("app-credential").await, "client-secret");
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    let second = t.new_value("app-credential", &first).await;
    let record = t.record_when("app", "the old hash goes", |record| record.secrets.len() == 1).await;
    assert_eq!(record.secrets[0].hash, hash_of(&second));
    t.when("app", "one version", |it| it.status.as_ref().unwrap().versions.len() == 1).await;
    until("the former value goes", || async {
        let secret = t.secret("app-credential").await;
        !secret.data.unwrap().contains_key("client-secret-previous")
    })
    .await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), second);
}

#[tokio::test]
async fn several_rotations_keep_every_secret_until_there_are_too_many() {
    let t = Tenant::new("many").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {rotation: {nonce: '1', overlap: 1h}}}").await;
    t.ready("app").await;
    let mut values = vec![value(&t.secret("app-credential").await, "client-secret")];
    for nonce in 2..=10 {
        t.patch("app", &json!({ "spec": { "rotation": { "nonce": nonce.to_string() } } })).await;
        let former = values.last().unwrap().clone();
        values.push(t.new_value("app-credential", &former).await);
        t.ready("app").await;
        assert_eq!(value(&t.secret("app-credential").await, "client-secret-previous"), former);
    }
    let hashes = async || t.record("app").await.unwrap().secrets.iter().map(|it| it.hash).collect::<Vec<_>>();
    let expected: Vec<_> = values.iter().map(|value| hash_of(value)).collect();
    assert_eq!(hashes().await, expected);
    let status = t.ready("app").await.status.unwrap();
    assert_eq!(status.versions.iter().map(|it| it.id).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());

    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "11" } } })).await;
    let message = t.waiting("app", "TooManyVersions").await;
    assert!(message.contains("spec.rotation.overlap"), "{message}");
    assert_eq!(hashes().await, expected, "every handed out secret still works");
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), *values.last().unwrap());
}

#[tokio::test]
async fn an_interval_rotates_by_time_and_says_when() {
    let t = Tenant::new("interval").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {rotation: {interval: 1m, overlap: 30s}}}").await;
    let resource = t.ready("app").await;
    let first = value(&t.secret("app-credential").await, "client-secret");
    let made = t.record("app").await.unwrap().secrets[0].created_at;
    let due = resource.status.as_ref().unwrap().next_rotation_at.unwrap().0;
    assert_eq!(due, made + SignedDuration::from_mins(1));

    // Half a minute of it is quiet; `new_value` alone would not wait long enough on a machine that is busy.
    tokio::time::sleep(std::time::Duration::from_secs(40)).await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), first, "before its time");
    let second = t.new_value("app-credential", &first).await;
    assert!(Timestamp::now() >= due);
    let rotated = t
        .when("app", "rotated", |it| {
            let status = it.status.as_ref().unwrap();
            status.last_rotated_at.is_some() && status.versions.len() == 2
        })
        .await;
    let record = t.record("app").await.unwrap();
    let now = rotated.status.as_ref().unwrap();
    assert_eq!(record.secrets[1].hash, hash_of(&second));
    assert_eq!(now.next_rotation_at.unwrap().0, record.secrets[1].created_at + SignedDuration::from_mins(1));
    assert_eq!(rotated.metadata.generation, resource.metadata.generation, "nobody touched the spec");

    t.patch("app", &json!({ "spec": { "revoked": true } })).await;
    t.when("app", "revoked", |it| it.status.as_ref().unwrap().next_rotation_at.is_none()).await;
}
