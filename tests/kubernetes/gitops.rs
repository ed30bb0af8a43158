//! Argo CD and Flux on a real API server, as far as they are clients of it: they apply again, prune and restore; an action rotates.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use snaphook::crd::{AppCredential, Webhook};

use crate::{
    argo::{act, health, offered},
    examples::{Site, directories},
    harness::{Tenant, eventually, until, value},
};

const KINDS: &str = "appcredentials,webhooks,webhookcredentials,secrets,deployments,configmaps";
const AS_ARGO_CD: [&str; 2] = ["--server-side", "--field-manager=argocd-controller"];

/// What a resource has that others rely on: client id or URL, by `namespace/name`.
type Handed = BTreeMap<String, String>;

impl Site {
    async fn objects(&self, kinds: &str) -> Vec<Value> {
        let list = self.kubectl(&["get", kinds, "--all-namespaces", "-o", "json"]).await;
        serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
    }

    /// The version of every object, by kind and name.
    async fn versions(&self) -> BTreeMap<String, String> {
        let objects = self.objects(KINDS).await;
        let version =
            |it: &Value| (format!("{} {}", it["kind"], name(it)), it["metadata"]["resourceVersion"].to_string());
        objects.iter().map(version).collect()
    }

    async fn client_ids(&self) -> Handed {
        let objects = self.objects("appcredentials").await;
        objects.iter().map(|it| (name(it), it["status"]["clientId"].to_string())).collect()
    }

    async fn urls(&self) -> Handed {
        let objects = self.objects("webhooks").await;
        objects.iter().map(|it| (name(it), it["status"]["url"].to_string())).collect()
    }

    /// Waits until each credential knows who uses it, and each user of its credential, and the realm of a namespace, which came after
    /// the controller, has its keys: then the controller has nothing left to say.
    async fn settled(&self) {
        self.ready().await;
        eventually("the realm of the sidecar's namespace has its keys", async || {
            let secrets = self.objects("secrets").await;
            let mut bundles = secrets.iter().filter(|it| it["metadata"]["name"] == "snaphook-records-0");
            let has_keys =
                |it: &Value| it["data"].as_object().unwrap().keys().any(|file| file.starts_with("signing-keys."));
            bundles.any(has_keys)
        })
        .await;
        eventually("credentials and their users know each other", async || {
            let hooks = self.objects("webhooks").await;
            let users = hooks.iter().filter(|it| !it["spec"]["delivery"]["credentialRef"].is_null());
            let credentials = self.objects("webhookcredentials").await;
            let used = credentials.iter().filter_map(|it| it["status"]["usedBy"]["count"].as_u64()).sum::<u64>();
            let users: Vec<_> = users.collect();
            users.iter().all(|it| it["status"]["auth"] == it["spec"]["delivery"]["credentialRef"]["name"])
                && used == users.len() as u64
        })
        .await;
    }

    /// What a tool deletes when the files are gone from Git, the namespaces excepted: with one of them everything in it would go.
    async fn prune(&self) {
        for file in directories().iter().flat_map(|directory| fs::read_dir(directory).unwrap()) {
            let file = file.unwrap().path();
            if !file.ends_with("00-namespace.yaml") {
                self.kubectl(&["delete", "--timeout=60s", "-f", file.to_str().unwrap()]).await;
            }
        }
    }
}

fn name(object: &Value) -> String {
    format!("{}/{}", object["metadata"]["namespace"], object["metadata"]["name"])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_survives_a_second_apply_a_prune_and_a_restore() {
    let site = Site::start().await;
    site.apply_all(&AS_ARGO_CD).await;
    site.settled().await;

    let before = site.versions().await;
    for directory in directories() {
        let directory = directory.to_str().unwrap();
        let diff = [&["diff"], &AS_ARGO_CD[..], &["-f", directory]].concat();
        let diff = site.plane.kubectl(&diff).await.unwrap();
        assert!(diff.status.success() && diff.stdout.is_empty(), "{directory}: {}\n{}", diff.stdout, diff.stderr);
    }
    site.apply_all(&AS_ARGO_CD).await;
    assert_eq!(site.versions().await, before, "a second apply writes");

    let (client_ids, urls) = (site.client_ids().await, site.urls().await);
    site.prune().await;
    assert_eq!(site.objects("appcredentials,webhooks,webhookcredentials").await, Vec::<Value>::new());
    site.apply_all(&AS_ARGO_CD).await;
    site.settled().await;
    assert_eq!(site.client_ids().await, client_ids);
    let restored = site.urls().await;
    let retained: Vec<_> = urls.keys().filter(|name| urls[*name] == restored[*name]).collect();
    assert_eq!(retained, ["\"default\"/\"payments\""], "the one with deletionPolicy: Retain keeps its URL");
    site.plane.stop().await.unwrap();
}

const APP: &str =
    "{apiVersion: snaphook.dev/v1alpha1, kind: AppCredential, metadata: {name: app}, spec: {scopes: [a]}}";

/// `kubectl`, as one field manager.
async fn kubectl(t: &Tenant<'_>, arguments: &[&str], input: &str) -> String {
    let all = [&["--namespace", &t.namespace], arguments].concat();
    t.plane.kubectl_with_input(&all, input).await.unwrap().success().unwrap()
}

async fn sync(t: &Tenant<'_>, yaml: &str) {
    kubectl(t, &[&["apply", "--force-conflicts", "-f", "-"], &AS_ARGO_CD[..]].concat(), yaml).await;
}

async fn live(t: &Tenant<'_>, resource: &str) -> Value {
    let text = kubectl(t, &["get", resource, "-o", "json", "--show-managed-fields"], "").await;
    serde_json::from_str(&text).unwrap()
}

/// As Argo CD's server does it: what the action changed, as a merge patch.
async fn run_action(t: &Tenant<'_>, resource: &str, action: &str) {
    let changed = act(&live(t, resource).await, action);
    let patch = json!({ "spec": { "rotation": changed["spec"]["rotation"] } }).to_string();
    kubectl(t, &["patch", resource, "--type=merge", "--field-manager=argocd-server", "-p", &patch], "").await;
}

#[tokio::test]
async fn the_action_rotates_and_the_next_sync_leaves_it_so() {
    let t = Tenant::new("argocd").await;
    sync(&t, APP).await;
    t.ready("app").await;
    assert_eq!(offered(&live(&t, "appcredential/app").await), ["rotate"]);
    let first = value(&t.secret("app-credential").await, "client-secret");
    run_action(&t, "appcredential/app", "rotate").await;
    let second = t.new_value("app-credential", &first).await;
    t.ready("app").await;
    let rotated = live(&t, "appcredential/app").await;
    assert_eq!(health(&rotated).0, "Healthy");
    sync(&t, APP).await;
    let synced = live(&t, "appcredential/app").await;
    assert_eq!(synced["metadata"]["resourceVersion"], rotated["metadata"]["resourceVersion"], "no difference");
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), second);

    sync(&t, &APP.replace("scopes: [a]", "rotation: {nonce: '1'}")).await;
    assert!(offered(&live(&t, "appcredential/app").await).is_empty(), "Git states the nonce");
}

#[tokio::test]
async fn the_actions_of_a_webhook_replace_its_secret_and_its_url() {
    let t = Tenant::new("argocd-hook").await;
    let spec = "{verification: {type: GitHub}, delivery: {url: 'https://hooks.example.net/in'}}";
    sync(&t, &format!("{{apiVersion: snaphook.dev/v1alpha1, kind: Webhook, metadata: {{name: hook}}, spec: {spec}}}"))
        .await;
    t.of::<Webhook>().ready("hook").await;
    let both = async || {
        let secret = t.secret("hook-webhook").await;
        (value(&secret, "signing-secret"), value(&secret, "url"))
    };
    let first = both().await;
    run_action(&t, "webhook/hook", "rotate").await;
    until("another secret", || async { both().await.0 != first.0 }).await;
    let second = both().await;
    assert_eq!(second.1, first.1);
    run_action(&t, "webhook/hook", "rotate-url").await;
    until("another URL", || async { both().await.1 != second.1 }).await;
    assert_eq!(both().await.0, second.0);
}

#[tokio::test]
async fn a_rotation_changes_nothing_but_the_data_of_the_secret() {
    let t = Tenant::new("restart").await;
    t.apply(
        "
kind: AppCredential
metadata: {name: app}
spec:
  rotation: {nonce: '1'}
  secretTemplate:
    annotations: {reloader.stakater.com/match: 'true'}
    serviceBinding: {type: oauth2, provider: snaphook}",
    )
    .await;
    t.of::<AppCredential>().ready("app").await;
    let before = t.secret("app-credential").await;
    assert_eq!(before.metadata.annotations.as_ref().unwrap()["reloader.stakater.com/match"], "true");
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    t.new_value("app-credential", &value(&before, "client-secret")).await;
    let mut after = t.secret("app-credential").await;
    let mut changed: Vec<_> = after.data.clone().unwrap().into_iter().collect();
    changed.retain(|(key, value)| before.data.as_ref().unwrap().get(key) != Some(value));
    let changed: Vec<_> = changed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(changed, ["client-secret", "client-secret-previous"]);
    // Of the metadata, only what the API server counts.
    after.metadata.resource_version.clone_from(&before.metadata.resource_version);
    after.metadata.managed_fields.clone_from(&before.metadata.managed_fields);
    assert_eq!((after.metadata, after.type_), (before.metadata, before.type_));
}

#[tokio::test]
async fn every_kind_is_a_provisioned_service() {
    let t = Tenant::new("binding").await;
    let binding =
        "secretTemplate: {type: servicebinding.io/oauth2, serviceBinding: {type: oauth2, provider: snaphook}}";
    let specs = [
        ("AppCredential", "app-credential", String::new()),
        ("Webhook", "app-webhook", "verification: {type: GitHub}, delivery: {url: 'https://a.example/'}, ".into()),
        (
            "WebhookCredential",
            "app-webhook-credential",
            "type: ClientId, fieldName: clientid, location: Header, clientId: link, ".to_owned(),
        ),
    ];
    for (kind, secret, spec) in specs {
        t.apply(&format!("{{kind: {kind}, metadata: {{name: app}}, spec: {{{spec}{binding}}}}}")).await;
        kubectl(&t, &["wait", "--for=condition=Ready", &format!("{kind}/app"), "--timeout=60s"], "").await;
        let resource = live(&t, &format!("{kind}/app")).await;
        assert_eq!(resource["status"]["binding"], json!({ "name": secret }));
        let secret = t.secret(secret).await;
        assert_eq!((value(&secret, "type"), value(&secret, "provider")), ("oauth2".into(), "snaphook".into()));
        assert_eq!(secret.type_.as_deref(), Some("servicebinding.io/oauth2"));
    }
    // A Secret that is not there yet is not bound to.
    t.apply("{kind: AppCredential, metadata: {name: late}, spec: {secretFrom: {secretKeyRef: {name: a, key: b}}}}")
        .await;
    t.waiting("late", "ReferenceNotAvailable").await;
    assert_eq!(live(&t, "appcredential/late").await["status"]["binding"], Value::Null);
}
