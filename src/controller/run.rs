//! Flow 1: the controller at work: one lane of watches for all namespaces, or one for each that is looked after.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, channel::mpsc, future, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        applier,
        controller::{Action, Config as ApplierConfig},
        events::{Recorder, Reporter},
        reflector::ObjectRef,
    },
};

use super::{
    apply::{ApplyError, World},
    cleanup::cleanup,
    cluster::{Caches, Cluster, around::Surroundings},
    contest::Contests,
    fetch,
    overview::{Overview, Watched},
    refusal::{Reason, Refusal},
    report, signing_keys,
    steps::{self, Entropy, Steps},
    wakes::Wakes,
    watches::{self, Cache, Guarded, Of, Resources, Trigger, Triggers},
};
use crate::{
    config::Config,
    crd::{AppCredential, Kind, Webhook, WebhookCredential},
    record,
    telemetry::metrics::controller::Metrics,
};

/// A missed event is repaired after this time at the latest.
const RESYNC: Duration = Duration::from_mins(10);
/// Events of one change come together, and caches catch up with our own writes meanwhile.
const SETTLE: Duration = Duration::from_millis(10);
/// The result of a run that did what it had to, as metrics name it.
const OK: &str = "ok";
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
    let keys = signing_keys::maintain(client.clone(), realm_namespace.to_owned(), config.clone());
    let lanes = lanes(&client, realm_namespace, config, instance, &telemetry.metrics);
    let _at_work = telemetry.overview.work(lanes.iter().map(|lane| lane.work.watched()).collect());
    tracing::info!(namespaces = ?config.watch_namespaces, "at work");
    future::join(keys, future::join_all(lanes.into_iter().map(Lane::run))).await;
}

/// The watches of one namespace, or of all, and what is done on their events.
struct Lane {
    work: Arc<Work>,
    triggers: Triggers,
}

struct Work {
    cluster: Cluster,
    config: Config,
    metrics: Arc<Metrics>,
    failures: Mutex<HashMap<Trigger, u32>>,
}

fn lanes(client: &Client, realm_namespace: &str, config: &Config, instance: &str, metrics: &Arc<Metrics>) -> Vec<Lane> {
    let scopes: Vec<Option<&str>> = if config.watch_namespaces.is_empty() {
        vec![None]
    } else {
        config.watch_namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
    };
    let known: Vec<_> = scopes.iter().map(|scope| Known::watch(client, realm_namespace, *scope)).collect();
    let all_resources: Arc<[Resources]> = known.iter().map(|known| known.resources.clone()).collect();
    let all_records: Arc<[Cache<Secret>]> = known.iter().map(|known| known.records.clone()).collect();
    let reporter = Reporter { controller: "snaphook".into(), instance: Some(instance.to_owned()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let lane = |(scope, known): (Option<&str>, Known)| {
        let (caches, triggers) = known.and_secrets(client, config, scope);
        let cluster = Cluster {
            client: client.clone(),
            realm_namespace: realm_namespace.to_owned(),
            caches,
            all_resources: all_resources.clone(),
            all_records: all_records.clone(),
            recorder: recorder.clone(),
            contests: Contests::default(),
            wakes: Wakes::new(metrics.clone()),
        };
        let metrics = metrics.clone();
        let work = Work { cluster, config: config.clone(), metrics, failures: Mutex::default() };
        Lane { work: Arc::new(work), triggers }
    };
    scopes.into_iter().zip(known).map(lane).collect()
}

/// What the lanes know of one another.
struct Known {
    resources: Resources,
    records: Cache<Secret>,
    triggers: Vec<Triggers>,
}

impl Known {
    fn watch(client: &Client, realm_namespace: &str, scope: Option<&str>) -> Self {
        let (app_credentials, of_app_credentials) = watches::resources(scoped(client, scope), "AppCredentials");
        let (webhooks, of_webhooks, of_their_credentials) = watches::webhooks(scoped(client, scope));
        let (webhook_credentials, of_webhook_credentials) =
            watches::resources(scoped(client, scope), "WebhookCredentials");
        let resources = Resources { app_credentials, webhooks, webhook_credentials };
        let (records, of_records) = watches::records(client, realm_namespace, scope, resources.clone());
        let triggers = vec![of_app_credentials, of_webhooks, of_webhook_credentials, of_their_credentials, of_records];
        Self { resources, records, triggers }
    }

    /// The watches of a lane's own.
    fn and_secrets(self, client: &Client, config: &Config, scope: Option<&str>) -> (Caches, Triggers) {
        let Self { resources, records, mut triggers } = self;
        let (consumers, of_consumers) = watches::consumers(scoped(client, scope), resources.clone());
        let (references, of_references) = watches::references(scoped(client, scope), resources.clone());
        let namespaces = config.needs_namespace_labels().then(|| watches::namespaces(client, resources.clone()));
        let (namespaces, of_namespaces) = namespaces.unzip();
        triggers.extend([of_consumers, of_references].into_iter().chain(of_namespaces));
        (Caches { resources, records, consumers, references, namespaces }, stream::select_all(triggers).boxed())
    }
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

impl Lane {
    async fn run(self) {
        let Self { work, triggers } = self;
        let (app_credentials, of_app_credentials) = mpsc::unbounded();
        let (webhooks, of_webhooks) = mpsc::unbounded();
        let (webhook_credentials, of_webhook_credentials) = mpsc::unbounded();
        let sort = triggers.for_each(|trigger| {
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
        future::join3(sort, work.sweep(), drives).await;
    }
}

impl Work {
    async fn drive<K: Steps>(self: Arc<Self>, triggers: impl Stream<Item = ObjectRef<Guarded<K>>> + Send + 'static)
    where
        Cluster: World<K> + Surroundings<K>,
        Resources: Of<K>,
    {
        let resources: &Cache<Guarded<K>> = self.cluster.caches.resources.of();
        let reconciles = applier(
            |guarded, work: Arc<Self>| Box::pin(async move { work.reconcile::<K>(&guarded).await }),
            |guarded, error, work| work.back_off::<K>(&guarded, error),
            self.clone(),
            (**resources).clone(),
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
        let caches = &self.cluster.caches;
        Watched { resources: caches.resources.clone(), listed: caches.listed().cloned().collect() }
    }

    /// Nobody is judged by half of what is there. A kind whose CRD is missing does not keep the others waiting.
    async fn caches_are_whole<K: Steps>(&self)
    where
        Cluster: Surroundings<K>,
        Resources: Of<K>,
    {
        let of_kind = self.cluster.all_resources.iter().map(|resources| resources.of().listed());
        for listed in of_kind.chain(self.cluster.caches.shared()).chain(self.cluster.needs()) {
            listed.wait().await;
        }
    }

    fn forget<K: Kind>(&self, guarded: &Guarded<K>) -> Action {
        self.lock_failures().remove(&Trigger::of(guarded));
        Action::await_change()
    }

    fn lock_failures(&self) -> std::sync::MutexGuard<'_, HashMap<Trigger, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each resource waits for itself, longer each time.
    fn back_off<K: Kind>(&self, guarded: &Guarded<K>, error: &ApplyError) -> Action {
        let mut failures = self.lock_failures();
        let count = failures.entry(Trigger::of(guarded)).or_default();
        *count = count.saturating_add(1);
        if *count > 1 || !matches!(error, ApplyError::Conflict { .. }) {
            tracing::warn!(
                kind = K::KIND,
                namespace = guarded.namespace(),
                name = guarded.name_any(),
                reason = error.reason(),
                tries = *count,
                error = error as &dyn std::error::Error,
                "not reconciled yet"
            );
        }
        let pause = Duration::from_millis(50).saturating_mul(2_u32.saturating_pow((*count).min(16)));
        Action::requeue(jittered(pause.min(LONGEST_BACKOFF)))
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

    /// Removes records whose resource went while nobody was looking: without its finalizer, or with its CRD.
    async fn sweep(&self) {
        self.cluster.caches.records.listed().wait().await;
        for secret in self.cluster.caches.records.state() {
            if let Err(error) = self.sweep_record(&secret).await {
                tracing::warn!(record = secret.name_any(), reason = error.reason(), "an orphan was not looked at");
            }
        }
    }

    async fn sweep_record(&self, secret: &Secret) -> Result<(), ApplyError> {
        let json = fetch::data(secret).get(record::DATA_KEY);
        let Some(source) = json.and_then(|json| record::source_of(&json.0)) else { return Ok(()) };
        let exists = match source.kind.as_str() {
            AppCredential::KIND => self.exists::<AppCredential>(&source).await?,
            Webhook::KIND => self.exists::<Webhook>(&source).await?,
            WebhookCredential::KIND => self.exists::<WebhookCredential>(&source).await?,
            // Of a later version, perhaps.
            _ => true,
        };
        if exists {
            return Ok(());
        }
        tracing::info!(
            kind = source.kind,
            namespace = source.namespace,
            name = source.name,
            "removing the record of a resource that is gone"
        );
        self.cluster.delete_orphan(secret).await
    }

    async fn exists<K: Kind>(&self, source: &record::Source) -> Result<bool, ApplyError>
    where
        Resources: Of<K>,
    {
        let resources: &Cache<Guarded<K>> = self.cluster.caches.resources.of();
        let known = ObjectRef::new(&source.name).within(&source.namespace);
        Ok(resources.get(&known).is_some() || self.cluster.resource_exists::<K>(source).await?)
    }
}

fn pause_until(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let pause = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
    // A little late is right on time: what has just ended must be over.
    pause.map_or(jittered(RESYNC), |pause| (pause + Duration::from_millis(20)).min(jittered(RESYNC)))
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
