//! Flow 1, step 4: the writes that make a difference, in the order that `build` gave them, through a [`World`].

use std::future::Future;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    consumer::Consumer,
    fetch::{Depth, ObjectVersion, Observed, StoredRecord},
    refusal::Reason,
    report::Note,
    route::{RouteWrite, RouteWrites},
    steps::{StatusOf, Steps},
};
use crate::crd::Kind;

/// Where resources are read from and results go to: a Kubernetes cluster, or a directory under `snaphook dev`.
pub trait World<K: Steps>: Send + Sync {
    /// Looks at everything that the verdict on a resource depends on.
    fn fetch(&self, resource: &K, depth: Depth) -> impl Future<Output = Result<Observed<K>, ApplyError>> + Send;
    /// The very resource as it is now, or [`ApplyError::Going`].
    fn read_again(&self, resource: &K) -> impl Future<Output = Result<K, ApplyError>> + Send;
    /// Makes deletion wait for [`World::delete_record`].
    fn add_finalizer(&self, resource: &K) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Lets a deletion go on.
    fn remove_finalizer(&self, resource: &K) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Makes a record that does not exist yet.
    fn create_record(&self, record: &K::Record) -> impl Future<Output = Result<ObjectVersion, ApplyError>> + Send;
    /// Changes a record that is still as it was seen.
    fn update_record(
        &self,
        record: &K::Record,
        seen: &ObjectVersion,
    ) -> impl Future<Output = Result<ObjectVersion, ApplyError>> + Send;
    /// Removes the record of this very resource from where it belonged before.
    fn leave_former_place(&self, resource: &K) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Removes the record of this very resource, if there is one.
    fn delete_record(&self, resource: &K) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Whether the Secret for an app would be taken, without making or changing it.
    fn try_consumer(
        &self,
        consumer: &Consumer,
        seen: Option<&Secret>,
    ) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Makes a Secret for an app that does not exist yet.
    fn create_consumer(&self, consumer: &Consumer) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Changes a Secret for an app that is still as it was seen. Returns whether anything had to change.
    fn update_consumer(
        &self,
        consumer: &Consumer,
        seen: &Secret,
    ) -> impl Future<Output = Result<bool, ApplyError>> + Send;
    /// Removes a Secret of ours that is still as it was seen.
    fn delete_consumer(&self, seen: &Secret) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Makes, changes or removes a route.
    fn write_route(&self, write: &RouteWrite) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Removes the routes that were made for this very resource, if there are any.
    fn delete_routes(&self, resource: &K) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Reports.
    fn write_status(&self, resource: &K, status: &StatusOf<K>) -> impl Future<Output = Result<(), ApplyError>> + Send;
    /// Tells people of a transition. A note that is lost harms nothing.
    fn publish(&self, resource: &K, note: &Note) -> impl Future<Output = ()> + Send;
}

/// What kept a write from being done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The object is not as it was seen; look again.
    #[error("{object} changed meanwhile")]
    Conflict {
        /// Which.
        object: String,
    },
    /// The resource or its namespace is going away: nothing is left to be done.
    #[error("{object} is being deleted")]
    Going {
        /// Which.
        object: String,
    },
    /// The API server refused it for a reason that a person must mend.
    #[error("{object} was refused by the API server: {message}")]
    Refused {
        /// Which.
        object: String,
        /// What the API server said about it, which never quotes data.
        message: String,
    },
    /// What it lies in cannot take it until a person mends that.
    #[error("{object} cannot be used: {message}")]
    Unusable {
        /// Which.
        object: String,
        /// Why, and the fix.
        message: String,
    },
    /// A route was refused, or who was asked about it did not answer. Nothing else waits for it.
    #[error("{object} could not be written: {message}")]
    RouteNotWritten {
        /// Which.
        object: String,
        /// Why, without the ids in its paths.
        message: String,
    },
    /// The API server could not be reached or could not answer.
    #[error("{object} could not be reached")]
    Unreachable {
        /// Which.
        object: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ApplyError {
    /// All that [`Self::reason`] may be.
    pub const REASONS: [&str; 6] = ["Conflict", "Going", "Refused", "Unusable", "RouteNotWritten", "Unreachable"];

    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::Going { .. } => "Going",
            Self::Refused { .. } => "Refused",
            Self::Unusable { .. } => "Unusable",
            Self::RouteNotWritten { .. } => "RouteNotWritten",
            Self::Unreachable { .. } => "Unreachable",
        }
    }

    /// What a person must mend, and has to be told.
    #[must_use]
    pub fn for_people(&self) -> Option<String> {
        matches!(self, Self::Refused { .. } | Self::Unusable { .. }).then(|| self.to_string())
    }

    /// The same for another who waited for the same write.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Conflict { object } => Self::Conflict { object: object.clone() },
            Self::Going { object } => Self::Going { object: object.clone() },
            Self::Refused { object, message } => Self::Refused { object: object.clone(), message: message.clone() },
            Self::Unusable { object, message } => Self::Unusable { object: object.clone(), message: message.clone() },
            Self::RouteNotWritten { object, message } => {
                Self::RouteNotWritten { object: object.clone(), message: message.clone() }
            }
            Self::Unreachable { object, source } => {
                Self::Unreachable { object: object.clone(), source: source.to_string().into() }
            }
        }
    }
}

/// Everything that one run wants done.
pub struct Plan<K: Steps> {
    /// The record and the Secret.
    pub writes: Writes<K>,
    /// The routes, after the Secret: none of them holds anything else back.
    pub routes: RouteWrites,
    /// The report when they are done.
    pub status: StatusOf<K>,
    /// The transitions.
    pub notes: Vec<Note>,
    /// When to look again.
    pub next: Option<Timestamp>,
    /// Rests on the absence of something that caches may not show.
    pub doubtful: bool,
}

/// What to do with the record and the Secret.
pub enum Writes<K: Steps> {
    /// Bring both to what the spec says.
    All(Box<Desired<K>>),
    /// Leave the Secret, and take from the spec only what takes something away.
    Restrict(Box<K::Record>),
    /// Remove the record: another has what it claims, and the server would serve neither.
    Withdraw,
    /// Leave both.
    Nothing,
}

/// What has to be written.
pub struct Desired<K: Steps> {
    /// First.
    pub record: K::Record,
    /// Second.
    pub consumer: Consumer,
    /// Third, where it differs from the first.
    pub settled: K::Record,
    /// Secrets of ours under former names, to be deleted.
    pub outdated_consumers: Vec<String>,
}

impl<K: Steps> Plan<K> {
    /// A refusal of something new may only mean that a cache has not seen enough.
    #[must_use]
    pub fn needs_no_closer_look(&self) -> bool {
        matches!(self.writes, Writes::All(_))
    }

    /// Whether carrying it out would write anything.
    #[must_use]
    pub fn writes_anything(&self, resource: &K, observed: &Observed<K>) -> bool {
        let stored = observed.record.as_ref().and_then(|stored| stored.document.as_ref());
        let moves = observed.record.as_ref().is_some_and(StoredRecord::moves);
        let record_differs = |record: &K::Record| moves || stored.is_none_or(|stored| K::differs(stored, record));
        let objects_differ = match &self.writes {
            Writes::All(desired) => {
                record_differs(&desired.record)
                    || record_differs(&desired.settled)
                    || !desired.outdated_consumers.is_empty()
                    || observed.consumer(&desired.consumer.name).is_none_or(|secret| {
                        desired.consumer.differs_from(secret) || desired.consumer.may_have_leftovers(secret)
                    })
                    || !has_finalizer(resource)
            }
            Writes::Restrict(record) => record_differs(record),
            Writes::Withdraw => stored.is_some(),
            Writes::Nothing => observed.record.as_ref().is_some_and(StoredRecord::is_mere_leftover),
        };
        objects_differ || !self.routes.writes.is_empty() || self.status_differs(resource)
    }

    fn status_differs(&self, resource: &K) -> bool {
        resource.status() != Some(&self.status)
    }

    /// Does the writes that make a difference.
    ///
    /// # Errors
    /// The first write that could not be done.
    pub async fn carry_out<W: World<K>>(
        self,
        world: &W,
        resource: &K,
        observed: &Observed<K>,
    ) -> Result<Option<Timestamp>, ApplyError> {
        match &self.writes {
            Writes::All(desired) => write_all(world, resource, observed, desired).await?,
            Writes::Restrict(record) => {
                write_record(world, observed.record.as_ref().map(Seen::of), record).await?;
                leave_former_place(world, resource, observed).await?;
            }
            Writes::Withdraw => world.delete_record(resource).await?,
            Writes::Nothing if observed.record.as_ref().is_some_and(StoredRecord::is_mere_leftover) => {
                world.leave_former_place(resource).await?;
            }
            Writes::Nothing => {}
        }
        let routed = self.write_routes(world).await;
        // What is new of a failure is told by the next run, which knows of it.
        let is_told = match &routed {
            Ok(()) => true,
            Err(ApplyError::RouteNotWritten { .. }) => self.routes.failing,
            Err(_) => false,
        };
        if is_told && self.status_differs(resource) {
            world.write_status(resource, &self.status).await?;
        }
        for note in &self.notes {
            world.publish(resource, note).await;
        }
        routed.map(|()| self.next)
    }

    async fn write_routes<W: World<K>>(&self, world: &W) -> Result<(), ApplyError> {
        for write in &self.routes.writes {
            world.write_route(write).await?;
        }
        Ok(())
    }
}

async fn write_all<K: Steps, W: World<K>>(
    world: &W,
    resource: &K,
    observed: &Observed<K>,
    desired: &Desired<K>,
) -> Result<(), ApplyError> {
    if !has_finalizer(resource) {
        world.add_finalizer(resource).await?;
    }
    // With a new secret the record changes at each try, though nobody will have that secret.
    if was_refused(resource) {
        world.try_consumer(&desired.consumer, present(observed, &desired.consumer)).await?;
    }
    let written = write_record(world, observed.record.as_ref().map(Seen::of), &desired.record).await?;
    write_consumer(world, observed, &desired.consumer).await?;
    write_record(world, Some(Seen { document: Some(&desired.record), version: Some(written) }), &desired.settled)
        .await?;
    for name in &desired.outdated_consumers {
        if let Some(secret) = observed.consumer(name) {
            world.delete_consumer(secret).await?;
        }
    }
    // Last, so that what an app still has from before works until it has something new.
    leave_former_place(world, resource, observed).await
}

async fn leave_former_place<K: Steps, W: World<K>>(
    world: &W,
    resource: &K,
    observed: &Observed<K>,
) -> Result<(), ApplyError> {
    let left_behind = observed.record.as_ref().is_some_and(|stored| stored.left_behind);
    if left_behind { world.leave_former_place(resource).await } else { Ok(()) }
}

/// A record as it is known to be stored.
struct Seen<'a, R> {
    document: Option<&'a R>,
    version: Option<ObjectVersion>,
}

impl<'a, R> Seen<'a, R> {
    fn of(stored: &'a StoredRecord<R>) -> Self {
        Self { document: stored.document.as_ref(), version: stored.version.clone() }
    }
}

async fn write_record<K: Steps, W: World<K>>(
    world: &W,
    seen: Option<Seen<'_, K::Record>>,
    wanted: &K::Record,
) -> Result<ObjectVersion, ApplyError> {
    match seen {
        None | Some(Seen { version: None, .. }) => world.create_record(wanted).await,
        Some(Seen { document: Some(document), version: Some(version) }) if !K::differs(document, wanted) => Ok(version),
        Some(Seen { version: Some(version), .. }) => world.update_record(wanted, &version).await,
    }
}

async fn write_consumer<K: Steps, W: World<K>>(
    world: &W,
    observed: &Observed<K>,
    wanted: &Consumer,
) -> Result<(), ApplyError> {
    match present(observed, wanted) {
        None => world.create_consumer(wanted).await,
        // Labels and annotations that are no longer wanted show only in the managed fields, which caches do not keep.
        Some(secret) => world.update_consumer(wanted, secret).await.map(drop),
    }
}

/// What lies under the name of a Secret for an app.
fn present<'a, K: Steps>(observed: &'a Observed<K>, wanted: &Consumer) -> Option<&'a Secret> {
    observed.consumer(&wanted.name).or(observed.foreign.as_ref())
}

/// Whether a write for the resource was last refused for good.
fn was_refused<K: Kind>(resource: &K) -> bool {
    resource.conditions().iter().any(|condition| condition.reason == Reason::WriteRefused.as_str())
}

/// The finalizer, which exists for the record alone.
pub const FINALIZER: &str = "snaphook.dev/record";

/// Whether deletion waits for us.
#[must_use]
pub fn has_finalizer(resource: &impl ResourceExt) -> bool {
    resource.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}
