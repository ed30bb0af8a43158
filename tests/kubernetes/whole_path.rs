//! From `kubectl apply` to a checked access token, and to a token that is dead.

use serde_json::json;

use crate::harness::{Installation, eventually};

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
