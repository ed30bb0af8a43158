//! An app next to its sidecar: tokens and alerts on localhost, and how changes reach them.

use std::{fs, time::Instant};

use control_plane::Mark;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use snaphook::{
    crd::Webhook,
    record::{self, bundle},
};

use super::{
    apply_app, controller, is_active,
    pod::{App, Sidecar, credentials, receiver, records},
};
use crate::harness::{SOON, Tenant, eventually, value};

/// As `examples/sidecar` does.
const GET_TOKEN: &str = r#"curl -sS -m 20 "$(cat token-url)" -d grant_type=client_credentials --data-urlencode client_id@client-id --data-urlencode client_secret@client-secret -o /dev/null -w '%{http_code}'"#;
const POST_ALERT: &str = r#"curl -sS -m 20 "$(cat internal-url)" -H "Authorization: Bearer $(cat signing-secret)" -H 'Content-Type: application/json' -d '{"status": "firing"}' -w ' %{http_code}'"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_gets_tokens_and_posts_alerts_through_its_sidecar() {
    let t = Tenant::alone("pod").await;
    let (receiver, address) = receiver(&t).await;
    let (mount, directory) = (records(&t), t.plane.directory("queue").unwrap());
    let (queue, socket) = (directory.join("queue"), directory.join("admin"));
    let hooks = ["--serve", "tokens,hooks", "--allow-egress", &address];
    let files = ["--queue", queue.to_str().unwrap(), "--admin-socket", socket.to_str().unwrap()];
    let sidecar = Sidecar::mounted(&t, &mount, &[&hooks[..], &files[..]].concat()).await;
    let _controller = controller(&t, &sidecar.url).await;

    apply_app(&t, "orders", "{scopes: [orders:read]}").await;
    apply_app(&t, "gateway", "{scopes: ['snaphook:introspect']}").await;
    t.apply("{kind: WebhookCredential, metadata: {name: pager}, spec: {type: ClientIdAndSecret, fieldName: clientid, location: Header, clientId: link, clientSecretFrom: {secretKeyRef: {name: epona, key: value}}}}").await;
    t.apply("{kind: Secret, metadata: {name: epona, labels: {snaphook.dev/allow-reference: 'true'}}, stringData: {value: epona}}").await;
    t.apply(&format!("{{kind: Webhook, metadata: {{name: alerts}}, spec: {{handler: {{type: Json}}, verification: {{type: Bearer}}, delivery: {{url: 'http://{address}/', credentialRef: {{name: pager}}}}}}}}")).await;
    for name in ["orders", "gateway"] {
        t.ready(name).await;
    }
    t.of::<Webhook>().reports("alerts", "authenticated", |it| it.auth.as_deref() == Some("pager")).await;

    // Everything lies in the namespace itself, with keys of its own.
    assert!(t.of::<snaphook::crd::AppCredential>().shared_record("orders").await.is_none());
    let bundle = t.secret(&bundle::name(0)).await;
    assert_eq!(bundle.type_.as_deref(), Some(record::SECRET_TYPE));
    let files: Vec<_> = bundle.data.as_ref().unwrap().keys().map(String::as_str).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    assert!(files.contains(&"signing-keys.snaphook-signing-keys.json"), "{files:?}");

    assert!(!sidecar.server.is_ready(), "nothing is mounted yet");
    mount.sync().await;
    eventually("the sidecar is ready", async || sidecar.server.is_ready()).await;
    let app = App::with(&t, "orders-credential").await;
    assert_eq!(
        app.run("cat issuer token-url"),
        format!("https://{}.example.com{}/oauth/token", t.namespace, sidecar.url)
    );
    assert_eq!(app.run(GET_TOKEN), "200");
    let alerts = App::with(&t, "alerts-webhook").await;
    assert!(alerts.run("cat internal-url").starts_with(&format!("{}/hooks/", sidecar.url)));
    assert_eq!(alerts.run("cat url"), alerts.run("cat internal-url"), "nothing outside the Pod reaches it");
    let answer = alerts.run(POST_ALERT);
    assert!(answer.contains(r#"{"id":"msg_"#) && answer.ends_with(" 200"), "{answer}");
    receiver.logged("clientid: bGlua2Vwb25h", SOON).await.unwrap();
    assert!(!app.has("record.json") && !app.has("client.json"));

    // A revocation arrives when the kubelet comes by, and not before.
    let token = sidecar.server.access_token(&credentials(&t.secret("orders-credential").await));
    let gateway = credentials(&t.secret("gateway-credential").await);
    t.patch("orders", &json!({ "spec": { "revoked": true } })).await;
    t.record_when("orders", "revoked", |it| it.revoked).await;
    assert!(is_active(&sidecar.server.introspect(&gateway, &token)));
    mount.sync().await;
    let swapped = Instant::now();
    eventually("the token is dead", async || !is_active(&sidecar.server.introspect(&gateway, &token))).await;
    println!("swap of the mount → {{\"active\":false}}: {:?}", swapped.elapsed());
    assert_eq!(app.run(GET_TOKEN), "401");
    t.of::<Webhook>().delete("alerts").await;
    mount.sync().await;
    eventually("the URL is gone", async || alerts.run(POST_ALERT).ends_with(" 404")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_with_a_right_on_its_records_alone_learns_of_changes_at_once() {
    let t = Tenant::alone("api").await;
    let manifests = include_str!("../../../examples/sidecar/api.yaml").replace("team-a", &t.namespace);
    // The Deployment as well: nothing runs it here.
    t.plane.kubectl_with_input(&["apply", "-f", "-"], &manifests).await.unwrap().success().unwrap();
    let kubeconfig = t.plane.kubeconfig_for_service_account(&t.namespace, "orders-sidecar").await.unwrap();
    let mark = t.plane.audit().mark().unwrap();
    let sidecar = Sidecar::following(&t, &kubeconfig).await;
    let _controller = controller(&t, &sidecar.url).await;
    for (name, spec) in [("orders", "{}"), ("gateway", "{scopes: ['snaphook:introspect']}")] {
        apply_app(&t, name, spec).await;
        t.ready(name).await;
    }
    eventually("the sidecar is ready", async || sidecar.server.is_ready()).await;
    let app = App::with(&t, "orders-credential").await;
    eventually("a token", async || app.run(GET_TOKEN) == "200").await;
    let (orders, gateway) =
        (credentials(&t.secret("orders-credential").await), credentials(&t.secret("gateway-credential").await));
    eventually("the other is known", async || sidecar.server.token(&gateway).0 == 200).await;
    let token = sidecar.server.access_token(&orders);
    t.patch("orders", &json!({ "spec": { "revoked": true } })).await;
    let answered = Instant::now();
    eventually("the token is dead", async || !is_active(&sidecar.server.introspect(&gateway, &token))).await;
    println!("answer to the write → {{\"active\":false}}: {:?}", answered.elapsed());
    t.delete("orders").await;
    assert_eq!(sidecar.server.token(&orders).0, 401);

    asks_for_its_records_alone(&t, mark);
    is_forbidden_everything_else(&t, &kubeconfig).await;
}

fn asks_for_its_records_alone(t: &Tenant<'_>, mark: Mark) {
    let account = format!("system:serviceaccount:{}:orders-sidecar", t.namespace);
    let events = t.plane.audit().since(mark).unwrap();
    let events: Vec<_> = events.into_iter().filter(|event| event.user == account).collect();
    assert!(events.len() >= usize::from(bundle::DEFAULT_COUNT));
    for event in &events {
        assert!(["list", "watch"].contains(&event.verb.as_str()), "{event:?}");
        assert!(event.uri.contains("fieldSelector=metadata.name%3Dsnaphook-records-"), "{event:?}");
        assert!((200..300).contains(&event.code), "{event:?}");
    }
}

async fn is_forbidden_everything_else(t: &Tenant<'_>, kubeconfig: &std::path::Path) {
    let file = Kubeconfig::from_yaml(&fs::read_to_string(kubeconfig).unwrap()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let forbidden = |result: kube::Result<()>, what: &str| {
        let refused = matches!(&result, Err(kube::Error::Api(status)) if status.code == 403);
        assert!(refused, "{what}: {result:?}");
    };
    for namespace in [&t.namespace, &t.realm] {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let (all, one) =
            (ListParams::default(), |name: &str| ListParams::default().fields(&format!("metadata.name={name}")));
        forbidden(secrets.list(&all).await.map(drop), "every Secret");
        forbidden(secrets.list(&all.clone().labels(record::LABEL)).await.map(drop), "by label");
        forbidden(secrets.list(&one("gateway-credential")).await.map(drop), "an app's Secret");
        forbidden(secrets.list(&one("snaphook-records-8")).await.map(drop), "a bundle too many");
        forbidden(secrets.get("gateway-credential").await.map(drop), "an app's Secret");
        forbidden(secrets.get("snaphook-signing-keys").await.map(drop), "keys");
        let patch = Patch::Merge(json!({ "data": { "a": "" } }));
        forbidden(secrets.patch(&bundle::name(0), &PatchParams::default(), &patch).await.map(drop), "a change");
        forbidden(secrets.delete(&bundle::name(0), &DeleteParams::default()).await.map(drop), "a deletion");
        let new = Secret {
            metadata: kube::core::ObjectMeta { name: Some("x".into()), ..Default::default() },
            ..Default::default()
        };
        forbidden(secrets.create(&PostParams::default(), &new).await.map(drop), "a new Secret");
    }
    let in_realm: Api<Secret> = Api::namespaced(client, &t.realm);
    let bundle = ListParams::default().fields("metadata.name=snaphook-records-0");
    forbidden(in_realm.list(&bundle).await.map(drop), "that name in another namespace");
    assert!(!value(&t.secret("gateway-credential").await, "client-secret").is_empty(), "there was something to read");
}
