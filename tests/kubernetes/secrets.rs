//! Secrets that are deleted, edited, foreign, wanted twice, or brought by the user.

use crate::harness::{Installation, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_or_edited_secret_gets_a_new_value_and_the_former_one_works_on() {
    let installation = Installation::shared("edited").await;
    let _controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    installation.declare("billing", "{}").await;
    installation.ready("billing").await;
    let first = installation.credentials("billing-credential").await;
    installation.kubectl(&["delete", "secret", "billing-credential"]).await;
    eventually("a new Secret", async || installation.data("billing-credential").await.contains_key("client-secret"))
        .await;
    let second = installation.credentials("billing-credential").await;
    assert_ne!(first, second);
    assert_eq!(first.0, second.0, "the client id stays");
    eventually("both work", async || server.token(&first).0 == 200 && server.token(&second).0 == 200).await;

    let typed = "a-value-that-somebody-typed-in-by-hand-0123456789";
    let patch = format!(r#"{{"stringData":{{"client-secret":"{typed}","note":"mine"}}}}"#);
    installation.kubectl(&["patch", "secret", "billing-credential", "--type=merge", "-p", &patch]).await;
    eventually("it is replaced", async || installation.credentials("billing-credential").await.1 != typed).await;
    let third = installation.credentials("billing-credential").await;
    assert_ne!(third, second);
    assert_eq!(installation.data("billing-credential").await["note"], "mine", "what others added is theirs");
    eventually("the new one works", async || server.token(&third).0 == 200).await;
    assert_eq!(server.token(&(third.0.clone(), typed.to_owned())).0, 401, "never adopted");
    let events = installation.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]).await;
    assert!(events.contains("SecretReplaced"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_secret_is_untouched_until_it_is_handed_over() {
    let installation = Installation::shared("foreign").await;
    let _controller = installation.controller("one").await;
    installation.kubectl(&["create", "secret", "generic", "billing-credential", "--from-literal=mine=1"]).await;
    let before = installation.get("secret", "billing-credential").await;
    installation.declare("billing", "{}").await;
    let message = installation.until_reason("billing", "SecretExists").await;
    assert!(message.contains("kubectl annotate secret billing-credential"), "{message}");
    assert_eq!(installation.get("secret", "billing-credential").await, before);
    installation
        .kubectl(&["annotate", "secret", "billing-credential", "snaphook.dev/adopt=AppCredential/billing"])
        .await;
    installation.kubectl(&["annotate", "appcredential", "billing", "look=again"]).await;
    installation.ready("billing").await;
    let data = installation.data("billing-credential").await;
    assert_eq!(data["mine"], "1");
    assert!(data.contains_key("client-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_want_one_secret_the_older_wins_and_the_other_takes_over() {
    let installation = Installation::shared("rivals").await;
    let _controller = installation.controller("one").await;
    installation.declare("a-older", "{secretTemplate: {name: wanted}}").await;
    installation.ready("a-older").await;
    installation.declare("b-younger", "{secretTemplate: {name: wanted}}").await;
    let message = installation.until_reason("b-younger", "SecretNameTaken").await;
    assert!(message.contains("a-older"), "{message}");
    installation.kubectl(&["delete", "appcredential", "a-older"]).await;
    installation.ready("b-younger").await;
    let data = installation.data("wanted").await;
    assert_eq!(data["client-id"], format!("{}.b-younger", installation.team));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_names_types_and_marks_the_secret() {
    let installation = Installation::shared("template").await;
    let _controller = installation.controller("one").await;
    installation
        .declare("billing", "{secretTemplate: {labels: {team: a}, annotations: {note: x}, keys: {clientId: CLIENT_ID, clientSecret: CLIENT_SECRET}}}")
        .await;
    installation.ready("billing").await;
    let first = installation.data("billing-credential").await;
    assert!(first.contains_key("CLIENT_ID") && first.contains_key("CLIENT_SECRET") && !first.contains_key("client-id"));
    installation.patch("billing", r#"{"secretTemplate":{"name":"other","labels":null,"keys":null}}"#).await;
    eventually("the Secret moves", async || installation.get("secret", "billing-credential").await.is_none()).await;
    let second = installation.data("other").await;
    assert_eq!(second["client-secret"], first["CLIENT_SECRET"], "a rename is no rotation");
    let secret = installation.get("secret", "other").await.unwrap();
    assert!(secret["metadata"]["labels"]["team"].is_null());
    assert_eq!(secret["metadata"]["annotations"]["note"], "x");
    installation.patch("billing", r#"{"secretTemplate":{"annotations":null,"keys":{"issuer":"ISSUER"}}}"#).await;
    eventually("what we set is taken away again", async || {
        let secret = installation.get("secret", "other").await.unwrap();
        secret["metadata"]["annotations"]["note"].is_null()
            && secret["data"]["issuer"].is_null()
            && secret["data"]["ISSUER"].is_string()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_secret_keeps_its_value_for_the_next_of_that_name() {
    let installation = Installation::shared("retain").await;
    let _controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    installation.declare("billing", "{deletionPolicy: Retain}").await;
    installation.ready("billing").await;
    let before = installation.credentials("billing-credential").await;
    installation.kubectl(&["delete", "appcredential", "billing"]).await;
    eventually("it is refused", async || server.token(&before).0 == 401).await;
    assert_eq!(installation.credentials("billing-credential").await, before);
    installation.declare("billing", "{deletionPolicy: Retain}").await;
    installation.ready("billing").await;
    assert_eq!(installation.credentials("billing-credential").await, before);
    eventually("it works again", async || server.token(&before).0 == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_ones_own_is_waited_for_and_never_replaced_by_a_generated_one() {
    let installation = Installation::shared("own").await;
    let _controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    installation.declare("billing", "{secretFrom: {secretKeyRef: {name: mine, key: secret}}}").await;
    installation.until_reason("billing", "SecretNotFound").await;
    assert!(installation.get("secret", "billing-credential").await.is_none());
    let value = "0123456789abcdefghijklmnopqrstuvwxyz";
    installation.kubectl(&["create", "secret", "generic", "mine", &format!("--from-literal=secret={value}\n")]).await;
    installation.kubectl(&["annotate", "appcredential", "billing", "look=again"]).await;
    let message = installation.until_reason("billing", "ReferenceNotAllowed").await;
    let command = message.split("kubectl ").nth(1).unwrap();
    let arguments: Vec<&str> = command.split(' ').collect();
    installation.kubectl(&arguments).await;
    installation.ready("billing").await;
    let credentials = installation.credentials("billing-credential").await;
    assert_eq!(credentials.1, value, "without the newline at the end");
    eventually("it works", async || server.token(&credentials).0 == 200).await;

    let patch = r#"{"stringData":{"secret":"too short"}}"#;
    installation.kubectl(&["patch", "secret", "mine", "-p", patch]).await;
    installation.until_reason("billing", "SecretTooShort").await;
    assert_eq!(server.token(&credentials).0, 200, "the last good state stays");
    let patch = r#"{"stringData":{"secret":"another-secret-of-more-than-32-characters"}}"#;
    installation.kubectl(&["patch", "secret", "mine", "-p", patch]).await;
    installation.ready("billing").await;
    let changed = installation.credentials("billing-credential").await;
    eventually("both work during the overlap", async || {
        server.token(&credentials).0 == 200 && server.token(&changed).0 == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_hash_the_secret_is_never_in_the_cluster() {
    let installation = Installation::shared("hash").await;
    let _controller = installation.controller("one").await;
    let server = installation.server(&[]).await;
    let secret = "a-secret-that-is-kept-somewhere-else-entirely";
    let hash = snaphook::record::SecretHash::of(secret.as_bytes());
    installation.declare("billing", &format!("{{secretHash: '{hash}'}}")).await;
    installation.ready("billing").await;
    let data = installation.data("billing-credential").await;
    assert!(!data.contains_key("client-secret"));
    let credentials = (data["client-id"].clone(), secret.to_owned());
    eventually("it works", async || server.token(&credentials).0 == 200).await;
}
