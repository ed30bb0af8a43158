//! Records in Secrets of a real API server, as they reach the snapshot.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not count their functions as such")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use control_plane::ControlPlane;
use futures::{StreamExt as _, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use snaphook::{
    record::{DATA_KEY, Kind, LABEL, SECRET_TYPE},
    store::{Counts, Store, kube::run},
};
use tokio::{task::JoinHandle, time::sleep};

const SOON: Duration = Duration::from_secs(30);
const STALE: Duration = Duration::from_mins(5);
/// A bound so tight that its watches last a second.
const TIGHT: Duration = Duration::from_secs(3);

fn document(client_id: &str) -> String {
    json!({
        "version": 1,
        "source": {"kind": "AppCredential", "namespace": "team-a", "name": client_id, "uid": "uid-1"},
        "clientId": client_id,
        "generation": "generation-1",
        "secrets": [],
        "tokenLifetimeSeconds": 300,
    })
    .to_string()
}

fn keys(issuer: &str) -> String {
    json!({"version": 1, "issuer": issuer, "keys": []}).to_string()
}

/// A Secret as the controller makes it, of another type if the test wants.
fn secret(name: &str, kind: Kind, secret_type: &str, json: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([(LABEL.to_owned(), kind.as_str().to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some(secret_type.to_owned()),
        data: Some([(DATA_KEY.to_owned(), ByteString(json.into()))].into()),
        ..Secret::default()
    }
}

/// A realm's namespace with the record source running on it.
struct Realm {
    secrets: Api<Secret>,
    client: kube::Client,
    namespace: String,
    store: Arc<Store>,
    source: JoinHandle<()>,
}

impl Realm {
    async fn start(control_plane: &ControlPlane, name: &str, max_staleness: Duration) -> Self {
        let namespace = control_plane.namespace(name).await.unwrap();
        let client = control_plane.client().await.unwrap();
        let secrets = Api::namespaced(client.clone(), &namespace);
        let store = Arc::new(Store::default());
        let source = tokio::spawn(run(client.clone(), namespace.clone(), store.clone(), max_staleness));
        Self { secrets, client, namespace, store, source }
    }

    async fn shared(name: &str) -> Self {
        Self::start(control_plane::shared().await.unwrap(), name, STALE).await
    }

    /// Another server's source on the same namespace.
    fn another_store(&self) -> (Arc<Store>, JoinHandle<()>) {
        let store = Arc::new(Store::default());
        let source = tokio::spawn(run(self.client.clone(), self.namespace.clone(), store.clone(), STALE));
        (store, source)
    }

    async fn create(&self, name: &str, kind: Kind, json: &str) {
        let secret = secret(name, kind, SECRET_TYPE, json);
        self.secrets.create(&PostParams::default(), &secret).await.unwrap();
    }

    async fn replace(&self, name: &str, json: &str) {
        let patch = json!({"data": {DATA_KEY: ByteString(json.into())}});
        self.secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn delete(&self, name: &str) {
        self.secrets.delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn until(&self, what: &str, condition: impl Fn(&Store) -> bool) {
        until(&self.store, what, condition).await;
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        self.source.abort();
    }
}

async fn until(store: &Store, what: &str, condition: impl Fn(&Store) -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition(store) {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

fn serves(store: &Store, client_id: &str) -> bool {
    store.load().clients.contains_key(client_id)
}

fn age(store: &Store) -> Duration {
    store.age(Instant::now()).unwrap_or(Duration::MAX)
}

#[tokio::test]
async fn records_there_before_and_after_the_start_are_served() {
    let realm = Realm::shared("store-follow").await;
    realm.until("an empty namespace", |store| store.age(Instant::now()).is_some()).await;
    realm.create("a", Kind::Client, &document("ns.a")).await;
    realm.create("keys", Kind::SigningKeys, &keys("https://issuer")).await;
    realm.until("client and keys", |store| serves(store, "ns.a") && store.load().keys.is_some()).await;
    let (later, source) = realm.another_store();
    until(&later, "the initial list", |store| serves(store, "ns.a") && store.load().keys.is_some()).await;
    assert_eq!(later.load().counts, Counts { clients: 1, signing_keys: 1, unusable: 0, ..Counts::default() });
    source.abort();
    realm.replace("a", &document("ns.b")).await;
    realm.until("the change", |store| serves(store, "ns.b") && !serves(store, "ns.a")).await;
    realm.delete("a").await;
    realm.until("the deletion", |store| store.load().clients.is_empty()).await;
}

#[tokio::test]
async fn secrets_that_are_no_records_are_not_served() {
    let realm = Realm::shared("store-foreign").await;
    let opaque = secret("opaque", Kind::Client, "Opaque", &document("ns.opaque"));
    let mut unlabelled = secret("unlabelled", Kind::Client, SECRET_TYPE, &document("ns.unlabelled"));
    unlabelled.metadata.labels = None;
    for secret in [opaque, unlabelled] {
        realm.secrets.create(&PostParams::default(), &secret).await.unwrap();
    }
    realm.create("a", Kind::Client, &document("ns.a")).await;
    realm.until("the record", |store| serves(store, "ns.a")).await;
    assert_eq!(realm.store.load().counts, Counts { clients: 1, signing_keys: 0, unusable: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_record_whose_label_is_taken_away_is_gone() {
    let realm = Realm::shared("store-label").await;
    realm.create("a", Kind::Client, &document("ns.a")).await;
    realm.until("the record", |store| serves(store, "ns.a")).await;
    let patch = json!({"metadata": {"labels": {LABEL: null}}});
    realm.secrets.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    realm.until("the record gone", |store| store.load().clients.is_empty()).await;
}

#[tokio::test]
async fn an_unreadable_record_fails_closed_and_the_others_go_on() {
    let realm = Realm::shared("store-unreadable").await;
    realm.create("a", Kind::Client, &document("ns.a")).await;
    realm.create("b", Kind::Client, &document("ns.b")).await;
    realm.create("keys", Kind::SigningKeys, &keys("https://issuer")).await;
    realm.until("all of them", |store| store.load().counts.clients == 2 && store.load().keys.is_some()).await;
    realm.replace("a", "{\"version\": 1,").await;
    realm.until("one unusable", |store| store.load().counts.unusable == 1).await;
    assert!(!serves(&realm.store, "ns.a") && serves(&realm.store, "ns.b"));
    realm.replace("keys", "{}").await;
    realm.until("no keys", |store| store.load().keys.is_none()).await;
    realm.replace("b", &document("ns.c")).await;
    realm.until("others go on", |store| serves(store, "ns.c")).await;
    realm.delete("a").await;
    realm.until("an unreadable one deleted", |store| store.load().counts.unusable == 1).await;
    realm.replace("keys", &keys("https://issuer")).await;
    realm.until("the keys again", |store| store.load().keys.is_some()).await;
}

#[tokio::test]
async fn a_change_arrives_in_milliseconds() {
    let realm = Realm::shared("store-latency").await;
    realm.create("a", Kind::Client, &document("ns.first")).await;
    realm.until("the record", |store| serves(store, "ns.first")).await;
    let mut latencies = Vec::new();
    for round in 0..100 {
        let id = format!("ns.{round}");
        realm.replace("a", &document(&id)).await;
        let answered = Instant::now();
        realm.until("the change", |store| serves(store, &id)).await;
        latencies.push(answered.elapsed());
    }
    latencies.sort_unstable();
    println!("answer to the write → snapshot: p50 {:?}, p99 {:?}", latencies[50], latencies[98]);
    assert!(latencies[50] < Duration::from_secs(1), "{latencies:?}");
}

#[tokio::test]
async fn silence_stays_fresh_at_the_price_of_two_small_requests_a_watch() {
    let control_plane = control_plane::shared().await.unwrap();
    let mark = control_plane.audit().mark().unwrap();
    let realm = Realm::start(control_plane, "store-silence", TIGHT).await;
    realm.until("the list", |store| store.age(Instant::now()).is_some()).await;
    let (ended, mut oldest) = (Instant::now() + 2 * TIGHT, Duration::ZERO);
    while Instant::now() < ended {
        oldest = oldest.max(age(&realm.store));
        sleep(Duration::from_millis(5)).await;
    }
    println!("oldest in silence: {oldest:?}");
    assert!(oldest < TIGHT, "{oldest:?}");
    let mut requests = control_plane.audit().since(mark).unwrap();
    requests.retain(|request| request.namespace == realm.namespace && request.resource == "secrets");
    let count = |verb: &str, uri: &str| requests.iter().filter(|r| r.verb == verb && r.uri.contains(uri)).count();
    assert_eq!(count("list", "labelSelector"), 1, "complete lists");
    assert!(count("list", "fieldSelector") <= 7, "confirmations");
    assert!(count("watch", "labelSelector") <= 7, "watches");
}

#[tokio::test]
async fn thousands_of_records_are_published_as_a_whole() {
    let realm = Realm::shared("store-many").await;
    stream::iter(0..2_000)
        .for_each_concurrent(32, |number| {
            let realm = &realm;
            async move { realm.create(&format!("r-{number}"), Kind::Client, &document(&format!("ns.{number}"))).await }
        })
        .await;
    realm.until("all events", |store| store.load().counts.clients == 2_000).await;
    let started = Instant::now();
    let (store, source) = realm.another_store();
    until(&store, "the list", |store| !store.load().clients.is_empty()).await;
    println!("2,000 records listed in {:?}", started.elapsed());
    assert_eq!(store.load().counts.clients, 2_000, "the first snapshot had a part of them");
    source.abort();
}

#[tokio::test]
async fn an_api_server_cut_off_from_its_store_does_not_pass_for_fresh() {
    let control_plane = ControlPlane::start().await.unwrap();
    let realm = Realm::start(&control_plane, "store-etcd", TIGHT).await;
    realm.until("a proof", |store| age(store) < TIGHT).await;
    control_plane.etcd().freeze().unwrap();
    realm.until("an age far past the bound", |store| age(store) > 3 * TIGHT).await;
    control_plane.etcd().thaw().unwrap();
    realm.until("fresh again", |store| age(store) < TIGHT).await;
    control_plane.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_or_killed_api_server_shows_in_the_age_and_its_return_heals() {
    let control_plane = ControlPlane::start().await.unwrap();
    let realm = Realm::start(&control_plane, "store-faults", TIGHT).await;
    realm.create("a", Kind::Client, &document("ns.a")).await;
    realm.until("the record", |store| serves(store, "ns.a")).await;

    control_plane.apiserver().freeze().unwrap();
    // Longer than a watch and its grace: what is tried anew hangs too.
    realm.until("an age far past the bound", |store| age(store) > 3 * TIGHT).await;
    assert!(serves(&realm.store, "ns.a"), "the last snapshot stays");
    control_plane.apiserver().thaw().unwrap();
    let thawed = Instant::now();
    realm.until("fresh after SIGCONT", |store| age(store) < TIGHT).await;
    println!("fresh {:?} after SIGCONT", thawed.elapsed());
    realm.replace("a", &document("ns.b")).await;
    realm.until("a change after SIGCONT", |store| serves(store, "ns.b")).await;

    control_plane.apiserver().kill().await.unwrap();
    realm.until("an age past the bound", |store| age(store) > TIGHT).await;
    assert!(serves(&realm.store, "ns.b"), "the last snapshot stays");
    control_plane.apiserver().start().await.unwrap();
    let ready = Instant::now();
    realm.until("fresh after the restart", |store| age(store) < TIGHT).await;
    println!("fresh {:?} after the API server was ready", ready.elapsed());
    realm.replace("a", &document("ns.c")).await;
    realm.until("a change after the restart", |store| serves(store, "ns.c")).await;
    control_plane.stop().await.unwrap();
}
