//! `token` and `verify`: what an app does with its Secret.

use crate::site::{FAILED, NO, Site, USAGE};

#[tokio::test]
async fn a_token_is_described_and_shown_only_where_that_is_asked_for() {
    let site = Site::new("token").await;
    site.ready("billing", "{scopes: [orders:read, invoices:write]}").await;
    let told = site.snaphook(&["token", "billing"]).ended(0);
    for part in ["scope      orders:read invoices:write", "iss        https://auth.example.com", "(in "] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    assert!(!told.contains("eyJ"), "{told}");
    let json = site.snaphook(&["token", "billing", "-o", "json", "--scope", "orders:read"]).json();
    assert_eq!(
        (&json["scope"], &json["claims"]["sub"]),
        (&"orders:read".into(), &format!("{}.billing", site.namespace).into())
    );
    assert!(json.get("accessToken").is_none());
    let shown = site.snaphook(&["token", "billing", "-o", "json", "--show-token"]).json();
    assert_eq!(shown["accessToken"].as_str().unwrap().split('.').count(), 3);
    assert!(site.snaphook(&["token", "billing", "--scope", "admin"]).ended(FAILED).contains("invalid_scope"));
    assert!(site.snaphook(&["token", "nobody"]).ended(FAILED).contains("there is no AppCredential nobody"));
    let silent = site.snaphook(&["token", "billing", "--server", "http://127.0.0.1:9"]).ended(FAILED);
    assert!(silent.contains("port-forward"), "{silent}");
    site.snaphook(&["token", "billing", "--server", "127.0.0.1"]).ended(USAGE);
}

#[tokio::test]
async fn a_secret_is_verified_under_the_names_of_its_template() {
    let site = Site::new("verify").await;
    site.ready(
        "billing",
        "{secretTemplate: {name: billing-env, keys: {clientId: ID, clientSecret: SECRET, tokenUrl: URL}}}",
    )
    .await;
    let told = site.snaphook(&["verify", "billing"]).ended(0);
    assert_eq!(told, format!("SECRET in the Secret billing-env authenticates {}.billing\n", site.namespace));
    site.ready("two", "{audiences: ['https://a.test', 'https://b.test']}").await;
    site.snaphook(&["verify", "two"]).ended(0);
    site.kubectl(&["patch", "appcredential", "billing", "--type=merge", "-p", r#"{"spec":{"revoked":true}}"#]).await;
    site.eventually("revoked", || site.snaphook(&["verify", "billing"]).code == NO).await;
    let json = site.snaphook(&["verify", "billing", "-o", "json"]).json();
    assert_eq!(json[0]["authenticates"], false);
    assert!(json[0]["error"].as_str().unwrap().starts_with("invalid_client: "), "{json}");
}
