//! Bundles on a real API server: what is written, and what happens to those that somebody damages.

use futures::{StreamExt as _, stream};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use snaphook::{
    crd::{AppCredential, AppCredentialSpec},
    record::{self, Kind, bundle},
};

use super::{apply_app, controller};
use crate::harness::{Tenant, until, value};

const MANY: usize = 200;

#[tokio::test]
async fn many_records_cost_few_writes_and_unchanged_ones_none() {
    let t = Tenant::alone("many").await;
    let first = controller(&t, "http://localhost:8080").await;
    first.logged("signing keys written").await;
    let mark = t.plane.audit().mark().unwrap();
    let create = |index: usize| {
        let (api, resource) = (t.resources(), AppCredential::new(&format!("c{index}"), AppCredentialSpec::default()));
        async move { drop(api.create(&PostParams::default(), &resource).await.unwrap()) }
    };
    stream::iter(0..MANY).map(create).buffer_unordered(32).collect::<()>().await;
    for index in 0..MANY {
        t.ready(&format!("c{index}")).await;
    }
    let events = t.plane.audit().since(mark).unwrap();
    let writes: Vec<_> = events
        .iter()
        .filter(|it| it.is_write() && it.namespace == t.namespace && bundle::index_of(&it.name).is_some())
        .collect();
    println!("{MANY} new records: {} writes of bundles", writes.len());
    assert!(writes.len() <= MANY / 2, "{}", writes.len());
    assert!(writes.iter().all(|it| it.succeeded()), "{writes:#?}");
    let bundles = t.bundles().await;
    assert_eq!(bundles.len(), 1);
    assert_eq!(bundles[0].data.as_ref().unwrap().len(), MANY + 1);
    first.stop().await;

    let mark = t.plane.audit().mark().unwrap();
    let _second = controller(&t, "http://localhost:8080").await;
    t.sentinel().await;
    let about_sentinel = |name: &str| name.contains("sentinel");
    let writes = t.writes_since(mark);
    let others: Vec<_> =
        writes.iter().filter(|it| bundle::index_of(&it.name).is_none() && !about_sentinel(&it.name)).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(writes.len() - others.len() <= 2, "one to make the new one's record, one to remove it: {writes:#?}");
}

#[tokio::test]
async fn a_bundle_that_somebody_deletes_or_damages_is_rebuilt() {
    let t = Tenant::alone("damaged").await;
    let _controller = controller(&t, "http://localhost:8080").await;
    apply_app(&t, "app", "{}").await;
    t.ready("app").await;
    let secret = t.secret("app-credential").await;
    let file = record::file_name(Kind::Client, &t.record_name("app"));
    let accepts = || async {
        let record = t.record("app").await;
        record.is_some_and(|it| {
            it.secrets.iter().any(|it| it.hash == crate::harness::hash_of(&value(&secret, "client-secret")))
        })
    };

    t.secrets().delete(&bundle::name(0), &DeleteParams::default()).await.unwrap();
    until("the record is made anew", accepts).await;
    until("the keys are made anew", || async {
        t.bundles()
            .await
            .iter()
            .any(|it| it.data.as_ref().is_some_and(|data| data.contains_key("signing-keys.snaphook-signing-keys.json")))
    })
    .await;
    assert_eq!(t.secret("app-credential").await, secret, "the app need not know");

    let nonsense = json!({ "data": { &file: "e30=", "note.txt": "aGVsbG8=" } });
    t.patch_secret(&bundle::name(0), &nonsense).await;
    let parses = || async {
        let bundle = t.secret(&bundle::name(0)).await;
        record::source_of(&bundle.data.unwrap()[&file].0).is_some()
    };
    until("the record is mended", parses).await;
    until("and accepts the secret", accepts).await;
    assert!(t.secret(&bundle::name(0)).await.data.unwrap().contains_key("note.txt"), "what is not ours stays");

    t.patch_secret(&bundle::name(0), &json!({ "metadata": { "labels": { record::LABEL: null } } })).await;
    until("the label is back", || async { t.secret(&bundle::name(0)).await.labels().contains_key(record::LABEL) })
        .await;
    assert_eq!(t.secret("app-credential").await, secret);
}

#[tokio::test]
async fn what_lies_in_a_bundle_and_belongs_to_nobody_is_swept() {
    let t = Tenant::alone("orphans").await;
    let first = controller(&t, "http://localhost:8080").await;
    for name in ["app", "orphan"] {
        apply_app(&t, name, "{}").await;
        t.ready(name).await;
    }
    first.stop().await;
    t.patch("orphan", &json!({ "metadata": { "finalizers": null } })).await;
    t.delete("orphan").await;
    // As if a tenant wanted to be another: the record of a resource that exists, in another namespace.
    let other = Tenant::alone("victim").await;
    apply_app(&other, "app", "{}").await;
    let uid = other.resources().get("app").await.unwrap().metadata.uid.unwrap();
    let forged = json!({
        "version": 1, "clientId": "x.y", "generation": "g", "secrets": [], "tokenLifetimeSeconds": 300,
        "source": { "kind": "AppCredential", "namespace": other.namespace, "name": "app", "uid": uid },
    });
    let file = record::file_name(Kind::Client, &record::secret_name("AppCredential", &other.namespace, "app"));
    let json = k8s_openapi::ByteString(forged.to_string().into_bytes());
    t.patch_secret(&bundle::name(0), &json!({ "data": { &file: json } })).await;
    let _second = controller(&t, "http://localhost:8080").await;
    until("only what belongs there is left", || async {
        let bundle = t.secret(&bundle::name(0)).await;
        let files: Vec<_> = bundle.data.unwrap().into_keys().filter(|file| file.starts_with("client.")).collect();
        files == [record::file_name(Kind::Client, &t.record_name("app"))]
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_is_no_bundle_is_left_alone_and_told_of() {
    let t = Tenant::alone("taken").await;
    t.apply("{kind: Secret, metadata: {name: snaphook-records-0}, stringData: {mine: precious}}").await;
    let before = t.secret("snaphook-records-0").await;
    let _controller = controller(&t, "http://localhost:8080").await;
    apply_app(&t, "app", "{}").await;
    let message = t.stalled("app", "WriteRefused").await;
    assert!(message.contains("snaphook-records-0") && message.contains("delete it"), "{message}");
    assert_eq!(t.secret("snaphook-records-0").await, before);
    t.secrets().delete("snaphook-records-0", &DeleteParams::default()).await.unwrap();
    t.ready("app").await;
}
