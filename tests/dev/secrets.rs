//! Secrets: rotated, replaced, brought along; never shown.

use std::{fs, path::Path};

use crate::laptop::{Laptop, access_token, eventually};

const SHOP: &str = "apiVersion: snaphook.dev/v1alpha1
kind: AppCredential
metadata: {name: shop, namespace: demo}
spec:
";
const SECRET: &str = "demo/shop-credential";
const OWN: &str = "canary-0123456789-0123456789-0123456789";

#[tokio::test]
async fn a_changed_nonce_rotates_and_both_secrets_work() {
    let laptop = Laptop::with("nonce", &[("shop.yaml", &format!("{SHOP}  rotation: {{nonce: a}}\n"))]).await;
    let old = laptop.secret(SECRET);
    laptop.save("shop.yaml", &format!("{SHOP}  rotation: {{nonce: b}}\n"));
    laptop.says(&["Rotated", "demo/shop"]).await;
    assert_ne!(laptop.secret(SECRET), old);
    assert_eq!(laptop.key(SECRET, "client-secret-previous"), old);
    eventually("the new secret", || laptop.token(SECRET)["access_token"].is_string()).await;
    access_token(&laptop.token_with("demo.shop", &old));
}

#[tokio::test]
async fn an_overlap_ends_by_itself() {
    let yaml = |nonce| format!("{SHOP}  rotation: {{nonce: {nonce}, overlap: 1s}}\n");
    let laptop = Laptop::with("overlap", &[("shop.yaml", &yaml("a"))]).await;
    let old = laptop.secret(SECRET);
    laptop.save("shop.yaml", &yaml("b"));
    laptop.says(&["Rotated", "demo/shop"]).await;
    let previous = laptop.state("secrets/demo/shop-credential/client-secret-previous");
    eventually("the previous secret is gone", || !previous.exists()).await;
    assert_eq!(laptop.token_with("demo.shop", &old)["error"], "invalid_client");
    access_token(&laptop.token(SECRET));
}

#[tokio::test]
async fn a_credential_expires_by_itself() {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let yaml = format!("{SHOP}  expiresAt: \"{}\"\n", jiff::Timestamp::from_second(end.as_second()).unwrap());
    let laptop = Laptop::with("expiry", &[("shop.yaml", &yaml)]).await;
    laptop.says(&["Expired", "demo/shop"]).await;
    assert_eq!(laptop.token(SECRET)["error"], "invalid_client");
}

#[tokio::test]
async fn a_secret_deleted_or_edited_by_hand_is_replaced() {
    let laptop = Laptop::with("by-hand", &[("shop.yaml", &format!("{SHOP}  scopes: []\n"))]).await;
    let first = laptop.secret(SECRET);
    fs::remove_dir_all(laptop.state("secrets/demo/shop-credential")).unwrap();
    laptop.says(&["SecretReplaced", "demo/shop"]).await;
    let second = laptop.secret(SECRET);
    assert_ne!(first, second);
    fs::write(laptop.state("secrets/demo/shop-credential/client-secret"), OWN).unwrap();
    eventually("a value typed in by hand is gone", || laptop.secret(SECRET) != OWN).await;
    eventually("all former secrets work", || {
        let works = |secret: &str| laptop.token_with("demo.shop", secret)["access_token"].is_string();
        works(&first) && works(&second) && works(&laptop.secret(SECRET))
    })
    .await;
    assert_eq!(laptop.token_with("demo.shop", OWN)["error"], "invalid_client");
}

#[tokio::test]
async fn a_secret_of_ones_own_is_waited_for_and_followed() {
    let reference = "  secretFrom: {secretKeyRef: {name: own, key: value}}\n";
    let laptop = Laptop::with("own", &[("shop.yaml", &format!("{SHOP}{reference}"))]).await;
    assert!(laptop.output().contains("ReferenceNotAvailable"), "{}", laptop.output());
    laptop.says(&["kubectl label secret own -n demo snaphook.dev/allow-reference=true"]).await;
    let secret = |value: &str, labels: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: own, namespace: demo, labels: {labels}}}\nstringData: {{value: {value}}}\n"
        )
    };
    laptop.save("own.yaml", &secret(OWN, "{}"));
    let allowed = "{snaphook.dev/allow-reference: 'true'}";
    laptop.save("own.yaml", &secret(OWN, allowed));
    laptop.says(&["Created", "demo/shop"]).await;
    eventually("the secret of one's own", || laptop.token_with("demo.shop", OWN)["access_token"].is_string()).await;
    assert_eq!(laptop.secret(SECRET), OWN);
    laptop.save("own.yaml", &secret(&OWN.replace("canary", "second"), allowed));
    laptop.says(&["SecretChanged", "demo/shop"]).await;
    access_token(&laptop.token_with("demo.shop", OWN));

    laptop.save("own.yaml", &format!("{}\n  x: [", secret(OWN, allowed)));
    laptop.says(&["Refused", "own.yaml:"]).await;
    laptop.save("own.yaml", &secret(OWN, allowed).replace("stringData", "data"));
    laptop.says(&["Refused", "own.yaml:", "data.value", "Base64"]).await;
    access_token(&laptop.token_with("demo.shop", OWN));
    assert!(!laptop.output().contains(OWN), "{}", laptop.output());
}

#[tokio::test]
async fn a_retained_secret_keeps_its_value() {
    let yaml = format!("{SHOP}  deletionPolicy: Retain\n");
    let laptop = Laptop::with("retain", &[("shop.yaml", &yaml)]).await;
    let secret = laptop.secret(SECRET);
    laptop.remove("shop.yaml");
    laptop.says(&["Deleted", "demo/shop", "its Secret stays"]).await;
    eventually("no token", || laptop.token(SECRET)["error"] == "invalid_client").await;
    laptop.save("shop.yaml", &yaml);
    laptop.says(&["Created", "demo/shop"]).await;
    assert_eq!(laptop.secret(SECRET), secret);
    eventually("a token", || laptop.token(SECRET)["access_token"].is_string()).await;
}

#[tokio::test]
async fn a_secret_is_in_no_output_record_or_status() {
    let laptop = Laptop::with("canary", &[("shop.yaml", &format!("{SHOP}  rotation: {{nonce: a}}\n"))]).await;
    let mut secrets = vec![laptop.secret(SECRET)];
    laptop.save("shop.yaml", &format!("{SHOP}  rotation: {{nonce: b}}\n"));
    laptop.says(&["Rotated", "demo/shop"]).await;
    secrets.push(laptop.secret(SECRET));
    let token = access_token(&laptop.token(SECRET));
    secrets.push(token);
    let found = |text: &str| secrets.iter().any(|secret| text.contains(secret.as_str()));
    assert!(found(&secrets[1]), "the search finds nothing");
    assert!(!found(&laptop.output()), "{}", laptop.output());
    for directory in ["records", "status"] {
        for text in texts(&laptop.state(directory)) {
            assert!(!found(&text), "{text}");
        }
    }
    for path in ["", "secrets", "records", "status", "secrets/demo/shop-credential"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(laptop.state(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{path}");
    }
}

fn texts(directory: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(crate::secrets::texts(&path));
        } else {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    texts
}
