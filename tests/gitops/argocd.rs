//! `gitops/argocd`: health of every kind in every state, and the actions.

use serde_json::{Value, json};

use crate::{
    argo::{act, health, offered},
    states::{Health, all},
};

#[test]
fn every_state_has_its_health() {
    for state in all() {
        let (status, message) = health(&state.object);
        let expected = match state.health {
            Health::Good => "Healthy",
            Health::Waiting => "Progressing",
            Health::Bad => "Degraded",
        };
        assert_eq!(status, expected, "{}: {message}", state.name);
        assert!(message.contains(state.says), "{}: {message}", state.name);
    }
    let (status, _) = health(&json!({ "kind": "Webhook", "metadata": {} }));
    assert_eq!(status, "Progressing", "a CRD of somebody else's may have no default status");
}

#[test]
fn rotation_is_offered_where_something_generated_is_there_and_git_does_not_state_the_nonce() {
    let app = |spec: Value| json!({ "kind": "AppCredential", "metadata": {}, "spec": spec });
    assert_eq!(offered(&app(json!({}))), ["rotate"]);
    assert!(offered(&app(json!({ "secretHash": "sha256:…" }))).is_empty());
    assert!(offered(&app(json!({ "secretFrom": { "secretKeyRef": {} } }))).is_empty());
    let hook = |kind: &str, sign: bool| {
        let spec = json!({ "verification": { "type": kind }, "delivery": { "sign": sign } });
        json!({ "kind": "Webhook", "metadata": {}, "spec": spec })
    };
    assert_eq!(offered(&hook("GitHub", false)), ["rotate", "rotate-url"]);
    assert_eq!(offered(&hook("None", false)), ["rotate-url"]);
    assert_eq!(offered(&hook("AppCredential", true)), ["rotate", "rotate-url"]);

    let mut stated = hook("GitHub", false);
    let fields = json!({ "f:spec": { "f:rotation": { "f:urlNonce": {} } } });
    stated["metadata"]["managedFields"] = json!([{ "manager": "argocd-controller", "fieldsV1": fields }]);
    assert_eq!(offered(&stated), ["rotate"], "Git states the nonce of the URL");
    stated["metadata"]["managedFields"][0]["manager"] = json!("argocd-server");
    assert_eq!(offered(&stated), ["rotate", "rotate-url"], "an earlier action set it");
}

#[test]
fn an_action_sets_a_nonce_of_the_moment_and_nothing_else() {
    let mut app = json!({ "kind": "AppCredential", "metadata": { "name": "app" }, "spec": { "scopes": ["a"] } });
    let rotated = act(&app, "rotate");
    let nonce = rotated["spec"]["rotation"]["nonce"].as_str().unwrap().to_owned();
    assert!(nonce.parse::<jiff::Timestamp>().is_ok(), "{nonce}");
    app["spec"]["rotation"] = json!({ "nonce": nonce });
    assert_eq!(rotated, app);

    let spec = json!({ "rotation": { "overlap": "1h" }, "verification": { "type": "GitHub" }, "delivery": {} });
    let hook = json!({ "kind": "Webhook", "metadata": {}, "spec": spec });
    for (action, field) in [("rotate", "secretNonce"), ("rotate-url", "urlNonce")] {
        let rotation = act(&hook, action)["spec"]["rotation"].as_object().unwrap().clone();
        assert_eq!(rotation.keys().collect::<Vec<_>>(), ["overlap", field]);
    }
}
