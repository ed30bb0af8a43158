//! Flow 1 without a cluster: the driver: looks at everything on each change, and takes every resource through its steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use tokio::time::{sleep, timeout};

use super::{
    Key,
    admission::{Admission, Admitted},
    console::Console,
    layout::found,
    manifests::{CONFIG, Manifests},
    objects::{self, key},
    world::Directory,
};
use crate::{
    config::{Config, ConfigError},
    controller::{apply::ApplyError, cleanup::cleanup, report::Note, run::entropy, steps},
    crd::{AppCredential, Condition, DeletionPolicy, check::Checker, condition::ConditionStatus},
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
    checker: Checker,
    manifests: Manifests,
    admission: Admission,
    console: Console,
    configuration: Configuration,
    watch: FileWatch,
    /// Resources that no file declares any more, and since when.
    missing: BTreeMap<Key, Instant>,
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
    match found(fs::read_to_string(path)).map_err(ConfigError::Read)? {
        Some(text) => Config::parse(&text),
        None => Ok(laptop.clone()),
    }
}

impl Driver {
    /// Looks at nothing yet, but misses no change from now on.
    #[must_use]
    pub fn new(
        directory: &Path,
        world: Directory,
        checker: Checker,
        configuration: Configuration,
        console: Console,
    ) -> Self {
        Self {
            world,
            checker,
            manifests: Manifests::new(directory),
            admission: Admission::default(),
            console,
            configuration,
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
        self.console.greet(self.world.objects().iter());
        loop {
            tokio::select! { () = self.watch.changed() => {}, () = sleep(pause) => {} }
            pause = self.look(false).await;
        }
    }

    /// Brings everything to what the files say. Returns for how long nothing changes by itself.
    async fn look(&mut self, first: bool) -> Duration {
        let now = Timestamp::now();
        self.configuration.refresh(&self.console);
        let mut trouble =
            self.world.records.maintain_keys(&self.configuration.current, now).err().map(|error| chain(&error));
        match self.manifests.read() {
            Ok(()) => self.accept(now).await,
            Err(error) => trouble = Some(format!("the directory cannot be read: {error}")),
        }
        let mut next = None;
        let resources: Vec<AppCredential> = self.world.objects().iter().cloned().collect();
        for resource in resources {
            match self.reconcile(&resource, now, first).await {
                Ok(moment) => next = earliest(next, moment),
                Err(error) => trouble = Some(format!("{}: {}", resource.name_any(), chain(&error))),
            }
        }
        self.console.trouble(trouble);
        self.pause(next, now)
    }

    /// Takes over what the files declare, and deletes what they no longer do.
    async fn accept(&mut self, now: Timestamp) {
        let Admitted { resources, declared, named, broken, complaints, ignored } = {
            let objects = self.world.objects();
            self.admission.admit(&self.manifests, &self.checker, &objects, now)
        };
        self.console.ignored(ignored);
        self.console.complaints(complaints);
        self.world.declare(declared);
        for resource in resources {
            self.world.objects().accept(resource);
        }
        self.delete_missing(&named, &broken).await;
    }

    async fn delete_missing(&mut self, named: &BTreeSet<Key>, broken: &BTreeSet<String>) {
        let gone: Vec<AppCredential> = {
            let objects = self.world.objects();
            let is_gone = |resource: &&AppCredential| {
                !named.contains(&key(resource)) && !broken.contains(objects::file(resource))
            };
            objects.iter().filter(is_gone).cloned().collect()
        };
        let keys: BTreeSet<Key> = gone.iter().map(key).collect();
        self.missing.retain(|key, _| keys.contains(key));
        for resource in gone {
            let since = *self.missing.entry(key(&resource)).or_insert_with(Instant::now);
            if since.elapsed() >= DELETION_PAUSE {
                self.delete(&resource).await;
            }
        }
    }

    async fn delete(&mut self, resource: &AppCredential) {
        // One that was never written to disk has no finalizer, and nothing to clean up.
        let result = match cleanup(&self.world, resource).await {
            Ok(()) => self.world.objects().remove(&key(resource)).map_err(|error| error.to_string()),
            Err(error) => Err(chain(&error)),
        };
        match result {
            Ok(()) => {
                self.missing.remove(&key(resource));
                let stays = resource.spec.deletion_policy == Some(DeletionPolicy::Retain);
                self.collect_garbage();
                self.console.deleted(resource, stays);
            }
            Err(error) => self.console.trouble(Some(error)),
        }
    }

    /// Secrets and records without a resource: a run that was killed may leave some.
    fn collect_garbage(&mut self) {
        let uids = self.world.objects().uids();
        let result = self.world.mounts.collect_garbage(&uids).and_then(|()| self.world.records.sweep(&uids));
        if let Err(error) = result {
            self.console.trouble(Some(format!("the state cannot be cleaned up: {error}")));
        }
    }

    async fn reconcile(
        &self,
        resource: &AppCredential,
        now: Timestamp,
        first: bool,
    ) -> Result<Option<Timestamp>, ApplyError> {
        let config = &self.configuration.current;
        let result = steps::reconcile(&self.world, resource, config, now, entropy).await;
        self.tell(resource, first);
        match result {
            // Somebody changed a file between the look and the write: look again at once.
            Err(ApplyError::Conflict { .. }) => Ok(Some(now)),
            Err(ApplyError::Going { .. }) => Ok(None),
            result => result,
        }
    }

    /// One line for each transition, and at least one for each change.
    fn tell(&self, before: &AppCredential, first: bool) {
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

fn ready(resource: &AppCredential) -> Option<&Condition> {
    resource.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == "Ready")
}

fn is_ready(resource: &AppCredential) -> bool {
    ready(resource).is_some_and(|ready| ready.status == ConditionStatus::True)
}

/// Another verdict, or the same one on another generation.
fn is_changed(before: &AppCredential, after: &AppCredential) -> bool {
    let verdict = |resource| ready(resource).map(|ready| (ready.status, ready.message.clone()));
    let observed = before.status.as_ref().and_then(|status| status.observed_generation);
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
