//! Edits take effect at once; what cannot be used is reported, and leaves the last good state.

use crate::laptop::{Laptop, access_token, eventually};

const BILLING: &str = "demo/billing-credential";

#[tokio::test]
async fn revoking_ends_every_token_for_good() {
    let laptop = Laptop::example("revoking", "quickstart").await;
    let (yaml, token) = (laptop.read("billing.yaml"), access_token(&laptop.token(BILLING)));
    assert!(laptop.is_active(&token));
    laptop.save("billing.yaml", &yaml.replace("spec:", "spec:\n  revoked: true"));
    eventually("the token is dead", || !laptop.is_active(&token)).await;
    assert_eq!(laptop.token(BILLING)["error"], "invalid_client");
    laptop.says(&["Revoked", "demo/billing"]).await;

    laptop.save("billing.yaml", &yaml);
    laptop.says(&["Reinstated", "demo/billing"]).await;
    eventually("a new token", || laptop.token(BILLING)["access_token"].is_string()).await;
    assert!(!laptop.is_active(&token), "a token came back to life");
}

#[tokio::test]
async fn a_file_that_does_not_parse_leaves_the_last_good_state() {
    let laptop = Laptop::example("broken-yaml", "quickstart").await;
    let (yaml, token) = (laptop.read("billing.yaml"), access_token(&laptop.token(BILLING)));
    laptop.save("billing.yaml", &(yaml.clone() + "  tokenLifetime: [1h\n"));
    let line = laptop.says(&["Refused", "billing.yaml:"]).await;
    assert!(line.contains("the last good state stays"), "{line}");
    assert!(laptop.is_active(&token));
    access_token(&laptop.token(BILLING));
    laptop.save("billing.yaml", &yaml);
    laptop.says(&["Accepted", "billing.yaml"]).await;
    assert!(laptop.is_active(&token));
}

#[tokio::test]
async fn a_refused_field_is_named_with_its_line_and_the_fix() {
    let laptop = Laptop::example("refused-field", "quickstart").await;
    let (yaml, token) = (laptop.read("billing.yaml"), access_token(&laptop.token(BILLING)));
    let number = yaml.lines().count() + 1;
    let place = format!("billing.yaml:{number}");
    for (edit, parts) in [
        ("  tokenLifetime: 25h\n", ["spec.tokenLifetime", "must be from 30s to 24h"]),
        ("  scope: [a]\n", ["spec.scope", "unknown field"]),
        ("  clientId: billing\n", ["spec.clientId", "cannot be changed"]),
        ("  expiresAt: tomorrow\n", ["spec.expiresAt", "date-time"]),
        ("  secretHash: plain-canary-secret\n", ["spec.secretHash", "sha256"]),
    ] {
        laptop.save("billing.yaml", &(yaml.clone() + edit));
        let line = laptop.says(&[&place, "demo/billing", parts[0], parts[1]]).await;
        assert!(line.contains("Refused"), "{line}");
    }
    assert!(laptop.is_active(&token));
    assert!(!laptop.output().contains("canary"), "{}", laptop.output());
}

#[tokio::test]
async fn a_good_document_beside_a_bad_one_is_taken() {
    let laptop = Laptop::example("beside-a-bad-one", "quickstart").await;
    let token = access_token(&laptop.token(BILLING));
    let yaml = laptop.read("billing.yaml").replace("spec:", "spec:\n  revoked: true");
    laptop.save("billing.yaml", &format!("{yaml}---\nkind: AppCredential\nmetadata: {{name: other}}\n"));
    eventually("the token is dead", || !laptop.is_active(&token)).await;
    laptop.says(&["Refused", "apiVersion"]).await;
}

#[tokio::test]
async fn a_file_removed_is_a_resource_deleted() {
    let laptop = Laptop::example("removed", "quickstart").await;
    let (yaml, token, secret) =
        (laptop.read("billing.yaml"), access_token(&laptop.token(BILLING)), laptop.secret(BILLING));
    laptop.remove("billing.yaml");
    laptop.says(&["Deleted", "demo/billing"]).await;
    eventually("the token is dead", || !laptop.is_active(&token)).await;
    assert!(!laptop.state("secrets/demo/billing-credential").exists());
    assert!(!laptop.state("status/demo/appcredential.billing.yaml").exists());
    assert_eq!(laptop.token_with("demo.billing", &secret)["error"], "invalid_client");

    laptop.save("billing.yaml", &yaml);
    laptop.says(&["Created", "demo/billing"]).await;
    eventually("a new token", || laptop.token(BILLING)["access_token"].is_string()).await;
    assert_ne!(laptop.secret(BILLING), secret);
    assert!(!laptop.is_active(&token), "a token came back to life");
}

#[tokio::test]
async fn a_document_moved_to_another_file_stays_the_same_resource() {
    let laptop = Laptop::example("moved", "quickstart").await;
    let (yaml, token) = (laptop.read("billing.yaml"), access_token(&laptop.token(BILLING)));
    laptop.save("moved.yaml", &yaml);
    laptop.says(&["Refused", "moved.yaml", "another document declares this"]).await;
    laptop.remove("billing.yaml");
    laptop.says(&["Accepted", "moved.yaml"]).await;
    assert!(laptop.is_active(&token));
}

#[tokio::test]
async fn other_edits_are_told_in_one_line() {
    let laptop = Laptop::example("updated", "quickstart").await;
    let yaml = laptop.read("billing.yaml");
    laptop.save("billing.yaml", &yaml.replace("orders:read", "orders:write"));
    laptop.says(&["Updated", "demo/billing"]).await;
    eventually("the new scope", || laptop.token(BILLING)["scope"] == "orders:write invoices:write").await;
}
