//! The first minutes of a new user.

use std::fs;

use crate::laptop::{Laptop, access_token, shell};

#[tokio::test]
async fn the_printed_lines_can_be_pasted() {
    let laptop = Laptop::example("pasted", "quickstart").await;
    let script = laptop.step("access token") + &laptop.step("check the token");
    let output = shell(&script);
    let (token, answer) = output.split_once('\n').unwrap();
    assert_eq!(token.split('.').count(), 3, "{token}");
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    assert_eq!(answer["active"], true);
    assert_eq!(answer["client_id"], "demo.billing");
    assert_eq!(answer["scope"], "orders:read invoices:write");
    assert_eq!(answer["aud"], "https://api.example.com");
    assert_eq!(laptop.key("demo/billing-credential", "token-url"), format!("{}/oauth/token", laptop.url()));
}

#[tokio::test]
async fn each_credential_is_listed_with_its_client_id_and_its_secret_is_not_shown() {
    let laptop = Laptop::example("listed", "quickstart").await;
    let output = laptop.output();
    for name in ["billing", "gateway"] {
        let secret = laptop.state(&format!("secrets/demo/{name}-credential"));
        let block = output
            .split("\n\n")
            .find(|block| block.starts_with(&format!("AppCredential demo/{name}  Active")))
            .unwrap();
        assert!(block.contains(&format!("client id  demo.{name}\n")), "{block}");
        assert!(block.ends_with(&format!("Secret     {}", secret.canonicalize().unwrap().display())), "{block}");
        assert!(!output.contains(&laptop.secret(&format!("demo/{name}-credential"))));
    }
    assert!(!output.contains("Refused") && !output.contains("WARN"), "{output}");
}

#[tokio::test]
async fn a_path_with_a_space_and_keys_of_ones_own_can_be_pasted_too() {
    let yaml = "apiVersion: snaphook.dev/v1alpha1
kind: AppCredential
metadata: {name: shop}
spec:
  scopes: ['snaphook:introspect']
  secretTemplate: {name: oauth, keys: {clientId: CLIENT_ID, clientSecret: CLIENT_SECRET}}
";
    let laptop = Laptop::with("it's a path", &[("shop.yml", yaml)]).await;
    let output = shell(&(laptop.step("access token") + &laptop.step("check the token")));
    assert!(output.contains(r#""active":true"#), "{output}");
    assert!(laptop.state("secrets/default/oauth/CLIENT_SECRET").exists());
}

#[tokio::test]
async fn without_anybody_who_may_introspect_it_is_said_how_to_add_one() {
    let yaml = "apiVersion: snaphook.dev/v1alpha1\nkind: AppCredential\nmetadata: {name: shop}\nspec: {}\n";
    let laptop = Laptop::with("nobody-introspects", &[("shop.yaml", yaml)]).await;
    assert!(laptop.output().contains(r#"spec.scopes: ["snaphook:introspect"]"#), "{}", laptop.output());
}

#[tokio::test]
async fn an_empty_directory_is_served_and_filled_later() {
    let laptop = Laptop::with("empty", &[]).await;
    assert!(laptop.output().contains("No YAML file there declares a resource of Snaphook."));
    laptop.save("a.yaml", "apiVersion: snaphook.dev/v1alpha1\nkind: AppCredential\nmetadata: {name: late}\nspec: {}\n");
    laptop.says(&["Created", "default/late", "secrets/default/late-credential"]).await;
    crate::laptop::eventually("a token", || laptop.token("default/late-credential")["access_token"].is_string()).await;
}

#[tokio::test]
async fn every_example_is_accepted() {
    for entry in fs::read_dir("examples").unwrap() {
        let example = entry.unwrap().file_name().into_string().unwrap();
        let laptop = Laptop::example(&format!("example-{example}"), &example).await;
        let output = laptop.output();
        assert!(output.contains("  Active\n") && !output.contains("Refused"), "{example}:\n{output}");
        assert!(laptop.stop().await.success());
    }
}

#[tokio::test]
async fn other_kinds_are_ignored_with_one_line_each() {
    let laptop = Laptop::example("ignored", "deployment").await;
    let output = laptop.output();
    assert_eq!(output.matches("Ignored").count(), 1, "{output}");
    assert!(output.contains("app.yaml  Deployment shop"), "{output}");
    access_token(&laptop.token("default/shop-credential"));
}

#[test]
fn every_example_says_what_it_shows_and_how_to_apply_it() {
    for example in fs::read_dir("examples").unwrap() {
        let example = example.unwrap().path();
        for file in fs::read_dir(&example).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let comment: String = text.lines().take_while(|line| line.starts_with('#')).collect();
            assert!(comment.contains(&format!("kubectl apply -f {}", example.display())), "{text}");
            assert!(
                !text.contains("revoked: false"),
                "Argo CD would restore it after `kubectl snaphook revoke`:\n{text}"
            );
        }
    }
}
