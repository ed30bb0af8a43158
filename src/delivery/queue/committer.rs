//! Flow 3: enqueue ▶ fsync ▶ 2xx: the one thread that writes. All that waits is one transaction, with one sync.

use std::{
    error::Error as _,
    io,
    sync::{Arc, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    batch::Batch,
    change::Effects,
    database::{self, Trust, guarded},
    disk::{Disk, OpenError},
    fault::Fault,
    inbox::{Bell, Command, Inbox, Job, Pace, Reply},
    ledger::Ledger,
    shared::{Health, Shared},
};

/// When the state of the file's pages is written too, so that a repair after a crash need not read the whole file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saving {
    /// With nothing to do for so long: it takes a second sync.
    pub(super) idle: Duration,
    /// From so many bytes of bodies on: below, a repair is quick without.
    pub(super) from: u64,
}

impl Saving {
    pub(super) const DEFAULT: Self = Self { idle: Duration::from_secs(1), from: 64 << 20 };
}

/// Delays between attempts to open the file again.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(10))
    .without_max_times();

pub(super) struct Committer<D> {
    disk: D,
    shared: Arc<Shared>,
    /// To [`answer`].
    answers: mpsc::UnboundedSender<Vec<Reply>>,
    /// Only this thread has it: its end is the queue's.
    health: watch::Sender<Health>,
    inbox: Inbox,
    ledger: Ledger,
    pace: Pace,
    /// How long to wait before the file is opened again. Begins anew with a commit: a disk that is full lets itself be opened.
    delays: ExponentialBackoff,
    saving: Saving,
    /// There were commits since the state of the pages was written.
    unsaved: bool,
}

/// Starts the thread, and waits until the file is open or is known not to open.
///
/// # Guarantees
/// A file that another process has open is an error at once.
pub(super) async fn start<D: Disk>(
    disk: D,
    saving: Saving,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    bell: Arc<Bell>,
) -> Result<watch::Receiver<Health>, OpenError> {
    let (sender, opened) = oneshot::channel();
    let (health, healthy) = watch::channel(Health::Closed("the queue is being opened".into()));
    let (inbox, ledger, pace) = (Inbox::new(commands, bell), Ledger::default(), Pace::default());
    let (delays, unsaved) = (BACKOFF.build(), false);
    let (answers, replies) = mpsc::unbounded_channel();
    tokio::spawn(answer(replies));
    let committer = Committer { disk, shared, answers, health, inbox, ledger, pace, delays, saving, unsaved };
    thread::Builder::new()
        .name("queue".to_owned())
        .spawn(move || committer.start(sender))
        .map_err(OpenError::Thread)?;
    opened.await.unwrap_or_else(|_| Err(OpenError::Thread(io::Error::other("it ended"))))?;
    Ok(healthy)
}

/// Answers in the order of the commits, from inside the runtime of those who wait: from the thread each would cost a system call.
async fn answer(mut answers: mpsc::UnboundedReceiver<Vec<Reply>>) {
    while let Some(replies) = answers.recv().await {
        for reply in replies {
            // A panic was reported, and must not take the others with it.
            let _ = guarded(reply);
        }
    }
}

impl<D: Disk> Committer<D> {
    fn start(mut self, opened: oneshot::Sender<Result<(), OpenError>>) {
        let result = self.open(Trust::Clean);
        let failed = result.is_err();
        let abandoned = opened.send(result).is_err();
        if !failed && !abandoned {
            self.run();
        }
        self.close("the queue has ended");
        // Only now the file is free, and all answers are on their way.
        if let Some(stop) = self.inbox.stop.take() {
            let _ = self.answers.send(vec![Box::new(move || {
                let _ = stop.send(());
            })]);
        }
    }

    fn run(&mut self) {
        while let Err(fault) = self.serve() {
            self.fail(fault);
            if !self.reopen() {
                return;
            }
        }
    }

    fn open(&mut self, trust: Trust) -> Result<(), OpenError> {
        let (database, ledger) = database::open(&mut self.disk, trust)?;
        self.shared.open(database, ledger.directory().clone());
        self.health.send_replace(Health::Open);
        self.ledger = ledger;
        self.pace = Pace::default();
        // A repair leaves nothing behind that would save the next one.
        self.unsaved = true;
        Ok(())
    }

    /// Works until it is told to stop.
    fn serve(&mut self) -> Result<(), Fault> {
        while !self.inbox.is_over() {
            if self.inbox.broken.take().is_some_and(|generation| generation == self.shared.generation()) {
                return Err(Fault::Reading);
            }
            if self.inbox.jobs() == 0 {
                if !self.inbox.wait(self.saving.idle) {
                    self.save()?;
                    self.pace = Pace::default();
                }
                continue;
            }
            self.inbox.gather(self.pace);
            let jobs = self.inbox.take();
            self.commit(jobs)?;
        }
        Ok(())
    }

    /// Does all jobs, and answers them when they are on disk. An error drops the answers, which says that they may not be.
    fn commit(&mut self, jobs: Vec<Job>) -> Result<(), Fault> {
        let (started, count) = (Instant::now(), jobs.len());
        let (replies, effects) = guarded(|| self.write(jobs)).unwrap_or(Err(Fault::Panic))?;
        if let Some(Effects { endpoints, woken }) = effects {
            self.shared.publish(endpoints, woken);
            self.unsaved = true;
            self.delays = BACKOFF.build();
        }
        self.inbox.drain();
        self.pace = Pace::after(started.elapsed(), count, self.inbox.jobs());
        let _ = self.answers.send(replies);
        Ok(())
    }

    fn write(&mut self, jobs: Vec<Job>) -> Result<(Vec<Reply>, Option<Effects>), Fault> {
        let ledger = &mut self.ledger;
        self.shared.with_database(|database| {
            // With one sync, which redb's default is: checksums tell a commit that is complete from one that is not.
            let transaction = database.begin_write()?;
            let mut batch = Batch::begin(&transaction, ledger)?;
            let replies = jobs.into_iter().map(|job| (job.work)(&mut batch));
            let replies = replies.collect::<Result<Vec<_>, Fault>>()?;
            let effects = batch.finish()?;
            // A full queue refuses posts without a sync for each.
            match effects {
                Some(_) => transaction.commit()?,
                None => transaction.abort()?,
            }
            Ok((replies, effects))
        })
    }

    /// Writes which pages of the file are in use, while nobody waits. A crash from here on needs no reading of the whole file.
    fn save(&mut self) -> Result<(), Fault> {
        let total = self.ledger.total();
        let bytes = total.queued.bytes + total.dead_letters.bytes + total.delivered.bytes;
        if !self.unsaved || bytes < self.saving.from {
            return Ok(());
        }
        let save = || {
            self.shared.with_database(|database| {
                let mut transaction = database.begin_write()?;
                transaction.set_quick_repair(true);
                Ok(transaction.commit()?)
            })
        };
        guarded(save).unwrap_or(Err(Fault::Panic))?;
        self.unsaved = false;
        Ok(())
    }

    /// A sync that failed is never repeated: the operating system may have thrown away what it could not write, and say so once.
    fn fail(&mut self, fault: Fault) {
        let path = self.disk.path().to_owned();
        let error = match fault {
            Fault::Database(error) => OpenError::of_error(&path, *error),
            other => OpenError::Damaged { path, detail: other.to_string() },
        };
        let cause = error.source().map(tracing::field::display);
        tracing::error!(%error, cause, "the queue stores nothing until its file is open again");
        self.close(&error.to_string());
    }

    fn close(&self, reason: &str) {
        self.health.send_replace(Health::Closed(reason.into()));
        self.shared.close();
    }

    /// Opens the file again, however long that takes. False: asked to stop meanwhile.
    fn reopen(&mut self) -> bool {
        loop {
            let delay = self.delays.next().unwrap_or(Duration::from_secs(10));
            self.refuse(delay);
            if self.inbox.is_ending() {
                return false;
            }
            // What was not written may still be read, until it is forgotten: a commit must not build on that.
            if let Err(error) = self.disk.forget() {
                tracing::debug!(%error, "the cache of the queue's file cannot be emptied");
            }
            match self.open(Trust::Verified) {
                Ok(()) => {
                    tracing::info!(path = %self.disk.path().display(), "the queue is open again");
                    return true;
                }
                Err(error) => {
                    let cause = error.source().map(tracing::field::display);
                    tracing::warn!(%error, cause, "the queue is still closed");
                    self.close(&error.to_string());
                }
            }
        }
    }

    /// Lets nobody wait for a file that is closed.
    fn refuse(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.inbox.drain();
            drop(self.inbox.take());
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.inbox.is_ending() || !self.inbox.wait(left) {
                return;
            }
        }
    }
}
