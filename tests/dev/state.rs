//! What is kept survives a restart; one directory has one `dev`; the configuration file counts.

use std::fs;

use crate::laptop::{Laptop, access_token, eventually, shell};

const BILLING: &str = "demo/billing-credential";

#[tokio::test]
async fn a_restart_changes_nothing() {
    let laptop = Laptop::example("restart", "quickstart").await;
    let (secret, token) = (laptop.secret(BILLING), access_token(&laptop.token(BILLING)));
    let files = ["status/demo/appcredential.billing.yaml", "records/signing-keys.snaphook-signing-keys.json"];
    let read = |laptop: &Laptop| files.map(|file| fs::read_to_string(laptop.state(file)).unwrap());
    let before = read(&laptop);
    let laptop = laptop.restart(|_| {}).await;
    assert_eq!(laptop.secret(BILLING), secret);
    assert_eq!(read(&laptop), before);
    assert!(laptop.is_active(&token));
    let output = laptop.output();
    assert!(!output.contains("Created") && !output.contains("Updated"), "{output}");
}

#[tokio::test]
async fn what_happened_to_the_files_meanwhile_counts() {
    let laptop = Laptop::example("meanwhile", "quickstart").await;
    let token = access_token(&laptop.token(BILLING));
    let laptop = laptop.restart(|directory| fs::remove_file(directory.join("billing.yaml")).unwrap()).await;
    laptop.says(&["Deleted", "demo/billing"]).await;
    eventually("the token is dead", || !laptop.is_active(&token)).await;
}

#[tokio::test]
async fn a_file_that_is_broken_at_the_start_leaves_what_was() {
    let laptop = Laptop::example("broken-start", "quickstart").await;
    let token = access_token(&laptop.token(BILLING));
    let laptop = laptop.restart(|directory| fs::write(directory.join("billing.yaml"), "spec: {\n").unwrap()).await;
    laptop.says(&["Refused", "billing.yaml:"]).await;
    assert!(laptop.is_active(&token));
    access_token(&laptop.token(BILLING));
}

#[tokio::test]
async fn a_second_one_on_the_same_directory_is_refused() {
    let laptop = Laptop::example("second", "quickstart").await;
    let (exit, output) = laptop.second().await;
    assert!(!exit.success());
    assert!(output.contains("another snaphook dev works on"), "{output}");
    access_token(&laptop.token(BILLING));
    assert!(laptop.stop().await.success());
}

#[tokio::test]
async fn a_configuration_file_counts_and_so_do_its_changes() {
    let policy = |scopes| {
        format!(
            "realm: {{issuer: 'https://auth.example.com'}}\npolicy: {{rules: [{{namespaces: {{}}, scopes: {scopes}}}]}}\n"
        )
    };
    let shop = "apiVersion: snaphook.dev/v1alpha1\nkind: AppCredential\nmetadata: {name: shop}\nspec: {scopes: [a]}\n";
    let files = [("snaphook-config.yaml", &*policy("[b]")), ("shop.yaml", shop)];
    let laptop = Laptop::with("configured", &files).await;
    assert!(laptop.output().contains("NotAllowedByPolicy"), "{}", laptop.output());
    assert!(laptop.output().contains("policy.rules[0].scopes"), "{}", laptop.output());
    laptop.save("snaphook-config.yaml", &policy("[a]"));
    laptop.says(&["Created", "default/shop"]).await;
    eventually("a token", || laptop.token("default/shop-credential")["access_token"].is_string()).await;
    assert_eq!(laptop.key("default/shop-credential", "issuer"), "https://auth.example.com");
    laptop.save("snaphook-config.yaml", "realm: {issuer: nonsense}\n");
    let line = laptop.says(&["Refused", "snaphook-config.yaml", "realm.issuer"]).await;
    assert!(line.contains("the last good configuration stays"), "{line}");
    access_token(&laptop.token("default/shop-credential"));
}

#[tokio::test]
async fn policies_of_forward_auth_count_and_so_do_their_changes() {
    let policy = |scope| {
        format!(
            "realm: {{issuer: 'https://auth.example.com'}}\nforwardAuth: {{policies: {{shop: {{audience: 'https://auth.example.com', scopes: [{scope}]}}}}}}\n"
        )
    };
    let shop = "apiVersion: snaphook.dev/v1alpha1\nkind: AppCredential\nmetadata: {name: shop}\nspec: {scopes: [a]}\n";
    let laptop = Laptop::with("forward-auth", &[("snaphook-config.yaml", &*policy("a")), ("shop.yaml", shop)]).await;
    eventually("a token", || laptop.token("default/shop-credential")["access_token"].is_string()).await;
    let token = access_token(&laptop.token("default/shop-credential"));
    let passes = || {
        let (bearer, url) =
            (format!("Authorization: Bearer {token}"), format!("{}/oauth/forward-auth/shop", laptop.url()));
        shell(&format!("curl -sS -m 20 -o /dev/null -w '%{{http_code}}' -H '{bearer}' '{url}'")) == "200"
    };
    assert!(passes());
    laptop.save("snaphook-config.yaml", &policy("b"));
    eventually("another scope is asked for", || !passes()).await;
    laptop.save("snaphook-config.yaml", &policy("a"));
    eventually("the former one again", passes).await;
}
