<<<<<<< HEAD
//! The crash sweep: a controller that is killed at each of its writes in turn, before it is done and after, leaves nothing
//! that the next one does not bring to the same end; and at no moment does an app hold a secret that the server refuses.

mod end;
mod scenario;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use tokio::{sync::OnceCell, time::timeout};

use self::{end::EndState, scenario::Scenario};
use crate::harness::{Controller, Proxy, Side, Tenant, hash_of, value};

/// So many at a time, to keep two cores busy.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn a_crash_while_creating_leaves_no_trace() {
    sweep(Scenario::Create).await;
}

#[tokio::test]
async fn a_crash_while_rotating_leaves_no_trace() {
    sweep(Scenario::Rotate).await;
}

#[tokio::test]
async fn a_crash_while_revoking_leaves_no_trace() {
    sweep(Scenario::Revoke).await;
}

#[tokio::test]
async fn a_crash_while_deleting_leaves_no_trace() {
    sweep(Scenario::Delete).await;
}

#[tokio::test]
async fn a_crash_while_deleting_and_making_anew_leaves_no_trace() {
    sweep(Scenario::Recreate).await;
}

#[tokio::test]
async fn a_crash_while_making_anew_over_a_retained_secret_leaves_no_trace() {
    sweep(Scenario::RecreateRetained).await;
}

#[tokio::test]
async fn a_crash_while_replacing_a_deleted_secret_leaves_no_trace() {
    sweep(Scenario::SecretDeleted).await;
}

#[tokio::test]
async fn a_crash_while_moving_the_secret_to_another_name_leaves_no_trace() {
    sweep(Scenario::Rename).await;
}

async fn sweep(scenario: Scenario) {
    let undisturbed = run(scenario, None).await;
    let writes = undisturbed.writes.len();
    assert!(writes >= 2, "{:?}", undisturbed.writes);
    let cases = (1..=writes).flat_map(|n| [(n, Side::Before), (n, Side::After)]);
    let runs = cases.map(|case| async move { (case, run(scenario, Some(case)).await) });
    let runs: Vec<_> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    for ((n, side), disturbed) in runs {
        let place = format!("{scenario:?}, killed {side:?} write {n} of {:#?}", disturbed.writes);
        assert!(disturbed.writes.len() == n || scenario.is_racy(), "{place}: never got there");
        assert_eq!(disturbed.end, undisturbed.end, "{place}");
    }
}

struct Outcome {
    writes: Vec<String>,
    end: EndState,
}

async fn run(scenario: Scenario, cut: Option<(usize, Side)>) -> Outcome {
    let t = Tenant::alone(scenario.prefix()).await;
    t.apply("{kind: Secret, metadata: {name: foreign}, stringData: {client-secret: theirs}}").await;
    let foreign = t.secret("foreign").await;
    let proxy = Proxy::start(&t.plane).await;
    let config = t.config("leaderElection: {enabled: false}\nconcurrency: 1");
    let first = Controller::start(&t.plane, &proxy.kubeconfig, &config);
    let before = scenario.prepare(&t).await;
    let (n, side) = cut.unwrap_or((usize::MAX, Side::Before));
    proxy.cut_at(n, side);

    let ended = AtomicBool::new(false);
    let story = async {
        scenario.act(&t).await;
        scenario.done(&t, &before).await;
        if cut.is_none() {
            scenario.last_write(&proxy).await;
        }
    };
    let (proxy, t, next) = (&proxy, &t, OnceCell::new());
    let replace = async {
        proxy.is_cut().await;
        first.kill().await;
        next.get_or_init(|| async { first.another(&t.plane.kubeconfig()) }).await;
    };
    let drama = async {
        match cut {
            None => story.await,
            // A cut that never comes is told by the number of writes.
            Some(_) => drop(tokio::join!(story, timeout(Duration::from_secs(15), replace))),
        }
        let writes = proxy.writes();
        proxy.cut_at(usize::MAX, Side::Before);
        // Whatever comes late has come when something new is through.
        t.sentinel().await;
        ended.store(true, Ordering::Relaxed);
        next.get().unwrap_or(&first).stop().await;
        writes
    };
    let (writes, ()) = tokio::join!(drama, secrets_work(t, &ended));
    assert_eq!(t.secret("foreign").await, foreign, "a foreign Secret was touched");
    Outcome { writes, end: EndState::of(t, &before).await }
}

/// At every moment at which a Secret of an app exists, the record accepts its client secret.
async fn secrets_work(t: &Tenant<'_>, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        for name in ["app-credential", "other"] {
            // In this order: a Secret must not be newer than the record that it is compared with.
            let Some(secret) = t.secrets().get_opt(name).await.unwrap() else { continue };
            let held = value(&secret, "client-secret");
            let accepted = t.record("app").await.is_some_and(|record| {
                let now = jiff::Timestamp::now();
                let works = |it: &&snaphook::record::SecretVersion| it.not_after.is_none_or(|end| end > now);
                record.secrets.iter().filter(works).any(|it| it.hash == hash_of(&held))
            });
            assert!(accepted || !is_in_use(t, &secret).await, "an app holds a secret that the record refuses");
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// A Secret whose resource goes, or has gone, is on its way out; one that was retained waits for its next resource.
async fn is_in_use(t: &Tenant<'_>, secret: &k8s_openapi::api::core::v1::Secret) -> bool {
    let Some(resource) = t.resources().get_opt("app").await.unwrap() else { return false };
    let owned = secret.owner_references().iter().any(|owner| Some(&owner.uid) == resource.metadata.uid.as_ref());
    owned && resource.metadata.deletion_timestamp.is_none()
=======
//! A controller killed at each of its writes in turn, before the write and after it, ends where an undisturbed one ends.
//!
//! Between the controller and the API server stands a proxy of the test's: it counts writes and holds the chosen one, either before it is
//! passed on or with its answer in hand; then the process is killed, and a fresh one finishes the work.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::State, http::Request, response::Response};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use snaphook::{
    crd::AppCredential,
    record::{self, ClientRecord, SecretHash},
};
use tokio::sync::Notify;

use crate::harness::{Installation, eventually};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Before,
    After,
}

/// Passes requests on; the `hold`-th write is held for ever.
struct Proxy {
    client: Client,
    writes: AtomicUsize,
    hold: usize,
    moment: Moment,
    held: Notify,
}

impl Proxy {
    /// A proxy that holds one write, and a kubeconfig that leads to it.
    async fn start(installation: &Installation<'_>, hold: usize, moment: Moment) -> (Arc<Self>, PathBuf) {
        let client = installation.plane.client().await.unwrap();
        let proxy = Arc::new(Self { client, writes: AtomicUsize::new(0), hold, moment, held: Notify::new() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(pass_on).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let kubeconfig = installation.scratch(&format!("proxy-{}.yaml", address.port()));
        let yaml = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\nusers: [{{name: u, user: {{}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"
        );
        std::fs::write(&kubeconfig, yaml).unwrap();
        (proxy, kubeconfig)
    }
}

async fn pass_on(State(proxy): State<Arc<Proxy>>, request: Request<Body>) -> Response {
    let write = !matches!(request.method().as_str(), "GET" | "HEAD");
    let chosen = write && proxy.writes.fetch_add(1, Ordering::SeqCst) + 1 == proxy.hold;
    if chosen && proxy.moment == Moment::Before {
        proxy.held.notify_one();
        std::future::pending::<()>().await;
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut passed = Request::new(kube::client::Body::from(body.to_vec()));
    *passed.method_mut() = parts.method;
    *passed.uri_mut() = parts.uri;
    for name in ["accept", "content-type", "user-agent"] {
        if let Some(value) = parts.headers.get(name) {
            passed.headers_mut().insert(axum::http::HeaderName::from_static(name), value.clone());
        }
    }
    let answer = proxy.client.send(passed).await.unwrap();
    if chosen {
        proxy.held.notify_one();
        std::future::pending::<()>().await;
    }
    answer.map(Body::new)
}

/// What is done to a resource while the controller is killed.
#[derive(Clone, Copy, Debug)]
enum Scenario {
    Create,
    Rotate,
    Revoke,
    SecretDeleted,
    Delete,
    Recreate,
}

struct Team<'a> {
    installation: &'a Installation<'a>,
    resources: Api<AppCredential>,
    secrets: Api<Secret>,
    records: Api<Secret>,
}

impl<'a> Team<'a> {
    async fn new(installation: &'a Installation<'a>) -> Self {
        let client = installation.plane.client().await.unwrap();
        Self {
            installation,
            resources: Api::namespaced(client.clone(), &installation.team),
            secrets: Api::namespaced(client.clone(), &installation.team),
            records: Api::namespaced(client, &installation.realm),
        }
    }

    async fn create(&self, name: &str) {
        let resource = AppCredential::new(name, serde_json::from_value(json!({ "scopes": ["a"] })).unwrap());
        self.resources.create(&PostParams::default(), &resource).await.unwrap();
    }

    async fn patch(&self, name: &str, spec: Value) {
        self.resources.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await.unwrap();
    }

    async fn act(&self, scenario: Scenario, name: &str) {
        match scenario {
            Scenario::Create => self.create(name).await,
            Scenario::Rotate => self.patch(name, json!({ "rotation": { "nonce": "2", "overlap": "1h" } })).await,
            Scenario::Revoke => self.patch(name, json!({ "revoked": true })).await,
            Scenario::SecretDeleted => {
                self.secrets.delete(&format!("{name}-credential"), &DeleteParams::default()).await.unwrap();
            }
            Scenario::Delete => drop(self.resources.delete(name, &DeleteParams::default()).await.unwrap()),
            Scenario::Recreate => {
                self.resources.delete(name, &DeleteParams::default()).await.unwrap();
                // The controller that ends the deletion may be dead by now; who comes next makes it anew.
            }
        }
    }

    async fn record(&self, name: &str) -> Option<ClientRecord> {
        let name = record::secret_name("AppCredential", &self.installation.team, name);
        let secret = self.records.get_opt(&name).await.unwrap()?;
        record::parse(&secret.data?[record::DATA_KEY].0).ok()
    }

    /// What a person would compare: everything but random values, times and ids.
    async fn state(&self, name: &str) -> Value {
        let resource = self.resources.get_opt(name).await.unwrap();
        let secret = self.secrets.get_opt(&format!("{name}-credential")).await.unwrap();
        let record = self.record(name).await;
        let data: BTreeMap<String, SecretHash> = secret
            .iter()
            .flat_map(|secret| secret.data.clone().unwrap_or_default())
            .map(|(key, value)| (key, SecretHash::of(&value.0)))
            .collect();
        let versions = record.iter().flat_map(|record| &record.secrets);
        let place = |hash: &SecretHash| data.iter().find(|(_, found)| *found == hash).map(|(key, _)| key.clone());
        let versions: Vec<Value> = versions
            .map(|version| json!({ "ends": version.not_after.is_some(), "lies under": place(&version.hash) }))
            .collect();
        json!({
            "resource": resource.as_ref().map(|resource| json!({
                "finalizers": resource.finalizers(),
                "state": resource.status.as_ref().and_then(|status| status.state),
                "conditions": resource.status.iter().flat_map(|status| &status.conditions)
                    .map(|condition| format!("{}={:?} {}", condition.type_, condition.status, condition.reason)).collect::<Vec<_>>(),
                "versions": resource.status.as_ref().map(|status| status.versions.len()),
                "settled": resource.status.as_ref().and_then(|status| status.observed_generation) == resource.metadata.generation,
            })),
            "secret": data.keys().collect::<Vec<_>>(),
            "record": record.as_ref().map(|record| json!({ "revoked": record.revoked, "scopes": record.scopes, "versions": versions })),
        })
    }

    /// Whether the secret that apps can read is one that the server accepts.
    async fn secret_is_accepted(&self, name: &str) -> Result<(), String> {
        let Some(secret) = self.secrets.get_opt(&format!("{name}-credential")).await.unwrap() else { return Ok(()) };
        let resource = self.resources.get_opt(name).await.unwrap();
        let Some(resource) = resource.filter(|resource| resource.metadata.deletion_timestamp.is_none()) else {
            return Ok(());
        };
        if !secret.owner_references().iter().any(|owner| Some(&owner.uid) == resource.metadata.uid.as_ref()) {
            return Ok(());
        }
        let hash = SecretHash::of(&secret.data.unwrap()["client-secret"].0);
        let Some(record) = self.record(name).await else {
            // The resource may have been deleted between the two looks.
            let still = self.resources.get_opt(name).await.unwrap();
            let going = still.is_none_or(|still| still.metadata.deletion_timestamp.is_some());
            return if going { Ok(()) } else { Err("there is a Secret and no record".into()) };
        };
        let now = jiff::Timestamp::now();
        let accepted =
            record.secrets.iter().any(|version| version.hash == hash && version.not_after.is_none_or(|end| end > now));
        if accepted { Ok(()) } else { Err("the Secret holds a value that the server refuses".into()) }
    }
}

/// Undisturbed, until nothing changes any more.
async fn finish(team: &Team<'_>, scenario: Scenario, name: &str) -> Value {
    let controller = team.installation.controller("finisher").await;
    if matches!(scenario, Scenario::Recreate) {
        eventually("the deletion ends", async || team.resources.get_opt(name).await.unwrap().is_none()).await;
        team.create(name).await;
    }
    let state = settled(team, scenario, name).await;
    controller.stop().await.unwrap();
    state
}

/// The state once it is what the scenario asks for and the same three times in a row.
async fn settled(team: &Team<'_>, scenario: Scenario, name: &str) -> Value {
    let mut last = Value::Null;
    let mut same = 0;
    let what = format!("{scenario:?} of {name} settles");
    eventually(&what, async || {
        let state = team.state(name).await;
        same = if state == last && is_done(&state, scenario) { same + 1 } else { 0 };
        last = state;
        same == 3
    })
    .await;
    last
}

fn is_done(state: &Value, scenario: Scenario) -> bool {
    let versions = state["record"]["versions"].as_array().map_or(0, Vec::len);
    let ended = state["record"]["versions"][0]["ends"] == true;
    match scenario {
        Scenario::Delete => state["resource"].is_null() && state["record"].is_null() && state["secret"] == json!([]),
        Scenario::Rotate | Scenario::SecretDeleted => versions == 2 && ended && state["resource"]["versions"] == 2,
        Scenario::Revoke => state["resource"]["state"] == "Revoked" && state["resource"]["settled"] == true,
        Scenario::Create | Scenario::Recreate => state["resource"]["state"] == "Active" && versions == 1,
    }
}

async fn sweep(name: &str, scenario: Scenario) {
    let installation = Installation::shared(name).await;
    installation.configure_without_election();
    let team = Team::new(&installation).await;
    for foreign in ["foreign", "untouched"] {
        installation.kubectl(&["create", "secret", "generic", foreign, "--from-literal=a=b"]).await;
    }
    let foreign = installation.get("secret", "foreign").await;
    prepare(&team, scenario, "undisturbed").await;
    team.act(scenario, "undisturbed").await;
    let expected = finish(&team, scenario, "undisturbed").await;
    let mut kills = 0;
    for moment in [Moment::Before, Moment::After] {
        for hold in 1.. {
            let name = format!("{moment:?}-{hold}").to_lowercase();
            prepare(&team, scenario, &name).await;
            if !disturb(&team, scenario, &name, hold, moment).await {
                break;
            }
            kills += 1;
            let state = finish(&team, scenario, &name).await;
            assert_eq!(state, expected, "{scenario:?}, killed {moment:?} write {hold}");
        }
    }
    assert!(kills >= 4, "{scenario:?} has more writes than that: {kills}");
    assert_eq!(installation.get("secret", "foreign").await, foreign);
}

async fn prepare(team: &Team<'_>, scenario: Scenario, name: &str) {
    if !matches!(scenario, Scenario::Create) {
        team.create(name).await;
    }
    let controller = team.installation.controller("preparer").await;
    if !matches!(scenario, Scenario::Create) {
        settled(team, Scenario::Create, name).await;
    } else if team.records.get_opt(record::SIGNING_KEYS_SECRET).await.unwrap().is_none() {
        eventually("signing keys", async || team.records.get_opt(record::SIGNING_KEYS_SECRET).await.unwrap().is_some())
            .await;
    }
    controller.stop().await.unwrap();
}

/// Lets a controller act until its chosen write, and kills it there. False: it was done before.
async fn disturb(team: &Team<'_>, scenario: Scenario, name: &str, hold: usize, moment: Moment) -> bool {
    let (proxy, kubeconfig) = Proxy::start(team.installation, hold, moment).await;
    let controller = team.installation.candidate("victim", &kubeconfig);
    controller.logged("controller starting", crate::harness::SOON).await.unwrap();
    team.act(scenario, name).await;
    let ended = AtomicBool::new(false);
    let watch = async {
        while !ended.load(Ordering::SeqCst) {
            team.secret_is_accepted(name).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let work = async {
        let recreated = matches!(scenario, Scenario::Recreate);
        let undisturbed = async {
            if recreated {
                eventually("the deletion ends", async || team.resources.get_opt(name).await.unwrap().is_none()).await;
                team.create(name).await;
            }
            settled(team, scenario, name).await;
            // Events are written last.
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let killed = tokio::select! {
            () = proxy.held.notified() => true,
            () = undisturbed => false,
        };
        controller.signal("KILL").unwrap();
        controller.wait(crate::harness::SOON).await.unwrap();
        team.secret_is_accepted(name).await.unwrap();
        if recreated
            && killed
            && team.resources.get_opt(name).await.unwrap().is_some_and(|it| it.metadata.deletion_timestamp.is_none())
        {
            // Already made anew: `finish` deletes nothing and waits for nothing, so take the deletion up again.
            team.resources.delete(name, &DeleteParams::default()).await.unwrap();
        }
        ended.store(true, Ordering::SeqCst);
        killed
    };
    let ((), killed) = tokio::join!(watch, work);
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_creating() {
    sweep("crash-create", Scenario::Create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_rotating() {
    sweep("crash-rotate", Scenario::Rotate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_revoking() {
    sweep("crash-revoke", Scenario::Revoke).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_replacing_a_deleted_secret() {
    sweep("crash-replace", Scenario::SecretDeleted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_deleting() {
    sweep("crash-delete", Scenario::Delete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_making_it_anew() {
    sweep("crash-recreate", Scenario::Recreate).await;
>>>>>>> main
}
