//! Names that two resources want.

use serde_json::json;

use crate::harness::{Tenant, value};

async fn next_second() {
    // Age is what decides, and Kubernetes tells it in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
}

#[tokio::test]
async fn of_two_resources_that_want_one_secret_the_older_has_it_and_the_other_follows() {
    let t = Tenant::new("wanted").await;
    let yaml = |name: &str| {
        format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{secretTemplate: {{name: shared}}}}}}")
    };
    t.apply(&yaml("winner")).await;
    t.ready("winner").await;
    let before = t.secret("shared").await;
    next_second().await;
    t.apply(&yaml("loser")).await;
    let message = t.stalled("loser", "SecretNameTaken").await;
    assert!(message.contains("AppCredential winner") && message.contains("spec.secretTemplate.name"), "{message}");
    assert_eq!(t.secret("shared").await, before);
    t.touch("winner").await;
    t.ready("winner").await;

    t.delete("winner").await;
    t.ready("loser").await;
    let after = t.secret("shared").await;
    assert_eq!(value(&after, "client-id"), format!("{}.loser", t.namespace));
    assert_ne!(value(&after, "client-secret"), value(&before, "client-secret"));
}

#[tokio::test]
async fn whoever_has_a_secret_keeps_it_when_an_older_resource_comes_to_want_it() {
    let t = Tenant::new("possession").await;
    t.apply("{kind: AppCredential, metadata: {name: older}, spec: {}}").await;
    t.ready("older").await;
    next_second().await;
    t.apply("{kind: AppCredential, metadata: {name: younger}, spec: {}}").await;
    t.ready("younger").await;
    let before = t.secret("younger-credential").await;
    t.patch("older", &json!({ "spec": { "secretTemplate": { "name": "younger-credential" } } })).await;
    let message = t.stalled("older", "SecretNameTaken").await;
    assert!(message.contains("AppCredential younger"), "{message}");
    t.touch("younger").await;
    t.ready("younger").await;
    assert_eq!(t.secret("younger-credential").await, before);

    t.patch("younger", &json!({ "spec": { "secretTemplate": { "name": "another" } } })).await;
    t.ready("younger").await;
    t.ready("older").await;
    let secret = t.secret("younger-credential").await;
    assert_eq!(value(&secret, "client-id"), format!("{}.older", t.namespace));
    assert_eq!(value(&t.secret("another").await, "client-secret"), value(&before, "client-secret"), "moved as it was");
}

#[tokio::test]
async fn resources_made_in_the_same_second_never_block_each_other() {
    let t = Tenant::new("same-second").await;
    for name in ["f", "e", "d", "c", "b", "a"] {
        let spec = "{secretTemplate: {name: shared}}";
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {spec}}}")).await;
    }
    t.sentinel().await;
    let holder = crate::harness::until_some("one has it", || async {
        let secret = t.secrets().get_opt("shared").await.unwrap()?;
        value(&secret, "client-id").rsplit_once('.').map(|(_, name)| name.to_owned())
    })
    .await;
    t.ready(&holder).await;
    for name in ["a", "b", "c", "d", "e", "f"].into_iter().filter(|name| *name != holder) {
        let message = t.stalled(name, "SecretNameTaken").await;
        assert!(!message.is_empty());
    }
    t.touch(&holder).await;
    t.ready(&holder).await;
}

#[tokio::test]
async fn a_client_id_that_another_namespace_has_is_refused_until_it_is_free() {
    let (one, other) = (Tenant::new("chosen").await, Tenant::new("chosen").await);
    let id = format!("billing-{}", one.namespace);
    let yaml = format!("{{kind: AppCredential, metadata: {{name: app}}, spec: {{clientId: {id}}}}}");
    one.apply(&yaml).await;
    one.ready("app").await;
    assert_eq!(value(&one.secret("app-credential").await, "client-id"), id);
    next_second().await;
    other.apply(&yaml).await;
    let message = other.stalled("app", "ClientIdTaken").await;
    assert!(message.contains(&id) && !message.contains(&format!("{}/", one.namespace)), "{message}");
    assert!(other.record("app").await.is_none());
    one.delete("app").await;
    other.ready("app").await;
    assert_eq!(other.record("app").await.unwrap().client_id, id);
}
