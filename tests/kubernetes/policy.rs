//! What the operator allows, and what happens when that changes.

use serde_json::json;
use snaphook::{controller::steps::Steps as _, crd::AppCredential};

use crate::harness::{Controller, Tenant, value};

#[tokio::test]
async fn what_the_policy_refuses_names_the_field_and_the_rule() {
    let t = Tenant::new("restricted").await;
    for (name, spec, field, place) in [
        ("scope", "{scopes: [orders:read, admin]}", "spec.scopes: \"admin\"", "policy.rules[0].scopes"),
        (
            "audience",
            "{audiences: ['https://evil.test']}",
            "spec.audiences: \"https://evil.test\"",
            "rules[0].audiences",
        ),
        ("client-id", "{clientId: billing}", "spec.clientId: \"billing\"", "policy.rules[0].clientIds"),
    ] {
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {spec}}}")).await;
        let message = t.stalled(name, "NotAllowedByPolicy").await;
        assert!(message.contains(field) && message.contains(place), "{message}");
        assert!(t.record(name).await.is_none());
        assert!(t.secrets().get_opt(&format!("{name}-credential")).await.unwrap().is_none());
        t.delete(name).await;
    }
    let id = format!("restricted-{}", t.namespace);
    let spec = format!("{{scopes: [orders:read], audiences: ['https://api.example.com'], clientId: {id}}}");
    t.apply(&format!("{{kind: AppCredential, metadata: {{name: fine}}, spec: {spec}}}")).await;
    t.ready("fine").await;
    assert_eq!(value(&t.secret("fine-credential").await, "client-id"), id);
}

#[tokio::test]
async fn a_namespace_that_is_full_takes_no_more_until_one_goes() {
    let t = Tenant::new("restricted").await;
    for name in ["one", "two"] {
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{}}}}")).await;
        t.ready(name).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    t.apply("{kind: AppCredential, metadata: {name: three}, spec: {}}").await;
    let message = t.stalled("three", "NotAllowedByPolicy").await;
    assert!(message.contains("policy.rules[0].maxAppCredentials allows 2"), "{message}");
    t.delete("one").await;
    t.ready("three").await;
    t.ready("two").await;
}

#[tokio::test]
async fn labels_of_the_namespace_choose_the_rule() {
    let t = Tenant::new("labelled").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {scopes: ['snaphook:introspect']}}").await;
    let message = t.stalled("app", "NotAllowedByPolicy").await;
    assert!(message.contains("policy.rules[2].scopes"), "{message}");
    t.label_namespace(&json!({ "team": "gold" })).await;
    t.ready("app").await;
    t.label_namespace(&json!({ "team": null })).await;
    t.stalled("app", "NotAllowedByPolicy").await;
    assert!(t.record("app").await.unwrap().suspended);
}

#[tokio::test]
async fn a_narrower_policy_suspends_and_a_wider_one_lifts_it_without_ending_tokens() {
    let t = Tenant::alone("narrow").await;
    let config = |scopes: &str| {
        let rule = format!("{{namespaces: {{}}, scopes: {scopes}}}");
        t.config(&format!("leaderElection: {{enabled: false}}\npolicy: {{rules: [{rule}]}}"))
    };
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let controller = Controller::start(&t.plane, &kubeconfig, &config("[orders:read, orders:write]"));
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {scopes: [orders:read, orders:write]}}").await;
    t.ready("app").await;
    let before = t.record("app").await.unwrap();
    let secret = t.secret("app-credential").await;

    controller.configure(&config("[orders:read]"));
    let message = t.stalled("app", "NotAllowedByPolicy").await;
    assert!(message.contains("orders:write"), "{message}");
    let suspended = t.record("app").await.unwrap();
    assert!(suspended.suspended);
    assert_eq!(suspended.generation, before.generation);
    let status = t.resources().get("app").await.unwrap().status.unwrap();
    assert_eq!(status.state, None, "it is not Active");

    controller.configure("realm: nonsense");
    controller.logged("the last good one stays").await;
    t.touch_only("app").await;
    t.stalled("app", "NotAllowedByPolicy").await;

    controller.configure(&config("['orders:*']"));
    t.ready("app").await;
    assert!(!AppCredential::differs(&t.record("app").await.unwrap(), &before), "as if nothing had been");
    assert_eq!(t.secret("app-credential").await, secret);
    assert!(controller.process.try_wait().is_none());
}

#[tokio::test]
async fn an_edit_that_the_policy_refuses_leaves_what_was_allowed_before() {
    let t = Tenant::new("restricted").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {scopes: [orders:read]}}").await;
    t.ready("app").await;
    let before = t.record("app").await.unwrap();
    t.patch("app", &json!({ "spec": { "scopes": ["orders:read", "admin"] } })).await;
    t.stalled("app", "NotAllowedByPolicy").await;
    assert_eq!(t.record("app").await.unwrap(), before);
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_told_at_start_with_its_place() {
    let t = Tenant::alone("mistake").await;
    for (config, place) in [
        ("realm: {issuer: 'auth.example.com'}", "realm.issuer"),
        (
            "realm: {issuer: 'https://x'}\npolicy: {rules: [{namespaces: {}, scopes: ['']}]}",
            "policy.rules[0].scopes[0]",
        ),
        ("realm: {issuer: 'https://x'}\npolicies: []", "policies"),
        ("realm: [", "parse"),
    ] {
        let controller = Controller::start(&t.plane, &t.plane.kubeconfig(), config);
        let exit = controller.process.wait(crate::harness::SOON).await.unwrap();
        assert_eq!(exit.code(), Some(1), "{config}");
        let log = controller.process.log();
        assert!(log.contains(place) && log.contains("config.yaml"), "{config}\n{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}
