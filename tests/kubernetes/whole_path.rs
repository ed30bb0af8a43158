//! From `kubectl apply` to a checked access token, and to a token that is dead.

use std::time::Duration;

use control_plane::ControlPlane;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::harness::{CRDS, Controller, Installation, Plane, Server, Tenant, eventually, value};

const INTROSPECT: &str = "- {namespaces: {}, scopes: ['*', 'snaphook:introspect']}";

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_declared_used_revoked_and_deleted() {
    let installation = Installation::shared("path").await;
    installation.configure(INTROSPECT);
    let _controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    installation
        .declare("billing", "{displayName: Billing service, scopes: ['orders:read', 'invoices:write'], audiences: ['https://api.example.com']}")
        .await;
    installation.declare("gateway", "{scopes: ['snaphook:introspect']}").await;
    installation.ready("billing").await;
    installation.ready("gateway").await;

    let table = installation.kubectl(&["get", "appcredentials"]).await;
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().unwrap().split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    assert_eq!(columns, ["NAME", "DISPLAY NAME", "CLIENT ID", "SCOPES", "STATUS", "EXPIRES", "AGE"]);
    let line = lines.next().unwrap();
    for cell in ["Billing service", &format!("{}.billing", installation.team), "orders:read invoices:write", "Active"] {
        assert!(line.contains(cell), "{table}");
    }

    let data = installation.data("billing-credential").await;
    let keys: Vec<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["client-id", "client-secret", "introspection-url", "issuer", "jwks-url", "token-url"]);
    assert_eq!(data["token-url"], "https://auth.example.com/oauth/token");
    let events = installation.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]).await;
    assert!(events.contains("Created"), "{events}");

    let (billing, gateway) =
        (installation.credentials("billing-credential").await, installation.credentials("gateway-credential").await);
    eventually("the first token", async || server.token(&billing).0 == 200).await;
    let token = server.access_token(&billing);
    let (_, answer) = server.introspect(&gateway, &token);
    assert_eq!(answer["active"], true);
    assert_eq!(answer["namespace"], installation.team);
    assert_eq!(answer["aud"], "https://api.example.com");

    installation.patch("billing", r#"{"revoked":true}"#).await;
    eventually("the token is dead", async || server.introspect(&gateway, &token) == (200, json!({"active": false})))
        .await;
    assert_eq!(server.token(&billing).0, 401);
    installation.until_reason("billing", "Revoked").await;

    installation.patch("billing", r#"{"revoked":null}"#).await;
    eventually("tokens are issued again", async || server.token(&billing).0 == 200).await;
    assert_eq!(server.introspect(&gateway, &token).1, json!({"active": false}), "a token from before stays dead");
    assert_eq!(server.introspect(&gateway, &server.access_token(&billing)).1["active"], true);

    installation.kubectl(&["delete", "appcredential", "billing"]).await;
    assert!(installation.record("billing").await.is_none(), "kubectl delete returns when the record is gone");
    eventually("the Secret is collected", async || installation.get("secret", "billing-credential").await.is_none())
        .await;
    assert_eq!(server.token(&billing).0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_forward_auth_reach_the_server_and_a_revocation_its_answers() {
    let installation = Installation::shared("forward-auth").await;
    let policy = |scope: &str| {
        installation.configure(&format!(
            "- {{namespaces: {{}}}}\nforwardAuth: {{policies: {{orders: {{audience: 'https://auth.example.com', scopes: ['{scope}']}}}}}}"
        ));
    };
    policy("orders:read");
    let _controller = installation.controller("forward-auth").await;
    let server = installation.server(&[]).await;
    installation.declare("app", "{scopes: ['orders:read']}").await;
    installation.ready("app").await;
    let app = installation.credentials("app-credential").await;
    eventually("the first token", async || server.token(&app).0 == 200).await;
    let token = server.access_token(&app);
    assert_eq!(server.forward_auth("orders", &token), 200);
    policy("orders:write");
    eventually("another scope is asked for", async || server.forward_auth("orders", &token) == 403).await;
    policy("orders:read");
    eventually("the former one again", async || server.forward_auth("orders", &token) == 200).await;
    installation.patch("app", r#"{"revoked":true}"#).await;
    eventually("refused", async || server.forward_auth("orders", &token) == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_secret_get_tokens_until_the_overlap_ends() {
    let installation = Installation::shared("rotation").await;
    let _controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    installation.declare("billing", "{rotation: {nonce: '1', overlap: 8s}}").await;
    installation.ready("billing").await;
    let old = installation.credentials("billing-credential").await;
    installation.patch("billing", r#"{"rotation":{"nonce":"2"}}"#).await;
    eventually("the secret is replaced", async || installation.credentials("billing-credential").await != old).await;
    let data = installation.data("billing-credential").await;
    assert_eq!(data["client-secret-previous"], old.1);
    let new = installation.credentials("billing-credential").await;
    assert_eq!((server.token(&old).0, server.token(&new).0), (200, 200));
    eventually("the overlap ends", async || server.token(&old).0 == 401).await;
    assert_eq!(server.token(&new).0, 200);
    eventually("the former secret leaves the Secret", async || {
        !installation.data("billing-credential").await.contains_key("client-secret-previous")
    })
    .await;
    let status = installation.get("appcredential", "billing").await.unwrap()["status"].clone();
    assert_eq!(status["versions"].as_array().unwrap().len(), 1);
    assert_eq!(status["versions"][0]["id"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_expires_by_the_servers_own_clock() {
    let installation = Installation::shared("expiry").await;
    let controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(6);
    installation.declare("billing", &format!("{{expiresAt: '{}'}}", soon.strftime("%Y-%m-%dT%H:%M:%SZ"))).await;
    installation.ready("billing").await;
    let credentials = installation.credentials("billing-credential").await;
    eventually("a token", async || server.token(&credentials).0 == 200).await;
    controller.stop().await.unwrap();
    eventually("it is over", async || server.token(&credentials).0 == 401).await;
    let _controller = installation.controller("two").await;
    installation.until_reason("billing", "Expired").await;
}

/// What an app that mounts the Secret has.
async fn mounted(t: &Tenant<'_>, name: &str) -> (String, String) {
    let secret = t.secret(name).await;
    (value(&secret, "client-id"), value(&secret, "client-secret"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_only_list_and_watch_the_secrets_of_its_namespace_does_all_its_work() {
    let t = Tenant::alone("rights-of-the-server").await;
    let rule = "{namespaces: {}, scopes: ['*', 'snaphook:introspect']}";
    let config = t.config(&format!("leaderElection: {{enabled: false}}\npolicy: {{rules: [{rule}]}}"));
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let _controller = Controller::start(&t.plane, &kubeconfig, &config);
    let mark = t.plane.audit().mark().unwrap();
    let server = Server::start(&t.plane, &t.plane.server_account(&t.realm).await, &t.realm, &[]).await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {scopes: [orders:read]}}").await;
    t.apply("{kind: AppCredential, metadata: {name: api}, spec: {scopes: ['snaphook:introspect']}}").await;
    t.ready("app").await;
    t.ready("api").await;
    let (app, api) = (mounted(&t, "app-credential").await, mounted(&t, "api-credential").await);
    eventually("both are known", async || server.token(&app).0 == 200 && server.token(&api).0 == 200).await;
    let token = server.access_token(&app);
    let (_, told) = server.introspect(&api, &token);
    assert_eq!(
        (&told["active"], &told["client_id"], &told["scope"]),
        (&json!(true), &json!(app.0), &json!("orders:read"))
    );
    t.patch("app", &json!({ "spec": { "revoked": true } })).await;
    eventually("the token is dead", async || server.introspect(&api, &token).1 == json!({ "active": false })).await;

    let account = format!("system:serviceaccount:{}:snaphook-server", t.realm);
    let events = t.plane.audit().since(mark).unwrap();
    let asked: Vec<_> = events.iter().filter(|event| event.user == account).collect();
    assert!(!asked.is_empty());
    for event in asked {
        assert!(
            event.succeeded() && event.resource == "secrets" && event.namespace == t.realm,
            "it asked for more than it may: {event:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_api_server_stands_still_answers_until_its_records_are_too_old() {
    let cp = ControlPlane::start().await.unwrap();
    cp.install_crds(CRDS).await.unwrap();
    let plane = Plane(&cp);
    let t = Tenant::on(plane, "frozen", plane.namespace("realm").await.unwrap()).await;
    let kubeconfig = plane.account(&t.realm, Some(&[&t.namespace])).await;
    let controller = Controller::start(&cp, &kubeconfig, &t.config(""));
    let server = Server::start(&cp, &plane.server_account(&t.realm).await, &t.realm, &["--max-staleness", "6s"]).await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {}}").await;
    t.ready("app").await;
    let app = mounted(&t, "app-credential").await;
    eventually("a token", async || server.token(&app).0 == 200).await;

    cp.apiserver().freeze().unwrap();
    assert_eq!(server.token(&app).0, 200, "an API server that pauses for a moment harms nobody");
    eventually("old records are no answer", async || server.token(&app).0 == 503).await;
    assert_eq!(server.introspect(&app, "anything").0, 503);
    assert!(!server.is_ready());
    // Also past the Lease's terms.
    controller.process.logged("lost the Lease", Duration::from_mins(1)).await.unwrap();
    cp.apiserver().thaw().unwrap();
    eventually("well again", async || server.token(&app).0 == 200 && server.is_ready()).await;
    t.apply("{kind: AppCredential, metadata: {name: next}, spec: {}}").await;
    t.ready("next").await;
    let next = mounted(&t, "next-credential").await;
    eventually("a token for the next", async || server.token(&next).0 == 200).await;
    assert_eq!(mounted(&t, "app-credential").await, app);
    assert!(server.process.try_wait().is_none() && controller.process.try_wait().is_none(), "nobody exits");
    cp.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_parse_fails_closed_others_go_on_and_the_controller_mends_it() {
    let t = Tenant::alone("garbage").await;
    let controller = t.controller().await;
    let server = Server::start(&t.plane, &t.plane.server_account(&t.realm).await, &t.realm, &[]).await;
    for name in ["app", "other"] {
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{}}}}")).await;
        t.ready(name).await;
    }
    let (app, other) = (mounted(&t, "app-credential").await, mounted(&t, "other-credential").await);
    eventually("both get tokens", async || server.token(&app).0 == 200 && server.token(&other).0 == 200).await;
    controller.stop().await;
    let garbage = Patch::Merge(json!({ "stringData": { "record.json": "{\"version\": 1, nonsense" } }));
    t.records().patch(&t.record_name("app"), &PatchParams::default(), &garbage).await.unwrap();
    eventually("it fails closed", async || server.token(&app).0 == 401).await;
    assert_eq!(server.token(&other).0, 200);
    assert!(server.is_ready());

    let _controller = t.controller().await;
    eventually("it is mended", async || server.token(&app).0 == 200).await;
    assert_eq!(mounted(&t, "app-credential").await, app, "with the secret that the app has");
}
