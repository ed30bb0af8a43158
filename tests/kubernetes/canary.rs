//! Canaries: secrets of every sort that are found nowhere but where they belong, by a search that finds them elsewhere.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use snaphook::record::SigningKeysRecord;

use crate::harness::{Controller, Server, Tenant, eventually, value};

/// Everything that somebody other than the owner of a secret may read.
struct Places {
    log_of_the_controller: String,
    log_of_the_server: String,
    events: String,
    resources: String,
    records: String,
    metrics: String,
}

impl Places {
    async fn look(t: &Tenant<'_>, controller: &Controller, server: &Server) -> Self {
        let events = Api::<Event>::namespaced(t.client.clone(), &t.namespace).list(&ListParams::default()).await;
        let records = t.records().list(&ListParams::default().labels("snaphook.dev/record=client")).await.unwrap();
        let resources = t.resources().list(&ListParams::default()).await.unwrap();
        Self {
            log_of_the_controller: controller.process.log(),
            log_of_the_server: server.process.log(),
            events: serde_json::to_string(&events.unwrap().items).unwrap(),
            resources: serde_json::to_string(&resources.items).unwrap(),
            records: records.items.iter().map(whole).collect(),
            metrics: server.metrics(),
        }
    }

    fn all(&self) -> [(&'static str, &str); 6] {
        let Self { log_of_the_controller, log_of_the_server, events, resources, records, metrics } = self;
        [
            ("the controller's log", log_of_the_controller),
            ("the server's log", log_of_the_server),
            ("an Event", events),
            ("a resource", resources),
            ("a record", records),
            ("a metric", metrics),
        ]
    }

    /// Where a secret is, in whatever form.
    fn with(&self, secret: &str) -> Vec<&'static str> {
        let forms = forms(secret);
        let found = |text: &str| forms.iter().any(|form| text.contains(form));
        self.all().into_iter().filter(|(_, text)| found(text)).map(|(name, _)| name).collect()
    }
}

/// A Secret with its data as text.
fn whole(secret: &Secret) -> String {
    let data = secret.data.iter().flatten().map(|(_, value)| String::from_utf8_lossy(&value.0).into_owned());
    format!("{:?}{}", secret.metadata, data.collect::<String>())
}

/// As it is, in Base64 at each of three offsets, and in hex.
fn forms(secret: &str) -> Vec<String> {
    let hex = secret.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // a String takes every write
        hex
    });
    let mut forms = vec![secret.to_owned(), hex];
    for offset in 0..3 {
        // Less its ends, which depend on what stands beside it.
        let padded = [&"xxx".as_bytes()[..offset], secret.as_bytes()].concat();
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.push(text[4..text.len() - 4].to_owned());
        }
    }
    forms
}

const BROUGHT: &str = "canary-of-the-user-7f3a9c51d2e84b06";
const SHORT: &str = "canary-too-short-51d2e8";

/// A life with everything that could make a program talk.
async fn a_whole_life(t: &Tenant<'_>, server: &Server) -> Vec<String> {
    let vault = |value: &str| {
        format!(
            "{{kind: Secret, metadata: {{name: vault, labels: {{snaphook.dev/allow-reference: 'true'}}}}, stringData: {{key: {value}}}}}"
        )
    };
    t.apply(&vault(BROUGHT)).await;
    t.apply(
        "{kind: AppCredential, metadata: {name: brought}, spec: {secretFrom: {secretKeyRef: {name: vault, key: key}}}}",
    )
    .await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {rotation: {nonce: '1', overlap: 1h}}}").await;
    t.ready("brought").await;
    t.ready("app").await;
    let mut canaries = vec![BROUGHT.to_owned(), SHORT.to_owned()];
    let first = value(&t.secret("app-credential").await, "client-secret");
    let id = format!("{}.app", t.namespace);
    let credentials = (id.clone(), first.clone());
    eventually("a token", async || server.token(&credentials).0 == 200).await;
    let token = server.access_token(&credentials);
    // Right and wrong uses, and mistakes that people make.
    server.introspect(&credentials, &token);
    server.token(&(format!("{}.brought", t.namespace), BROUGHT.to_owned()));
    server.token(&(id.clone(), BROUGHT.to_owned()));
    server.token(&(BROUGHT.to_owned(), first.clone()));
    server.introspect(&(id, first.clone()), &first);
    canaries.extend([first.clone(), token]);

    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    let second = t.new_value("app-credential", &first).await;
    t.patch_secret("app-credential", &json!({ "stringData": { "client-secret": SHORT } })).await;
    eventually("the typed value goes", async || {
        let now = value(&t.secret("app-credential").await, "client-secret");
        now != SHORT && now != second
    })
    .await;
    canaries.extend([second, value(&t.secret("app-credential").await, "client-secret")]);
    t.apply(&vault(SHORT)).await;
    t.stalled("brought", "SecretTooShort").await;
    t.patch_secret("app-credential", &json!({ "immutable": true })).await;
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "3" } } })).await;
    t.stalled("app", "SecretImmutable").await;
    t.secrets().delete("app-credential", &DeleteParams::default()).await.unwrap();
    t.ready("app").await;
    canaries.push(value(&t.secret("app-credential").await, "client-secret"));

    let keys = t.records().get("snaphook-signing-keys").await.unwrap();
    let keys: SigningKeysRecord = snaphook::record::parse(&keys.data.unwrap()["record.json"].0).unwrap();
    let private = |key: &snaphook::record::SigningKeyEntry| URL_SAFE_NO_PAD.encode(key.pkcs8.expose_der());
    canaries.extend(keys.keys.iter().map(private));
    canaries
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_where_it_does_not_belong_and_a_planted_one_is() {
    let t = Tenant::alone("canary").await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let controller = Controller::start_talkative(&t.plane, &kubeconfig, &t.config("leaderElection: {enabled: false}"));
    let server = Server::start(&t.plane, &t.plane.server_account(&t.realm).await, &t.realm, &[]).await;
    let canaries = a_whole_life(&t, &server).await;
    assert!(canaries.len() >= 8 && canaries.iter().all(|canary| canary.len() >= 20));
    let mut places = Places::look(&t, &controller, &server).await;
    assert!(places.all().iter().all(|(_, text)| text.len() > 500), "a place that says nothing proves nothing");
    for (number, canary) in canaries.iter().enumerate() {
        assert_eq!(places.with(canary), Vec::<&str>::new(), "canary {number} of {}", canaries.len());
    }

    // Planted, through the API where there is one.
    plant(&t, &controller, &server, BROUGHT).await;
    places = Places::look(&t, &controller, &server).await;
    writeln!(places.metrics, "snaphook_tokens_total{{client=\"{BROUGHT}\"}} 1").unwrap();
    assert_eq!(places.with(BROUGHT), places.all().map(|(name, _)| name).to_vec());
}

async fn plant(t: &Tenant<'_>, controller: &Controller, server: &Server, secret: &str) {
    use std::io::Write as _;
    controller.kill().await; // it would take the plants out again
    for log in [controller.process.log_path(), server.process.log_path()] {
        let mut log = std::fs::File::options().append(true).open(log).unwrap();
        writeln!(log, "Basic {}", STANDARD_NO_PAD.encode(format!("client:{secret}"))).unwrap();
    }
    let event = json!({
        "metadata": { "name": "planted", "namespace": t.namespace }, "eventTime": "2026-01-01T00:00:00.000000Z",
        "action": "a", "reason": "r", "type": "Normal", "note": secret, "reportingController": "example.com/test",
        "reportingInstance": "test", "regarding": { "kind": "AppCredential", "name": "app", "namespace": t.namespace },
    });
    let events = Api::<Event>::namespaced(t.client.clone(), &t.namespace);
    events.create(&PostParams::default(), &serde_json::from_value(event).unwrap()).await.unwrap();
    let status = Patch::Merge(json!({ "status": { "scopes": secret } }));
    t.resources().patch_status("app", &PatchParams::default(), &status).await.unwrap();
    let record = Patch::Merge(json!({ "stringData": { "record.json": secret } }));
    t.records().patch(&t.record_name("app"), &PatchParams::default(), &record).await.unwrap();
}
