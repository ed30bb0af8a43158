//! The operator's policy: what it refuses, and what happens to what it no longer allows.

use crate::harness::{Installation, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_refuses_says_which_rule() {
    let installation = Installation::shared("policy").await;
    installation.configure("- {namespaces: {}, scopes: ['orders:*'], audiences: ['https://*.example.com'], clientIds: [billing], maxAppCredentials: 4}");
    let _controller = installation.controller("one").await;
    installation.declare("a", "{scopes: ['invoices:read']}").await;
    installation.declare("b", "{audiences: ['https://elsewhere.test']}").await;
    installation.declare("c", "{clientId: other}").await;
    installation
        .declare("d", "{clientId: billing, scopes: ['orders:read'], audiences: ['https://api.example.com']}")
        .await;
    for (name, place) in
        [("a", "policy.rules[0].scopes"), ("b", "policy.rules[0].audiences"), ("c", "policy.rules[0].clientIds")]
    {
        let message = installation.until_reason(name, "NotAllowedByPolicy").await;
        assert!(message.contains(place), "{message}");
        assert!(installation.record(name).await.is_none());
    }
    installation.ready("d").await;
    assert_eq!(installation.data("d-credential").await["client-id"], "billing");
    installation.declare("e", "{}").await;
    let message = installation.until_reason("e", "NotAllowedByPolicy").await;
    assert!(message.contains("policy.rules[0].maxAppCredentials"), "{message}");
    installation.kubectl(&["delete", "appcredential", "a"]).await;
    installation.ready("e").await;
    installation.declare("f-taken", "{clientId: billing}").await;
    installation.kubectl(&["delete", "appcredential", "b"]).await;
    let message = installation.until_reason("f-taken", "ClientIdTaken").await;
    assert!(message.contains(&format!("{}/d", installation.team)), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_policy_suspends_and_a_wider_one_lifts_it() {
    let installation = Installation::shared("narrower").await;
    let controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    installation.declare("billing", "{scopes: ['orders:read']}").await;
    installation.ready("billing").await;
    let credentials = installation.credentials("billing-credential").await;
    eventually("a token", async || server.token(&credentials).0 == 200).await;
    let generation = installation.record("billing").await.unwrap()["generation"].clone();

    installation.configure("- {namespaces: {}, scopes: ['invoices:*']}");
    installation.until_reason("billing", "NotAllowedByPolicy").await;
    eventually("it is suspended", async || server.token(&credentials).0 == 401).await;
    installation.configure("- {namespaces: {}, scopes: ['orders:*']}");
    installation.ready("billing").await;
    eventually("it works again", async || server.token(&credentials).0 == 200).await;
    assert_eq!(installation.record("billing").await.unwrap()["generation"], generation);

    std::fs::write(installation.scratch("config.yaml"), "realm: {issuer: nonsense}").unwrap();
    controller.logged("the last good one stays", crate::harness::SOON).await.unwrap();
    installation.declare("still", "{scopes: ['orders:read']}").await;
    installation.ready("still").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_counts_even_where_the_rest_is_refused() {
    let installation = Installation::shared("both").await;
    let _controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    installation.declare("billing", "{scopes: ['orders:read']}").await;
    installation.ready("billing").await;
    let credentials = installation.credentials("billing-credential").await;
    eventually("a token", async || server.token(&credentials).0 == 200).await;
    installation.patch("billing", r#"{"scopes":["snaphook:introspect"],"revoked":true}"#).await;
    installation.until_reason("billing", "NotAllowedByPolicy").await;
    eventually("it is revoked", async || server.token(&credentials).0 == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_configuration_ends_the_start_with_its_place() {
    let installation = Installation::shared("mistake").await;
    std::fs::write(installation.scratch("config.yaml"), "realm: {issuer: 'https://x'}\nconcurrency: 0\n").unwrap();
    let controller = installation.candidate("one", &installation.plane.kubeconfig());
    let exit = controller.wait(crate::harness::SOON).await.unwrap();
    assert!(!exit.success());
    assert!(controller.log().contains("concurrency: must be from 1 to 256"), "{}", controller.log());
}
