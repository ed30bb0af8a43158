//! Flow 3: the queue in a file of its own. Nothing but a volume is needed for it.
//!
//! One thread writes (`committer`), everybody else reads what it committed (`reading`).

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::spawn_blocking,
};

use super::{
    Answer, Archive, Arrival, Claimed, EndpointFigures, EnqueueError, Page, Pruned, Query, Queue, Quota, Recent,
    Settled, Settlement, Unavailable,
    batch::Batch,
    change::{Change, Step},
    committer::{self, Saving},
    disk::{Disk, OpenError, QueueFile},
    fault::Fault,
    inbox::{Bell, Command, Job, Reply},
    shared::{Health, Shared},
};
use crate::delivery::message::{Content, EndpointRef, Label, Message, MessageId, Phase};

/// KiB that may wait for a commit. Whoever comes then waits to be let in.
const ROOM: u32 = 64 << 10;
/// The most messages that one job releases or buries.
const STEP: usize = 256;

/// For how long, and how much of, what has ended is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For how long.
    pub age: Duration,
    /// Bytes on disk, about.
    pub bytes: u64,
}

impl Default for Retention {
    /// Three days, 1 GiB.
    fn default() -> Self {
        Self { age: Duration::from_hours(72), bytes: 1 << 30 }
    }
}

/// The queue in a file of its own.
///
/// # Guarantees
/// After a failed write or sync nothing is acknowledged until the file was closed, opened, and checked as a whole; that is
/// tried by itself for as long as it takes, and meanwhile everything answers [`Unavailable`].
///
/// # Caveats
/// One process a file. Dropped, it ends a moment later; [`Self::close`] waits for that. It answers for as long as the runtime runs that it
/// was opened in.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    health: watch::Receiver<Health>,
    commands: mpsc::Sender<Command>,
    bell: Arc<Bell>,
    room: Arc<Semaphore>,
    retention: Retention,
}

impl Embedded {
    /// Opens the queue in a directory of its own, or makes it there.
    ///
    /// # Errors
    /// Why that is not possible, without delay.
    pub async fn open(directory: &Path, retention: Retention) -> Result<Self, OpenError> {
        Self::open_on(QueueFile::new(directory), retention).await
    }

    /// Opens the queue on a disk of any sort.
    ///
    /// # Errors
    /// Why that is not possible.
    pub async fn open_on<D: Disk>(disk: D, retention: Retention) -> Result<Self, OpenError> {
        Self::open_saving(disk, retention, Saving::DEFAULT).await
    }

    pub(super) async fn open_saving<D: Disk>(disk: D, retention: Retention, saving: Saving) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new());
        let (commands, inbox) = mpsc::channel();
        let bell = Arc::<Bell>::default();
        let health = committer::start(disk, saving, shared.clone(), inbox, bell.clone()).await?;
        Ok(Self { shared, health, commands, bell, room: Arc::new(Semaphore::new(ROOM as usize)), retention })
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    #[cfg(test)]
    pub(super) fn commands(&self) -> &mpsc::Sender<Command> {
        &self.commands
    }

    /// Whether it works, now and from now on. The end of this is the end of the queue, which nothing but a bug or
    /// [`Self::close`] brings about.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Commits what waits, and waits until the file is closed; after that it opens without any reading of it.
    pub async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.commands.send(Command::Stop(sender)).is_ok() {
            // An error says that it was closed before.
            let _ = closed.await;
        }
    }

    /// Has something done in the next commit, and waits until it is on disk.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        size: Size,
        work: impl FnOnce(&mut Change<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.commit_then(size, |batch| work(batch.change()?), |_| ()).await
    }

    /// The same, and does `then` when it is on disk, even if nobody waits any more.
    async fn commit_then<T: Send + 'static>(
        &self,
        size: Size,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Unavailable> {
        let permits = u32::try_from(size.bytes / 1_024 + 1).unwrap_or(ROOM).min(ROOM);
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| Unavailable)?;
        let (sender, result) = oneshot::channel();
        let work = Box::new(move |batch: &mut Batch<'_>| {
            if size.droppable && sender.is_closed() {
                return Ok(Box::new(|| {}) as Reply);
            }
            let done = work(batch)?;
            let reply = move || {
                then(&done);
                drop(sender.send(done));
            };
            Ok(Box::new(reply) as Reply)
        });
        let job = Job { work, bytes: size.bytes, _room: room };
        self.commands.send(Command::Do(job)).map_err(|_| Unavailable)?;
        self.bell.came();
        result.await.map_err(|_| Unavailable)
    }

    /// Reads on a thread where blocking holds nobody up.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (shared, generation) = (self.shared.clone(), self.shared.generation());
        let fault = match spawn_blocking(move || work(&shared)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Fault::Closed)) => return Err(Unavailable),
            Ok(Err(fault)) => fault,
            Err(error) if error.is_panic() => Fault::Panic,
            Err(_) => return Err(Unavailable),
        };
        let cause = std::error::Error::source(&fault).map(tracing::field::display);
        tracing::error!(error = %fault, cause, "the queue cannot be read");
        let _ = self.commands.send(Command::Broken(generation));
        Err(Unavailable)
    }
}

/// What a job takes up.
pub(super) struct Size {
    bytes: usize,
    /// Pointless once nobody waits for it.
    droppable: bool,
}

pub(super) const SMALL: Size = Size { bytes: 0, droppable: false };

impl Queue for Embedded {
    fn enqueue(&self, arrival: Arrival) -> Answer<'_, Result<(), EnqueueError>> {
        let Arrival { endpoint, limits, messages, stored } = arrival;
        let bytes = messages.iter().map(|message| message.content.body().len()).sum();
        // Whoever gave up has no 2xx, and comes again: what he left would be delivered twice.
        let size = Size { bytes, droppable: true };
        let enqueue = move |batch: &mut Batch<'_>| batch.enqueue(&endpoint, &limits, messages);
        let then = |result: &Result<(), Quota>| {
            if result.is_ok() {
                stored.note();
            }
        };
        async move { self.commit_then(size, enqueue, then).await?.map_err(EnqueueError::Full) }.boxed()
    }

    fn changed(&self) -> Answer<'_, Vec<EndpointRef>> {
        async move {
            loop {
                let numbers = self.shared.changed.take().await;
                let directory = self.shared.directory();
                let endpoints = numbers.into_iter().filter_map(|number| directory.get(number));
                let endpoints: Vec<_> = endpoints.map(|entry| entry.endpoint.clone()).collect();
                drop(directory);
                if !endpoints.is_empty() {
                    return endpoints;
                }
            }
        }
        .boxed()
    }

    fn endpoints(&self) -> Answer<'_, Result<Vec<EndpointFigures>, Unavailable>> {
        self.read(Shared::figures).boxed()
    }

    fn next_due<'a>(&'a self, endpoint: &'a EndpointRef) -> Answer<'a, Result<Option<Timestamp>, Unavailable>> {
        let endpoint = endpoint.clone();
        self.read(move |shared| shared.next_due(&endpoint)).boxed()
    }

    fn claim<'a>(
        &'a self,
        endpoint: &'a EndpointRef,
        now: Timestamp,
        limit: usize,
    ) -> Answer<'a, Result<Vec<Claimed>, Unavailable>> {
        let endpoint = endpoint.clone();
        self.read(move |shared| shared.claim(&endpoint, now, limit)).boxed()
    }

    fn settle(&self, settlements: Vec<Settlement>, now: Timestamp) -> Answer<'_, Result<Vec<Settled>, Unavailable>> {
        let settle = move |change: &mut Change<'_>| {
            let mut claims = Vec::with_capacity(settlements.len());
            let settled = settlements.into_iter().map(|Settlement { claim, attempt, outcome }| {
                let ticket = claim.ticket();
                claims.push(claim);
                change.settle(ticket, attempt, outcome, now)
            });
            let settled = settled.collect::<Result<Vec<_>, Fault>>()?;
            // Claims end after the commit, or with its failure.
            Ok((settled, claims))
        };
        async move { Ok(self.commit(SMALL, settle).await?.0) }.boxed()
    }

    fn release<'a>(&'a self, endpoint: &'a EndpointRef) -> Answer<'a, Result<u64, Unavailable>> {
        self.in_steps(|| {
            let endpoint = endpoint.clone();
            move |change: &mut Change<'_>| change.release(&endpoint, STEP)
        })
        .boxed()
    }

    fn bury<'a>(
        &'a self,
        endpoint: &'a EndpointRef,
        reason: Label,
        now: Timestamp,
    ) -> Answer<'a, Result<u64, Unavailable>> {
        self.in_steps(move || {
            let (endpoint, reason) = (endpoint.clone(), reason.clone());
            move |change: &mut Change<'_>| change.bury(&endpoint, &reason, now, STEP)
        })
        .boxed()
    }

    fn prune(&self, now: Timestamp) -> Answer<'_, Result<Pruned, Unavailable>> {
        let retention = self.retention;
        async move {
            let (mut step, mut pruned) = (Step::Age(None), Pruned::default());
            while step != Step::Done {
                let work = move |change: &mut Change<'_>| {
                    let next = change.prune(step, retention, now, &mut pruned)?;
                    Ok((next, pruned))
                };
                (step, pruned) = self.commit(SMALL, work).await?;
            }
            Ok(pruned)
        }
        .boxed()
    }

    fn recent(&self, since: Timestamp, limit: usize) -> Answer<'_, Result<Vec<Recent>, Unavailable>> {
        self.read(move |shared| shared.recent(since, limit)).boxed()
    }
}

impl Embedded {
    /// Repeats a job until it finds nothing more to do, with a commit for each. Tells how much was done.
    async fn in_steps<J>(&self, job: impl Fn() -> J) -> Result<u64, Unavailable>
    where
        J: FnOnce(&mut Change<'_>) -> Result<usize, Fault> + Send + 'static,
    {
        let mut done = 0;
        loop {
            match self.commit(SMALL, job()).await? {
                0 => return Ok(done),
                some => done += some as u64,
            }
        }
    }
}

impl Archive for Embedded {
    fn list(&self, query: Query) -> Answer<'_, Result<Page, Unavailable>> {
        self.read(move |shared| shared.list(&query)).boxed()
    }

    fn find(&self, id: MessageId) -> Answer<'_, Result<Option<Message>, Unavailable>> {
        self.read(move |shared| shared.find(id)).boxed()
    }

    fn content(&self, id: MessageId) -> Answer<'_, Result<Option<Content>, Unavailable>> {
        self.read(move |shared| shared.content(id)).boxed()
    }

    fn replay(
        &self,
        id: MessageId,
        endpoint: EndpointRef,
        now: Timestamp,
    ) -> Answer<'_, Result<Option<Phase>, Unavailable>> {
        self.commit(SMALL, move |change| change.replay(id, &endpoint, now)).boxed()
    }

    fn discard(&self, id: MessageId) -> Answer<'_, Result<bool, Unavailable>> {
        self.commit(SMALL, move |change| change.discard(id)).boxed()
    }
}
