//! What one realm's keys are worth in another: nothing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use snaphook::{
    crd::Webhook,
    record::{self, Kind, SigningKeysRecord, bundle},
};

use super::{
    apply_app, is_active,
    pod::{Sidecar, credentials, records},
    row, with_realms,
};
use crate::harness::{Controller, Server, Tenant, eventually, hash_of, until};

async fn keys(t: &Tenant<'_>) -> SigningKeysRecord {
    let secret = t.secret(&bundle::name(0)).await;
    record::parse(&secret.data.unwrap()["signing-keys.snaphook-signing-keys.json"].0).unwrap()
}

/// A token as another realm's server issued it, but signed with a key of this one.
fn forged(token: &str, keys: &SigningKeysRecord, kid: &str) -> String {
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("at+jwt".into());
    header.kid = Some(kid.into());
    encode(&header, &claims, &EncodingKey::from_ec_der(keys.keys[0].pkcs8.expose_der())).unwrap()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_keys_make_no_token_that_another_realm_accepts() {
    let (a, mut b, mut shared) =
        (Tenant::alone("island").await, Tenant::alone("island").await, Tenant::alone("mainland").await);
    for other in [&mut b, &mut shared] {
        other.realm.clone_from(&a.realm);
    }
    let (mount_a, mount_b) = (records(&a), records(&b));
    let (at_a, at_b) = (Sidecar::mounted(&a, &mount_a, &[]).await, Sidecar::mounted(&b, &mount_b, &[]).await);
    let rows = [row(&a, "https://a.example.com", &at_a.url), row(&b, "https://b.example.com", &at_b.url)];
    let namespaces = format!("watchNamespaces: [{}, {}, {}]", a.namespace, b.namespace, shared.namespace);
    let config = with_realms(&a, &rows).replace(&format!("watchNamespaces: [{}]", a.namespace), &namespaces);
    let kubeconfig = a.plane.account(&a.realm, Some(&[&a.namespace, &b.namespace, &shared.namespace])).await;
    let _controller = Controller::start(&a.plane, &kubeconfig, &config);
    for t in [&a, &b, &shared] {
        apply_app(t, "app", "{scopes: ['snaphook:introspect']}").await;
        t.ready("app").await;
    }
    for (mount, sidecar) in [(&mount_a, &at_a), (&mount_b, &at_b)] {
        mount.sync().await;
        eventually("a sidecar is ready", async || sidecar.server.is_ready()).await;
    }
    let server_account = a.plane.server_account(&a.realm).await;
    let at_shared = Server::start(&a.plane, &server_account, &a.realm, &[]).await;

    let servers = [(&a, &at_a.server), (&b, &at_b.server), (&shared, &at_shared)];
    let mut tokens = Vec::new();
    for (t, server) in servers {
        let credentials = credentials(&t.secret("app-credential").await);
        eventually("a token", async || server.token(&credentials).0 == 200).await;
        tokens.push((credentials.clone(), server.access_token(&credentials)));
    }
    let keys_of_a = keys(&a).await;
    assert_ne!(keys_of_a.keys, keys(&b).await.keys);
    for (here, (_, server)) in servers.iter().enumerate() {
        let (credentials, own) = &tokens[here];
        assert!(is_active(&server.introspect(credentials, own)));
        for (there, (foreign_client, foreign)) in tokens.iter().enumerate().filter(|(there, _)| *there != here) {
            assert!(!is_active(&server.introspect(credentials, foreign)), "a token of {there} at {here}");
            assert_eq!(server.token(foreign_client).0, 401, "a client of {there} at {here}");
        }
        // With everything right but the signature, under either key's name.
        for kid in [kid(own), keys_of_a.keys[0].kid.clone()] {
            let accepted = is_active(&server.introspect(credentials, &forged(own, &keys_of_a, &kid)));
            assert_eq!(accepted, here == 0, "a forgery at {here}; at its own realm it is none");
        }
    }
}

/// Whoever may write Secrets in a namespace of the shared realm may put there what looks like its records from a former realm of its own.
#[tokio::test]
async fn what_a_tenant_puts_into_a_bundle_counts_in_no_other_realm() {
    let t = Tenant::alone("planted").await;
    let file = record::file_name(Kind::Client, &t.record_name("app"));
    let planted = |uid: &str| {
        let source = json!({ "kind": "AppCredential", "namespace": t.namespace, "name": "app", "uid": uid });
        let json = json!({
            "version": 1, "source": source, "clientId": "victim.app", "generation": "g", "tokenLifetimeSeconds": 300, "revoked": false,
            "secrets": [{ "id": 1, "hash": hash_of("known").to_string(), "createdAt": "2026-01-01T00:00:00Z", "origin": "generated", "confirmed": true }],
        });
        let data = json!({ &file: ByteString(json.to_string().into_bytes()) });
        let metadata = json!({ "name": bundle::name(0), "labels": { record::LABEL: bundle::LABEL_VALUE } });
        json!({ "kind": "Secret", "metadata": metadata, "type": record::SECRET_TYPE, "data": data }).to_string()
    };
    // What is refused keeps what it had before: here, nothing.
    let refused = "{secretFrom: {secretKeyRef: {name: none, key: x}}}";
    super::apply_app(&t, "app", refused).await;
    let uid = t.resources().get("app").await.unwrap().metadata.uid.unwrap();
    t.apply(&planted(&uid)).await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let _controller = Controller::start(&t.plane, &kubeconfig, &with_realms(&t, &[]));
    t.waiting("app", "ReferenceNotAvailable").await;
    until("what was planted is gone", || async { t.bundles().await.is_empty() }).await;
    assert!(t.record("app").await.is_none());
    t.apply(&planted(&uid)).await;
    t.patch("app", &json!({ "spec": { "secretFrom": null } })).await;
    t.ready("app").await;
    let record = t.record("app").await.unwrap();
    assert_eq!(record.client_id, format!("{}.app", t.namespace));
    assert!(record.secrets.iter().all(|it| it.hash != hash_of("known")));
}

#[tokio::test]
async fn nothing_outside_a_pod_leads_to_the_hooks_of_a_sidecar() {
    let t = Tenant::alone("inside").await;
    let _controller = super::controller(&t, "http://localhost:8080").await;
    let hook = |route: &str| {
        format!(
            "{{kind: Webhook, metadata: {{name: hook}}, spec: {{{route}verification: {{type: GitHub}}, delivery: {{url: 'https://hooks.example.net/'}}}}}}"
        )
    };
    t.apply(&hook("route: {type: Ingress}, ")).await;
    let message = t.of::<Webhook>().refused("hook", "Stalled", "NotAllowedByPolicy").await;
    assert!(
        message.contains("spec.route") && message.contains("realms[0]") && message.contains(&t.namespace),
        "{message}"
    );
    for route in ["route: {type: None}, ", ""] {
        t.apply(&hook(route)).await;
        let found = t.of::<Webhook>().ready("hook").await;
        let status = found.status.unwrap();
        assert_eq!(status.url, status.internal_url);
        assert!(status.url.unwrap().starts_with("http://localhost:8080/hooks/"));
    }
}
