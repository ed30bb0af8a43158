//! Flow 1 without a cluster: the driver: looks at everything on each change, and takes every resource through its steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::{sleep, timeout};

use super::{
    Key, Named,
    admission::{Admission, Admitted, Checkers},
    console::{Console, Shown},
    layout::{found, read_manifest},
    manifests::{CONFIG, Manifests},
    objects::{self, key},
    receiver::LocalReceiver,
    resources::{Of, Resources},
    world::Directory,
};
use crate::{
    config::{Config, ConfigError},
    controller::{
        apply::{ApplyError, World},
        cleanup::cleanup,
        report::Note,
        run::entropy,
        steps::{self, Steps},
    },
    crd::{AppCredential, Condition, Kind, Webhook, WebhookCredential, condition::ConditionStatus},
    file_watch::FileWatch,
    store::Store,
};

/// Files that nobody watches (a Secret that was deleted by hand, say) are looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A file that is being replaced may be gone or half there for a moment: that is no deletion.
const DELETION_PAUSE: Duration = Duration::from_millis(300);
/// How long the first words wait for the server to have read the first records.
const FIRST_READ: Duration = Duration::from_secs(5);

/// Everything that the driver works on.
pub struct Driver {
    world: Directory,
    checkers: Checkers,
    manifests: Manifests,
    admission: Admission,
    console: Console,
    configuration: Configuration,
    receiver: LocalReceiver,
    watch: FileWatch,
    /// Resources that no file declares any more, and since when.
    missing: BTreeMap<Named, Instant>,
}

/// What one look at everything comes to.
struct Look {
    now: Timestamp,
    /// Nothing was printed yet.
    first: bool,
    /// When something changes by itself.
    next: Option<Timestamp>,
    trouble: Option<String>,
}

/// The configuration in force, and the file that it is from. Of its fields, those that say where a controller works mean nothing here.
pub struct Configuration {
    path: PathBuf,
    /// Used where there is no file.
    laptop: Config,
    current: Config,
    complaint: Option<String>,
}

impl Configuration {
    /// Reads the file in `directory`, if there is one.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn open(directory: &Path, issuer: String) -> Result<Self, ConfigError> {
        let (path, laptop) = (directory.join(CONFIG), Config::laptop(issuer));
        let current = read(&path, &laptop)?;
        Ok(Self { path, laptop, current, complaint: None })
    }

    fn refresh(&mut self, console: &Console) {
        match read(&self.path, &self.laptop) {
            Ok(config) => {
                let was_broken = self.complaint.take().is_some();
                if was_broken || self.current != config {
                    self.current = config;
                    console.configuration(None);
                }
            }
            Err(error) => {
                let text = format!("{CONFIG}  {error}");
                if self.complaint.as_ref() != Some(&text) {
                    console.configuration(Some(&text));
                    self.complaint = Some(text);
                }
            }
        }
    }
}

fn read(path: &Path, laptop: &Config) -> Result<Config, ConfigError> {
    match found(read_manifest(path)).map_err(ConfigError::Read)? {
        Some(text) => {
            let text = String::from_utf8(text).map_err(|error| ConfigError::Read(io::Error::other(error)))?;
            let mut config = Config::parse(&text)?;
            // There is no Service and nobody who takes a route: without the one none is wanted.
            config.realm.service = None;
            Ok(config)
        }
        None => Ok(laptop.clone()),
    }
}

impl Driver {
    /// Looks at nothing yet, but misses no change from now on.
    #[must_use]
    pub fn new(
        directory: &Path,
        world: Directory,
        checkers: Checkers,
        configuration: Configuration,
        console: Console,
        receiver: LocalReceiver,
    ) -> Self {
        Self {
            world,
            checkers,
            manifests: Manifests::new(directory),
            admission: Admission::default(),
            console,
            configuration,
            receiver,
            watch: FileWatch::directories([directory], LOOK_AGAIN),
            missing: BTreeMap::new(),
        }
    }

    /// Works for as long as it is polled.
    pub async fn run(mut self, store: Arc<Store>) {
        self.collect_garbage();
        let mut pause = self.look(true).await;
        // What is printed can be pasted at once.
        let _ = timeout(FIRST_READ, served(&store)).await;
        self.console.greet(&self.world.resources);
        loop {
            tokio::select! { () = self.watch.changed() => {}, () = sleep(pause) => {} }
            pause = self.look(false).await;
        }
    }

    /// Brings everything to what the files say. Returns for how long nothing changes by itself.
    async fn look(&mut self, first: bool) -> Duration {
        let now = Timestamp::now();
        self.configuration.refresh(&self.console);
        let trouble = self.world.records.maintain_keys(&self.configuration.current, now).err();
        let mut look = Look { now, first, next: None, trouble: trouble.map(|error| chain(&error)) };
        match self.manifests.read() {
            Ok(()) => self.accept(now).await,
            Err(error) => look.trouble = Some(format!("the directory cannot be read: {error}")),
        }
        self.reconcile_all::<AppCredential>(&mut look).await;
        self.reconcile_all::<WebhookCredential>(&mut look).await;
        // Last: whether a credential is there shows in its record.
        self.reconcile_all::<Webhook>(&mut look).await;
        let webhooks: Vec<Webhook> = self.world.objects().iter().cloned().collect();
        self.console.receiver(self.receiver.follow_webhooks(&webhooks).await, !first);
        self.console.trouble(look.trouble);
        self.pause(look.next, now)
    }

    async fn reconcile_all<K: Steps + Shown>(&self, look: &mut Look)
    where
        Directory: World<K>,
        Resources: Of<K>,
    {
        let resources: Vec<K> = self.world.objects().iter().cloned().collect();
        for resource in resources {
            match self.reconcile(&resource, look).await {
                Ok(moment) => look.next = earliest(look.next, moment),
                Err(error) => look.trouble = Some(format!("{}: {}", resource.name_any(), chain(&error))),
            }
        }
    }

    /// Takes over what the files declare, and deletes what they no longer do.
    async fn accept(&mut self, now: Timestamp) {
        let admitted = self.admission.admit(&self.manifests, &self.checkers, &self.world.resources, now);
        let Admitted { app_credentials, webhooks, webhook_credentials, .. } = admitted;
        let Admitted { declared, named, broken, complaints, ignored, .. } = admitted;
        self.console.ignored(ignored);
        self.console.complaints(complaints);
        self.world.declare(declared);
        self.world.resources.accept(app_credentials);
        self.world.resources.accept(webhooks);
        self.world.resources.accept(webhook_credentials);
        self.delete_missing::<AppCredential>(&named, &broken).await;
        self.delete_missing::<WebhookCredential>(&named, &broken).await;
        self.delete_missing::<Webhook>(&named, &broken).await;
    }

    async fn delete_missing<K: Steps + Shown>(&mut self, named: &BTreeSet<Named>, broken: &BTreeSet<String>)
    where
        Directory: World<K>,
        Resources: Of<K>,
    {
        for resource in self.missing::<K>(named, broken) {
            self.delete(&resource).await;
        }
    }

    /// Resources that no file has declared for long enough.
    fn missing<K: Kind>(&mut self, named: &BTreeSet<Named>, broken: &BTreeSet<String>) -> Vec<K>
    where
        Resources: Of<K>,
    {
        let is_gone =
            |resource: &&K| !named.contains(&(K::KIND, key(*resource))) && !broken.contains(objects::file(*resource));
        let mut gone: Vec<K> = self.world.objects().iter().filter(is_gone).cloned().collect();
        let keys: BTreeSet<Key> = gone.iter().map(key).collect();
        self.missing.retain(|(kind, key), _| *kind != K::KIND || keys.contains(key));
        gone.retain(|resource| {
            let since = self.missing.entry((K::KIND, key(resource))).or_insert_with(Instant::now);
            since.elapsed() >= DELETION_PAUSE
        });
        gone
    }

    async fn delete<K: Steps + Shown>(&mut self, resource: &K)
    where
        Directory: World<K>,
        Resources: Of<K>,
    {
        // One that was never written to disk has no finalizer, and nothing to clean up.
        match cleanup(&self.world, resource).await {
            Ok(()) if self.forget(resource) => {
                self.collect_garbage();
                self.console.deleted(resource);
            }
            Ok(()) => {}
            Err(error) => self.console.trouble(Some(chain(&error))),
        }
    }

    /// Returns whether it could be forgotten.
    fn forget<K: Kind>(&mut self, resource: &K) -> bool
    where
        Resources: Of<K>,
    {
        let key = key(resource);
        let removed = self.world.objects::<K>().remove(&key);
        match removed {
            Ok(()) => self.missing.remove(&(K::KIND, key)).is_some(),
            Err(error) => {
                self.console.trouble(Some(error.to_string()));
                false
            }
        }
    }

    /// Secrets and records without a resource: a run that was killed may leave some.
    fn collect_garbage(&mut self) {
        let uids = self.world.resources.uids();
        let result = self.world.mounts.collect_garbage(&uids).and_then(|()| self.world.records.sweep(&uids));
        if let Err(error) = result {
            self.console.trouble(Some(format!("the state cannot be cleaned up: {error}")));
        }
    }

    async fn reconcile<K: Steps + Shown>(&self, resource: &K, look: &Look) -> Result<Option<Timestamp>, ApplyError>
    where
        Directory: World<K>,
        Resources: Of<K>,
    {
        let config = &self.configuration.current;
        let result = steps::reconcile(&self.world, resource, config, look.now, entropy).await;
        self.tell(resource, look.first);
        match result {
            // Somebody changed a file between the look and the write: look again at once.
            Err(ApplyError::Conflict { .. }) => Ok(Some(look.now)),
            Err(ApplyError::Going { .. }) => Ok(None),
            result => result,
        }
    }

    /// One line for each transition, and at least one for each change.
    fn tell<K: Shown>(&self, before: &K, first: bool)
    where
        Resources: Of<K>,
    {
        let notes = self.world.take_notes();
        let after = self.world.objects().get(&key(before)).cloned();
        let after = after.as_ref().unwrap_or(before);
        // At first everything is listed: who is there, and who is refused and why.
        let listed = |note: &Note| first && (note.reason == "Created" || !is_ready(after));
        for note in notes.iter().filter(|note| !listed(note)) {
            self.console.note(after, note);
        }
        if notes.is_empty() && !first && is_changed(before, after) {
            self.console.updated(after);
        }
    }

    fn pause(&self, next: Option<Timestamp>, now: Timestamp) -> Duration {
        // A little late is right on time: what has just ended must be over.
        let late = Duration::from_millis(20);
        let next = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default() + late);
        let deletion = self.missing.values().map(|since| DELETION_PAUSE.saturating_sub(since.elapsed())).min();
        next.into_iter().chain(deletion).fold(LOOK_AGAIN, Duration::min)
    }
}

fn ready<K: Kind>(resource: &K) -> Option<&Condition> {
    resource.conditions().iter().find(|condition| condition.type_ == "Ready")
}

fn is_ready<K: Kind>(resource: &K) -> bool {
    ready(resource).is_some_and(|ready| ready.status == ConditionStatus::True)
}

/// Another verdict, or the same one on another generation.
fn is_changed<K: Kind>(before: &K, after: &K) -> bool {
    let verdict = |resource| ready(resource).map(|ready| (ready.status, ready.message.clone()));
    let observed = ready(before).map(|ready| ready.observed_generation);
    verdict(before) != verdict(after) || observed != after.meta().generation
}

async fn served(store: &Store) {
    while store.age(Instant::now()).is_none() || store.load().keys.is_none() {
        sleep(Duration::from_millis(5)).await;
    }
}

fn earliest(left: Option<Timestamp>, right: Option<Timestamp>) -> Option<Timestamp> {
    left.into_iter().chain(right).min()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
