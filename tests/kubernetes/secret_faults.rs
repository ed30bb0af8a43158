//! Whatever happens to the Secret that the app mounts.

use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use snaphook::{controller::app_credential::secret_value, crd::AppCredential, record::Origin};

use crate::harness::{Controller, Tenant, hash_of, until, until_some, value};

const APP: &str = "{kind: AppCredential, metadata: {name: app}, spec: {scopes: [orders:read]}}";

async fn made(prefix: &str) -> (Tenant<'static>, String) {
    let t = Tenant::new(prefix).await;
    t.apply(APP).await;
    t.ready("app").await;
    let first = value(&t.secret("app-credential").await, "client-secret");
    (t, first)
}

#[tokio::test]
async fn a_deleted_secret_comes_back_with_a_new_value_and_the_old_one_works_for_its_overlap() {
    let (t, first) = made("gone").await;
    t.secrets().delete("app-credential", &DeleteParams::default()).await.unwrap();
    let second = t.new_value("app-credential", &first).await;
    assert!(t.event("app", "SecretReplaced").await.contains("app-credential"));
    let record = t.record_when("app", "the old one ends", |it| it.secrets[0].not_after.is_some()).await;
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(&first), hash_of(&second)]);
    assert_eq!(record.client_id, format!("{}.app", t.namespace));
    t.when("app", "two versions", |it| it.status.as_ref().unwrap().versions.len() == 2).await;
}

#[tokio::test]
async fn a_value_typed_in_by_hand_is_replaced_and_never_adopted() {
    use secrecy::ExposeSecret as _;
    let (t, first) = made("typed").await;
    let look_alike = secret_value::generate(&[7; 32]);
    let mut former = first;
    for typed in ["a-secret-that-is-long-enough-to-be-accepted", look_alike.expose_secret()] {
        t.patch_secret("app-credential", &json!({ "stringData": { "client-secret": typed } })).await;
        until_some("the typed value goes", || async {
            let now = value(&t.secrets().get("app-credential").await.unwrap(), "client-secret");
            (now != typed && now != former).then_some(())
        })
        .await;
        former = value(&t.secret("app-credential").await, "client-secret");
        let record = t.record("app").await.unwrap();
        assert!(record.secrets.iter().all(|it| it.hash != hash_of(typed)), "{typed}");
        assert!(record.secrets.iter().any(|it| it.hash == hash_of(&former) && it.origin == Origin::Generated));
    }
}

#[tokio::test]
async fn other_values_edited_by_hand_are_restored_without_a_new_secret() {
    let (t, first) = made("edited").await;
    t.patch_secret("app-credential", &json!({ "stringData": { "token-url": "http://evil.test" } })).await;
    until("the URL is restored", || async {
        value(&t.secret("app-credential").await, "token-url") == "http://snaphook.test/oauth/token"
    })
    .await;
    t.patch_secret("app-credential", &json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "me" } } }))
        .await;
    until("the label is restored", || async {
        t.secret("app-credential").await.metadata.labels.unwrap()["app.kubernetes.io/managed-by"] == "snaphook"
    })
    .await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), first);
    assert_eq!(t.record("app").await.unwrap().secrets.len(), 1);
}

#[tokio::test]
async fn keys_labels_and_annotations_of_others_stay_and_cause_no_writes() {
    let (t, first) = made("extra").await;
    let theirs = json!({
        "metadata": { "labels": { "theirs": "label" }, "annotations": { "theirs": "annotation" } },
        "stringData": { "theirs": "data" },
    });
    t.patch_secret("app-credential", &theirs).await;
    t.touch("app").await;
    let mark = t.plane.audit().mark().unwrap();
    t.touch("app").await;
    assert_eq!(t.writes_since(mark), []);
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    t.new_value("app-credential", &first).await;
    t.ready("app").await;
    let secret = t.secret("app-credential").await;
    assert_eq!(value(&secret, "theirs"), "data");
    assert_eq!(secret.metadata.labels.unwrap()["theirs"], "label");
    assert_eq!(secret.metadata.annotations.unwrap()["theirs"], "annotation");
}

#[tokio::test]
async fn an_immutable_secret_is_fine_until_it_would_have_to_change() {
    let (t, first) = made("immutable").await;
    t.patch_secret("app-credential", &json!({ "immutable": true })).await;
    t.touch("app").await;
    t.ready("app").await;
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    let message = t.stalled("app", "SecretImmutable").await;
    assert!(message.contains("app-credential") && message.contains("delete it"), "{message}");
    assert_eq!(t.record("app").await.unwrap().secrets.len(), 1, "no hash of a secret that nobody has");
    t.secrets().delete("app-credential", &DeleteParams::default()).await.unwrap();
    t.new_value("app-credential", &first).await;
    t.ready("app").await;
}

#[tokio::test]
async fn a_foreign_secret_of_the_wanted_name_is_not_touched_until_its_owner_hands_it_over() {
    let t = Tenant::new("foreign").await;
    t.apply("{kind: Secret, metadata: {name: app-credential}, stringData: {client-secret: theirs, other: theirs}}")
        .await;
    let before = t.secret("app-credential").await;
    t.apply(APP).await;
    let message = t.stalled("app", "SecretExists").await;
    assert!(message.contains("kubectl annotate secret app-credential"), "{message}");
    assert!(t.event("app", "SecretExists").await.contains("app-credential"));
    t.touch("app").await;
    assert_eq!(t.secret("app-credential").await, before, "byte-identical");
    let status = t.resources().get("app").await.unwrap().status.unwrap();
    assert_eq!(status.versions, [], "no secret was handed out");

    let command = message.split("kubectl ").nth(1).unwrap();
    t.plane.kubectl(&command.split(' ').collect::<Vec<_>>()).await.unwrap().success().unwrap();
    t.ready("app").await;
    let secret = t.secret("app-credential").await;
    let adopted = value(&secret, "client-secret");
    assert!(adopted.starts_with("snaphook_"));
    assert_eq!(value(&secret, "other"), "theirs");
    let record = t.record("app").await.unwrap();
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(&adopted)]);
}

#[tokio::test]
async fn when_the_foreign_secret_goes_ours_is_made_as_if_it_had_never_been_there() {
    let t = Tenant::new("foreign-gone").await;
    t.apply("{kind: Secret, metadata: {name: app-credential}, stringData: {other: theirs}}").await;
    t.apply(APP).await;
    t.stalled("app", "SecretExists").await;
    t.secrets().delete("app-credential", &DeleteParams::default()).await.unwrap();
    t.ready("app").await;
    let secret = value(&t.secret("app-credential").await, "client-secret");
    let record = t.record("app").await.unwrap();
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(&secret)]);
    t.event("app", "Created").await;
    let reasons: Vec<_> = t.events("app").await.into_iter().filter_map(|event| event.reason).collect();
    assert!(!reasons.contains(&"SecretReplaced".into()), "{reasons:?}");
}

#[tokio::test]
async fn a_secret_of_another_type_is_told_and_not_touched() {
    let t = Tenant::new("type").await;
    t.apply(
        "
kind: Secret
type: kubernetes.io/basic-auth
metadata: {name: app-credential, annotations: {snaphook.dev/adopt: AppCredential/app}}
stringData: {username: u, password: p}",
    )
    .await;
    let before = t.secret("app-credential").await;
    t.apply(APP).await;
    let message = t.stalled("app", "SecretTypeMismatch").await;
    assert!(message.contains("kubernetes.io/basic-auth") && message.contains("Opaque"), "{message}");
    assert_eq!(t.secret("app-credential").await, before);
}

#[tokio::test]
async fn a_secret_that_somebody_keeps_rewriting_is_not_fought_over() {
    for policy in ["Delete", "Retain"] {
        let t = Tenant::new("contest").await;
        let yaml = format!("{{kind: AppCredential, metadata: {{name: app}}, spec: {{deletionPolicy: {policy}}}}}");
        t.apply(&yaml).await;
        t.ready("app").await;
        for round in 0..3 {
            let typed = format!("http://rival-{round}.test");
            t.patch_secret("app-credential", &json!({ "stringData": { "issuer": typed } })).await;
            until("it is restored", || async { value(&t.secret("app-credential").await, "issuer") != typed }).await;
        }
        t.patch_secret("app-credential", &json!({ "stringData": { "issuer": "http://rival.test" } })).await;
        let message = t.stalled("app", "SecretContested").await;
        assert!(message.contains("\"someone\"") && message.contains("app-credential"), "{message}");
        assert_eq!(value(&t.secret("app-credential").await, "issuer"), "http://rival.test", "no fight");
    }
}

#[tokio::test]
async fn what_the_api_server_refuses_for_good_is_told_and_leaves_no_secret_that_nobody_has() {
    let t = Tenant::new("quota").await;
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: none}\nspec: {hard: {count/secrets: '0'}}";
    let apply = ["-n", &t.namespace, "apply", "-f", "-"];
    t.plane.kubectl_with_input(&apply, quota).await.unwrap().success().unwrap();
    // What the quota controller does, which is not part of the control plane here.
    let status = r#"{"status":{"hard":{"count/secrets":"0"},"used":{"count/secrets":"0"}}}"#;
    let patch =
        ["-n", &t.namespace, "patch", "resourcequota", "none", "--subresource=status", "--type=merge", "-p", status];
    t.plane.kubectl(&patch).await.unwrap().success().unwrap();
    t.apply(APP).await;
    let message = t.stalled("app", "WriteRefused").await;
    assert!(message.contains("quota"), "{message}");
    // Let it be tried some more times.
    t.patch("app", &json!({ "spec": { "displayName": "again" } })).await;
    t.stalled("app", "WriteRefused").await;
    t.plane.kubectl(&["-n", &t.namespace, "delete", "resourcequota", "none"]).await.unwrap().success().unwrap();
    t.ready("app").await;
    let secret = value(&t.secret("app-credential").await, "client-secret");
    let record = t.record("app").await.unwrap();
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(&secret)]);
}

/// With a new secret for each try the record would be written each time, and each write would be the reason for another try.
#[tokio::test]
async fn a_secret_that_is_refused_costs_few_tries_and_no_writes_of_the_record() {
    let t = Tenant::alone("refused").await;
    let controller = t.controller().await;
    let quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {count/secrets: '0'}}}";
    t.apply(quota).await;
    // As the controller of quotas says, which does not run here. It counts once the API server's own watch has it.
    let quotas: Api<ResourceQuota> = Api::namespaced(t.client.clone(), &t.namespace);
    let none = json!({ "status": { "hard": { "count/secrets": "0" }, "used": { "count/secrets": "0" } } });
    quotas.patch_status("none", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
    until("the quota counts", || async {
        let secret: Secret = serde_json::from_value(json!({ "metadata": { "name": "tried" } })).unwrap();
        t.secrets().create(&PostParams { dry_run: true, ..PostParams::default() }, &secret).await.is_err()
    })
    .await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {}}").await;
    let message = t.of::<AppCredential>().refused("app", "Stalled", "WriteRefused").await;
    assert!(message.contains("quota"), "{message}");
    until("it was tried again", || async { refused(&controller).await >= 2 }).await;
    let record = t.record("app").await;
    let (mark, tries) = (t.plane.audit().mark().unwrap(), refused(&controller).await);
    until("it was tried some more times", || async { refused(&controller).await >= tries + 4 }).await;
    assert_eq!(t.writes_since(mark), []);
    assert_eq!(t.record("app").await, record);

    quotas.delete("none", &DeleteParams::default()).await.unwrap();
    t.ready("app").await;
}

/// How many runs ended with a refusal.
async fn refused(controller: &Controller) -> u64 {
    let (_, metrics) = controller.probe("/metrics").await;
    let name = r#"snaphook_reconciles_total{kind="AppCredential",result="Refused"} "#;
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}
