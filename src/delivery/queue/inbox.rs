//! Flow 3: what waits for the next commit. One sync costs as much for a hundred messages as for one, so it is worth a moment
//! to let those in who are just about to come.

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicIsize,
            Ordering::{AcqRel, Release},
        },
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{batch::Batch, fault::Fault};

/// The most jobs in one commit.
const MOST_JOBS: usize = 1_024;
/// The most bytes in one commit, about, so that it fits into the memory of the database.
const MOST_BYTES: usize = 8 << 20;
/// A commit is put off by so many pauses at most, each an eighth of what a commit takes.
const PAUSES: u32 = 16;
/// Pauses in which nobody comes end it earlier, but not before so many: those who were just answered need a moment to come again.
const PATIENCE: u32 = 4;
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_micros(250);

/// Tells the one who waits, after the commit. Dropped instead, it tells that there was none.
pub(super) type Reply = Box<dyn FnOnce() + Send>;

/// What is done in a transaction.
pub(super) type Work = Box<dyn FnOnce(&mut Batch<'_>) -> Result<Reply, Fault> + Send>;

/// Something to do in the next transaction.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) bytes: usize,
    /// Its share of what may wait.
    pub(super) _room: OwnedSemaphorePermit,
}

/// What the thread that writes is told.
pub(super) enum Command {
    Do(Job),
    /// The database of that generation is no good.
    Broken(u64),
    Stop(oneshot::Sender<()>),
}

/// For how long arrivals are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// As many as may come at once: those who were just answered, and those who came meanwhile.
    expected: usize,
    /// Until the next look at who has come. To be woken by each would cost more than a commit less saves.
    pause: Duration,
}

impl Pace {
    /// After a commit that took so long, which `answered` jobs waited for and during which `arrived` came.
    pub(super) fn after(commit: Duration, answered: usize, arrived: usize) -> Self {
        Self { expected: answered + arrived, pause: (commit / 8).min(LONGEST_PAUSE) }
    }
}

/// Ends a pause when as many have come as were expected.
#[derive(Debug, Default)]
pub(super) struct Bell {
    missing: AtomicIsize,
    sleeper: OnceLock<Thread>,
}

impl Bell {
    /// Somebody has come.
    pub(super) fn came(&self) {
        if self.missing.fetch_sub(1, AcqRel) == 1
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.unpark();
        }
    }

    /// Waits until so many have come, or for that time. May return before: it is a pause, not a promise.
    fn pause(&self, missing: usize, time: Duration) {
        self.sleeper.get_or_init(thread::current);
        self.missing.store(missing.try_into().unwrap_or(isize::MAX), Release);
        thread::park_timeout(time);
        self.missing.store(0, Release);
    }
}

pub(super) struct Inbox {
    commands: Receiver<Command>,
    jobs: Vec<Job>,
    bytes: usize,
    pub(super) broken: Option<u64>,
    pub(super) stop: Option<oneshot::Sender<()>>,
    /// Nobody can send anything any more.
    ended: bool,
    bell: Arc<Bell>,
}

impl Inbox {
    pub(super) fn new(commands: Receiver<Command>, bell: Arc<Bell>) -> Self {
        Self { commands, jobs: Vec::new(), bytes: 0, broken: None, stop: None, ended: false, bell }
    }

    pub(super) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Whether the thread should end. What came before is done first.
    pub(super) fn is_over(&self) -> bool {
        self.jobs.is_empty() && self.is_ending()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ended || self.stop.is_some()
    }

    fn is_full(&self) -> bool {
        self.jobs.len() >= MOST_JOBS || self.bytes >= MOST_BYTES
    }

    /// Waits for a command. False: none came in that time.
    pub(super) fn wait(&mut self, time: Duration) -> bool {
        match self.commands.recv_timeout(time) {
            Ok(command) => self.take_in(command),
            Err(RecvTimeoutError::Disconnected) => self.ended = true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
        true
    }

    /// Takes in what is there.
    pub(super) fn drain(&mut self) {
        while !self.is_full() {
            match self.commands.try_recv() {
                Ok(command) => self.take_in(command),
                Err(TryRecvError::Disconnected) => return self.ended = true,
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    /// Lets those in who come at that pace.
    pub(super) fn gather(&mut self, pace: Pace) {
        self.drain();
        for pause in 0..PAUSES {
            let before = self.jobs.len();
            if before >= pace.expected || pace.pause.is_zero() || self.is_full() || self.is_ending() {
                return;
            }
            self.bell.pause(pace.expected - before, pace.pause);
            self.drain();
            if pause >= PATIENCE && self.jobs.len() == before {
                return;
            }
        }
    }

    pub(super) fn take(&mut self) -> Vec<Job> {
        self.bytes = 0;
        mem::take(&mut self.jobs)
    }

    fn take_in(&mut self, command: Command) {
        match command {
            Command::Do(job) => {
                self.bytes += job.bytes;
                self.jobs.push(job);
            }
            Command::Broken(generation) => self.broken = self.broken.max(Some(generation)),
            Command::Stop(reply) => self.stop = Some(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{atomic::Ordering::Acquire, mpsc};

    use tokio::sync::Semaphore;

    use super::*;

    fn job(bytes: usize) -> Command {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Command::Do(Job { work: Box::new(|_| Ok(Box::new(|| {}))), bytes, _room: room })
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_is_expected_is_waited_for() {
        let (sender, receiver) = mpsc::channel();
        let mut inbox = Inbox::new(receiver, Arc::default());
        sender.send(job(1)).unwrap();
        let late = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            (0..2).for_each(|_| sender.send(job(1)).unwrap());
            sender
        });
        inbox.gather(Pace { expected: 3, pause: Duration::from_millis(50) });
        assert_eq!(inbox.take().len(), 3);
        drop(late.join().unwrap());
    }

    #[test]
    fn the_last_who_is_expected_ends_the_wait() {
        let (sender, receiver) = mpsc::channel();
        let bell = Arc::<Bell>::default();
        let mut inbox = Inbox::new(receiver, bell.clone());
        sender.send(job(1)).unwrap();
        let late = thread::spawn(move || {
            for _ in 0..2 {
                // Before the pause nobody is missed yet: it would be an hour long.
                while bell.missing.load(Acquire) == 0 {
                    thread::yield_now();
                }
                sender.send(job(1)).unwrap();
                bell.came();
            }
            sender
        });
        inbox.gather(Pace { expected: 3, pause: SECOND * 3_600 });
        assert_eq!(inbox.take().len(), 3);
        drop(late.join().unwrap());
    }

    #[test]
    fn nobody_is_waited_for_whom_nothing_lets_expect() {
        let (sender, receiver) = mpsc::channel();
        let mut inbox = Inbox::new(receiver, Arc::default());
        sender.send(job(1)).unwrap();
        inbox.gather(Pace { expected: 1, pause: SECOND * 3_600 });
        inbox.gather(Pace { expected: 9, pause: Duration::ZERO });
        inbox.gather(Pace { expected: 9, pause: Duration::from_micros(1) });
        assert_eq!(inbox.take().len(), 1);
    }

    #[test]
    fn a_pause_is_a_part_of_what_a_commit_takes() {
        let pace = Pace::after(SECOND, 3, 4);
        assert_eq!(pace, Pace { expected: 7, pause: Duration::from_micros(250) });
        assert_eq!(Pace::after(Duration::from_millis(1), 3, 4).pause, Duration::from_micros(125));
    }

    #[test]
    fn a_commit_has_bounds() {
        let (sender, receiver) = mpsc::channel();
        let mut inbox = Inbox::new(receiver, Arc::default());
        (0..=MOST_JOBS).for_each(|_| sender.send(job(0)).unwrap());
        for expected in [MOST_JOBS, 1] {
            inbox.gather(Pace::default());
            assert_eq!(inbox.take().len(), expected);
        }
        (0..3).for_each(|_| sender.send(job(MOST_BYTES / 2)).unwrap());
        inbox.gather(Pace::default());
        assert_eq!(inbox.take().len(), 2);
    }

    #[test]
    fn it_ends_with_what_came_before() {
        let (sender, receiver) = mpsc::channel();
        let mut inbox = Inbox::new(receiver, Arc::default());
        sender.send(job(1)).unwrap();
        drop(sender);
        inbox.gather(Pace { expected: 9, pause: SECOND * 3_600 });
        assert!(inbox.is_ending() && !inbox.is_over());
        inbox.take();
        assert!(inbox.is_over());
    }
}
