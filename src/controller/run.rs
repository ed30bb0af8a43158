//! Flow 1: the controller at work: one lane of watches for all namespaces, or one for each that is looked after.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, channel::mpsc, future, stream};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        applier,
        controller::{Action, Config as ApplierConfig},
        events::{Recorder, Reporter},
        reflector::ObjectRef,
    },
};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::{
    apply::{ApplyError, World},
    cleanup::cleanup,
    cluster::{Caches, Cluster, RouteFailures, around::Surroundings},
    contest::Contests,
    overview::{Overview, Watched},
    records::{Found, RecordCaches, Records},
    refusal::{Reason, Refusal},
    report,
    route::Route,
    signing_keys,
    steps::{self, Entropy, Steps},
    wakes::Wakes,
    watches::{self, Guarded, Indexed, Of, Resources, Trigger, Triggers},
};
use crate::{
    config::{Config, RouteMode},
    crd::{AppCredential, Kind, Webhook, WebhookCredential, webhook::RouteType},
    record,
    telemetry::metrics::controller::Metrics,
};

/// A missed event is repaired after this time at the latest.
const RESYNC: Duration = Duration::from_mins(10);
/// Events of one change come together, and caches catch up with our own writes meanwhile.
const SETTLE: Duration = Duration::from_millis(10);
/// The result of a run that did what it had to, as metrics name it.
const OK: &str = "ok";
/// Deleted resources whose records are removed at a time.
const ENDED_AT_ONCE: usize = 16;
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// What the outside sees of the work.
#[derive(Clone)]
pub struct Telemetry {
    /// Asked by probes and metrics.
    pub overview: Arc<Overview>,
    /// Told of every run over a resource.
    pub metrics: Arc<Metrics>,
}

impl Default for Telemetry {
    /// Of a controller that does not work yet.
    fn default() -> Self {
        let overview = Arc::new(Overview::default());
        let asked = overview.clone();
        let results: Vec<_> = [OK].into_iter().chain(ApplyError::REASONS).collect();
        let kinds = [AppCredential::KIND, Webhook::KIND, WebhookCredential::KIND];
        Self { overview, metrics: Arc::new(Metrics::new(&kinds, &results, move || asked.state())) }
    }
}

/// Reconciles everything that the configuration names, for as long as it is polled.
pub async fn run(client: Client, realm_namespace: &str, config: &Config, instance: &str, telemetry: &Telemetry) {
    let lanes = lanes(&client, realm_namespace, config, instance, &telemetry.metrics);
    let _at_work = telemetry.overview.work(lanes.iter().map(|lane| lane.work.watched()).collect());
    tracing::info!(namespaces = ?config.watch_namespaces, "at work");
    let keys = future::join_all(keys(&lanes, config));
    future::join(keys, future::join_all(lanes.into_iter().map(Lane::run))).await;
}

/// What keeps the signing keys of every realm up to date.
fn keys(lanes: &[Lane], config: &Config) -> Vec<impl Future<Output = ()> + use<>> {
    let records_of = |namespace: &str| {
        let mut lanes = lanes.iter().filter(|lane| lane.namespace.as_deref().is_none_or(|it| it == namespace));
        lanes.next().map(|lane| lane.work.cluster.records.place(namespace))
    };
    let sidecars = config.realms.iter().filter_map(|realm| Some((records_of(&realm.namespace)?, &realm.issuer)));
    let shared = lanes.first().map(|lane| (lane.work.cluster.records.shared(), &config.realm.issuer));
    let maintain = |(place, issuer): (_, &String)| signing_keys::maintain(place, issuer.clone(), config.clone());
    shared.into_iter().chain(sidecars).map(maintain).collect()
}

/// The watches of one namespace, or of all, and what is done on their events.
struct Lane {
    /// The only one. Absent: all.
    namespace: Option<String>,
    work: Arc<Work>,
    triggers: Triggers,
}

struct Work {
    cluster: Cluster,
    config: Config,
    metrics: Arc<Metrics>,
    failures: Mutex<HashMap<Trigger, Failure>>,
}

/// A resource that could not be brought up to date.
#[derive(Clone, Copy)]
struct Failure {
    /// In a row.
    count: u32,
    /// When it is tried again. Events of our own writes do not change that.
    until: Instant,
    /// What was asked of it then: something else is tried at once.
    asked: u64,
}

/// The cluster as each lane has it, with the lane's namespace, before anything is watched: caches are empty.
pub(super) fn unwatched(client: &Client, realm_namespace: &str, config: &Config) -> Vec<(Option<String>, Cluster)> {
    let metrics = Telemetry::default().metrics;
    let lanes = lanes(client, realm_namespace, config, "", &metrics).into_iter();
    let clusters = lanes.filter_map(|lane| Some(Arc::into_inner(lane.work)?.cluster));
    scopes(config).into_iter().map(|scope| scope.map(str::to_owned)).zip(clusters).collect()
}

/// A namespace each, or all of them in one.
fn scopes(config: &Config) -> Vec<Option<&str>> {
    if config.watch_namespaces.is_empty() {
        vec![None]
    } else {
        config.watch_namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
    }
}

fn lanes(client: &Client, realm_namespace: &str, config: &Config, instance: &str, metrics: &Arc<Metrics>) -> Vec<Lane> {
    let scopes = scopes(config);
    let known: Vec<_> = scopes.iter().map(|scope| Known::watch(client, realm_namespace, *scope)).collect();
    let all_resources: Arc<[Resources]> = known.iter().map(|known| known.resources.clone()).collect();
    let all_records: Arc<[RecordCaches]> = known.iter().map(|known| known.records.clone()).collect();
    let reporter = Reporter { controller: "snaphook".into(), instance: Some(instance.to_owned()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let lane = |(scope, known): (Option<&str>, Known)| {
        let records = Records::new(client.clone(), realm_namespace, &config.realms, known.records.clone());
        let (caches, triggers) = known.and_the_rest(client, realm_namespace, config, scope);
        let cluster = Cluster {
            client: client.clone(),
            records,
            caches,
            all_resources: all_resources.clone(),
            all_records: all_records.clone(),
            recorder: recorder.clone(),
            contests: Contests::default(),
            realm_namespace: realm_namespace.to_owned(),
            routes: config.routes.clone(),
            route_failures: RouteFailures::default(),
            wakes: Wakes::new(metrics.clone()),
        };
        let metrics = metrics.clone();
        let work = Work { cluster, config: config.clone(), metrics, failures: Mutex::default() };
        Lane { namespace: scope.map(str::to_owned), work: Arc::new(work), triggers }
    };
    scopes.into_iter().zip(known).map(lane).collect()
}

/// What the lanes know of one another.
struct Known {
    resources: Resources,
    records: RecordCaches,
    triggers: Vec<Triggers>,
}

impl Known {
    fn watch(client: &Client, realm_namespace: &str, scope: Option<&str>) -> Self {
        let (app_credentials, of_app_credentials) = watches::resources(scoped(client, scope), "AppCredentials");
        let (webhooks, of_webhooks, of_their_credentials) = watches::webhooks(scoped(client, scope));
        let (webhook_credentials, of_webhook_credentials) =
            watches::resources(scoped(client, scope), "WebhookCredentials");
        let resources = Resources { app_credentials, webhooks, webhook_credentials };
        let (own, of_records) = watches::records(client, realm_namespace, scope, resources.clone());
        let (bundles, of_bundles) = watches::bundles(scoped(client, scope), resources.clone());
        let of_resources = [of_app_credentials, of_webhooks, of_webhook_credentials, of_their_credentials];
        let triggers = of_resources.into_iter().chain([of_records, of_bundles]).collect();
        let records = RecordCaches { own, bundles };
        Self { resources, records, triggers }
    }

    /// The watches of a lane's own.
    fn and_the_rest(
        self,
        client: &Client,
        realm_namespace: &str,
        config: &Config,
        scope: Option<&str>,
    ) -> (Caches, Triggers) {
        let Self { resources, records: _, mut triggers } = self;
        let (consumers, of_consumers) = watches::consumers(scoped(client, scope), resources.clone());
        let (references, of_references) = watches::references(scoped(client, scope), resources.clone());
        let namespaces = config.needs_namespace_labels().then(|| watches::namespaces(client, resources.clone()));
        let (namespaces, of_namespaces) = namespaces.unzip();
        let (ingresses, of_ingresses) = watches::routes(client, realm_namespace, scope, resources.clone(), "Ingresses");
        let (http_routes, of_http_routes) =
            watches::routes(client, realm_namespace, scope, resources.clone(), "HTTPRoutes");
        triggers.extend([of_consumers, of_references, of_ingresses, of_http_routes].into_iter().chain(of_namespaces));
        let caches = Caches { resources, consumers, references, namespaces, ingresses, http_routes };
        (caches, stream::select_all(triggers).boxed())
    }
}

pub(super) fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

impl Lane {
    async fn run(self) {
        let Self { namespace: _, work, triggers } = self;
        let (app_credentials, of_app_credentials) = mpsc::unbounded();
        let (webhooks, of_webhooks) = mpsc::unbounded();
        let (webhook_credentials, of_webhook_credentials) = mpsc::unbounded();
        let (orphans, of_orphans) = mpsc::unbounded();
        let sort = triggers.for_each(|trigger| {
            if work.is_gone(&trigger) {
                let _ = orphans.unbounded_send(trigger);
                return future::ready(());
            }
            work.cluster.wakes.wake(&trigger);
            // A queue that is gone: so is everything here in a moment.
            let _ = match trigger.kind {
                AppCredential::KIND => app_credentials.unbounded_send(trigger.object::<AppCredential>()).is_ok(),
                Webhook::KIND => webhooks.unbounded_send(trigger.object::<Webhook>()).is_ok(),
                WebhookCredential::KIND => {
                    webhook_credentials.unbounded_send(trigger.object::<WebhookCredential>()).is_ok()
                }
                _ => false,
            };
            future::ready(())
        });
        let drives = future::join3(
            work.clone().drive::<AppCredential>(of_app_credentials),
            work.clone().drive::<Webhook>(of_webhooks),
            work.clone().drive::<WebhookCredential>(of_webhook_credentials),
        );
        let end_orphans = of_orphans.for_each_concurrent(ENDED_AT_ONCE, |trigger| work.end_orphan(trigger));
        future::join4(sort, work.sweep_again_and_again(), end_orphans, drives).await;
    }
}

impl Work {
    async fn drive<K: Steps>(self: Arc<Self>, triggers: impl Stream<Item = ObjectRef<Guarded<K>>> + Send + 'static)
    where
        Cluster: World<K> + Surroundings<K>,
        Resources: Of<K>,
    {
        let resources: &Indexed<K> = self.cluster.caches.resources.of();
        let reconciles = applier(
            |guarded, work: Arc<Self>| Box::pin(aside(async move { work.reconcile::<K>(&guarded).await })),
            |guarded, error, work| work.back_off::<K>(&guarded, error),
            self.clone(),
            (***resources).clone(),
            triggers.map(Ok::<_, std::convert::Infallible>),
            ApplierConfig::default().concurrency(self.config.concurrency).debounce(SETTLE),
        );
        reconciles.for_each(|_| future::ready(())).await;
    }

    async fn reconcile<K: Steps>(&self, guarded: &Guarded<K>) -> Result<Action, ApplyError>
    where
        Cluster: World<K> + Surroundings<K>,
        Resources: Of<K>,
    {
        self.caches_are_whole::<K>().await;
        let (trigger, started) = (Trigger::of(guarded), Instant::now());
        if let Some(pause) = self.pause_of(guarded, started) {
            return Ok(Action::requeue(pause));
        }
        self.cluster.wakes.begin(&trigger);
        let done = self.bring_up_to_date(guarded).await;
        let result = done.as_ref().err().map_or(OK, ApplyError::reason);
        self.metrics.reconciled(K::KIND, result, started.elapsed());
        self.cluster.wakes.end(&trigger, matches!(done, Ok(_) | Err(ApplyError::Going { .. })));
        match done {
            Err(ApplyError::Going { .. }) => Ok(self.forget(guarded)),
            done => done,
        }
    }

    async fn bring_up_to_date<K: Steps>(&self, guarded: &Guarded<K>) -> Result<Action, ApplyError>
    where
        Cluster: World<K>,
    {
        let next = match &guarded.0 {
            Ok(resource) if resource.meta().deletion_timestamp.is_some() => {
                cleanup(&self.cluster, resource).await?;
                return Ok(self.forget(guarded));
            }
            Ok(resource) => steps::reconcile(&self.cluster, resource, &self.config, Timestamp::now(), entropy).await?,
            Err(invalid) => {
                let resource = K::unreadable(invalid.metadata.clone());
                if resource.meta().deletion_timestamp.is_some() {
                    cleanup(&self.cluster, &resource).await?;
                    return Ok(self.forget(guarded));
                }
                self.report_unreadable(&resource, &invalid.error).await?;
                None
            }
        };
        self.lock_failures().remove(&Trigger::of(guarded));
        Ok(Action::requeue(pause_until(next, Timestamp::now())))
    }

    fn watched(&self) -> Watched {
        let Caches { resources, ingresses, http_routes, .. } = &self.cluster.caches;
        let routes = [ingresses.listed(), http_routes.listed()];
        let listed = resources.listed().into_iter().chain(routes).chain(self.cluster.needs()).cloned().collect();
        Watched { resources: resources.clone(), listed }
    }

    /// Nobody is judged by half of what is there. A kind whose CRD is missing does not keep the others waiting.
    async fn caches_are_whole<K: Steps>(&self)
    where
        Cluster: Surroundings<K>,
        Resources: Of<K>,
    {
        let of_kind = self.cluster.all_resources.iter().map(|resources| resources.of().listed());
        let of_around = Surroundings::<K>::needs(&self.cluster);
        for listed in of_kind.chain(self.cluster.needs()).chain(of_around) {
            listed.wait().await;
        }
    }

    fn forget<K: Kind>(&self, guarded: &Guarded<K>) -> Action {
        self.lock_failures().remove(&Trigger::of(guarded));
        Action::await_change()
    }

    /// For how long a resource still waits after a failure.
    fn pause_of<K: Kind>(&self, guarded: &Guarded<K>, now: Instant) -> Option<Duration> {
        let failure = self.lock_failures().get(&Trigger::of(guarded)).copied()?;
        let waits = failure.until > now && failure.asked == watches::what_is_asked(guarded);
        waits.then(|| failure.until.duration_since(now))
    }

    fn lock_failures(&self) -> std::sync::MutexGuard<'_, HashMap<Trigger, Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each resource waits for itself, longer each time.
    fn back_off<K: Kind>(&self, guarded: &Guarded<K>, error: &ApplyError) -> Action {
        let (trigger, asked) = (Trigger::of(guarded), watches::what_is_asked(guarded));
        let mut failures = self.lock_failures();
        let count = failures.get(&trigger).map_or(0, |failure| failure.count).saturating_add(1);
        let pause = back_off(count);
        // What has changed meanwhile is looked at as soon as the watches tell of it.
        let is_conflict = matches!(error, ApplyError::Conflict { .. });
        let until = Instant::now() + if is_conflict { Duration::ZERO } else { pause };
        failures.insert(trigger, Failure { count, until, asked });
        if count > 1 || !is_conflict {
            tracing::warn!(
                kind = K::KIND,
                namespace = guarded.namespace(),
                name = guarded.name_any(),
                reason = error.reason(),
                tries = count,
                error = error as &dyn std::error::Error,
                "not reconciled yet"
            );
        }
        Action::requeue(pause)
    }

    async fn report_unreadable<K: Steps>(&self, resource: &K, error: &str) -> Result<(), ApplyError>
    where
        Cluster: World<K>,
    {
        let message = format!(
            "the resource is not of the shape that this version knows ({error}); apply the CRDs of this version, or mend the field"
        );
        let refusal = Refusal { reason: Reason::InvalidResource, message };
        let before = self.cluster.reported(resource).await?;
        let status = report::of_unreadable(resource, before.clone(), &refusal, Timestamp::now());
        if status == before { Ok(()) } else { self.cluster.write_status(resource, &status).await }
    }

    /// Whether a resource that something is said of is not there. Before everything was listed nobody knows.
    fn is_gone(&self, trigger: &Trigger) -> bool {
        let resources = &self.cluster.caches.resources;
        match trigger.kind {
            AppCredential::KIND => is_absent::<AppCredential>(resources, trigger),
            Webhook::KIND => is_absent::<Webhook>(resources, trigger),
            WebhookCredential::KIND => is_absent::<WebhookCredential>(resources, trigger),
            _ => false,
        }
    }

    /// Removes the record and the routes of a resource that is gone, which its finalizer does unless somebody has taken that away. A resource
    /// that is back by now keeps them, and those of its predecessor are replaced as it is looked at.
    async fn end_orphan(&self, trigger: Trigger) {
        for listed in self.cluster.records.caches().listed() {
            listed.wait().await;
        }
        let mut tries = 0;
        while let Err(error) = self.try_end_orphan(&trigger).await {
            let Trigger { kind, namespace, name } = &trigger;
            tracing::warn!(
                kind,
                namespace,
                name,
                reason = error.reason(),
                "the record of a deleted resource is still there"
            );
            tries += 1;
            tokio::time::sleep(back_off(tries)).await;
        }
    }

    async fn try_end_orphan(&self, trigger: &Trigger) -> Result<(), ApplyError> {
        for found in self.cluster.records.of(trigger) {
            self.sweep_record(&found).await?;
        }
        let Caches { ingresses, http_routes, .. } = &self.cluster.caches;
        let routes = ingresses.all().map(Route::from).chain(http_routes.all().map(Route::from));
        let is_its_own = |route: &Route| route.owner().is_some_and(|owner| trigger.is_of(&owner));
        for route in routes.filter(is_its_own) {
            self.sweep_route(&route).await?;
        }
        Ok(())
    }

    /// What no event told is found by this.
    async fn sweep_again_and_again(&self) {
        loop {
            self.sweep().await;
            tokio::time::sleep(jittered(RESYNC)).await;
        }
    }

    /// Removes records whose resource went while nobody was looking: without its finalizer, or with its CRD.
    async fn sweep(&self) {
        let records = &self.cluster.records;
        for listed in records.caches().listed() {
            listed.wait().await;
        }
        for found in records.all() {
            if let Err(error) = self.sweep_record(&found).await {
                tracing::warn!(record = found.id.name, reason = error.reason(), "an orphan was not looked at");
            }
        }
        if let Err(error) = records.end_realms().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a realm that is no longer listed was not ended");
        }
        self.sweep_routes().await;
    }

    /// The same for routes, and for the one for all where there is to be none.
    async fn sweep_routes(&self) {
        let Caches { ingresses, http_routes, .. } = &self.cluster.caches;
        for listed in [ingresses.listed(), http_routes.listed()] {
            listed.wait().await;
        }
        let ingresses = ingresses.all().map(Route::from);
        for route in ingresses.chain(http_routes.all().map(Route::from)) {
            if let Err(error) = self.sweep_route(&route).await {
                tracing::warn!(route = route.name(), reason = error.reason(), "an orphan was not looked at");
            }
        }
    }

    async fn sweep_route(&self, route: &Route) -> Result<(), ApplyError> {
        let is_wanted = match route.owner() {
            Some(owner) => self.is_there(&owner).await?,
            None => !route.is_of_all() || shared_kind(&self.config) == Some(route.kind()),
        };
        if is_wanted {
            return Ok(());
        }
        tracing::info!(kind = route.kind().as_str(), name = route.name(), "removing a route that nobody asks for");
        self.cluster.delete_route(route).await
    }

    async fn sweep_record(&self, found: &Found) -> Result<(), ApplyError> {
        let Some(source) = record::source_of(&found.stored.json.0) else { return Ok(()) };
        let belongs = found.of_namespace.as_ref().is_none_or(|namespace| *namespace == source.namespace);
        if belongs && self.is_there(&source).await? {
            return Ok(());
        }
        if found.place.delete(&found.id, &found.stored.version).await? {
            self.metrics.orphan_removed();
            tracing::info!(
                kind = source.kind,
                namespace = source.namespace,
                name = source.name,
                "removed the record of a resource that is gone"
            );
        }
        Ok(())
    }

    async fn is_there(&self, source: &record::Source) -> Result<bool, ApplyError> {
        match source.kind.as_str() {
            AppCredential::KIND => self.exists::<AppCredential>(source).await,
            Webhook::KIND => self.exists::<Webhook>(source).await,
            WebhookCredential::KIND => self.exists::<WebhookCredential>(source).await,
            // Of a later version, perhaps.
            _ => Ok(true),
        }
    }

    async fn exists<K: Kind>(&self, source: &record::Source) -> Result<bool, ApplyError>
    where
        Resources: Of<K>,
    {
        let resources: &Indexed<K> = self.cluster.caches.resources.of();
        let known = resources.get(&ObjectRef::new(&source.name).within(&source.namespace));
        let is_known = known.is_some_and(|known| known.uid().as_ref() == Some(&source.uid));
        Ok(is_known || self.cluster.resource_exists::<K>(source).await?)
    }
}

/// On any thread, beside the watches; it ends when nobody waits for it any more.
async fn aside<T: Send + 'static>(run: impl Future<Output = T> + Send + 'static) -> T {
    let mut task = JoinSet::new();
    task.spawn(run.in_current_span());
    match task.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is ending, and this with it.
        Some(Err(_)) | None => future::pending().await,
    }
}

/// What the route for all is, where there is to be one.
fn shared_kind(config: &Config) -> Option<RouteType> {
    let is_shared = config.routes.mode == RouteMode::Shared && config.realm.service.is_some();
    is_shared.then_some(config.routes.type_)
}

fn pause_until(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let pause = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
    // A little late is right on time: what has just ended must be over.
    pause.map_or(jittered(RESYNC), |pause| (pause + Duration::from_millis(20)).min(jittered(RESYNC)))
}

/// After so many failures.
fn back_off(failures: u32) -> Duration {
    let pause = Duration::from_millis(50).saturating_mul(2_u32.saturating_pow(failures.min(16)));
    jittered(pause.min(LONGEST_BACKOFF))
}

fn is_absent<K: Kind>(resources: &Resources, trigger: &Trigger) -> bool
where
    Resources: Of<K>,
{
    let resources: &Indexed<K> = resources.of();
    resources.listed().get().is_some() && resources.get(&trigger.object::<K>()).is_none()
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.8..1.2))
}

/// Drawn from the operating system.
#[must_use]
pub fn entropy() -> Entropy {
    Entropy {
        secret: crate::random::bytes(),
        generation: crate::random::bytes(),
        url: crate::random::bytes(),
        signing: crate::random::bytes(),
    }
}
