//! Flow 3: where expressions are evaluated: on threads of their own, few at once, and in an order that is fair by namespace, then by
//! endpoint. Whoever has many endpoints has no more turns for that.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
};

use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use crate::record::Source;

/// Evaluations of one endpoint at once.
const PER_ENDPOINT: usize = 2;

/// Bounds the work on expressions.
#[derive(Debug)]
pub(super) struct Pool(Arc<Mutex<Schedule>>);

impl Default for Pool {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::with_places(cores.max(2))
    }
}

impl Pool {
    fn with_places(places: usize) -> Self {
        let schedule = Schedule { free_places: places, arrivals: 0, turns: 0, namespaces: HashMap::new() };
        Self(Arc::new(Mutex::new(schedule)))
    }

    /// Runs `work` for an endpoint when it is its turn, which must come before `deadline`. The error says in a word why nothing came of
    /// it: it was not its turn in time, or it panicked.
    ///
    /// Given up while the work goes on, it keeps its place until that has ended: nobody gets more threads by going away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        source: &Source,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, &'static str> {
        let (grant, granted) = oneshot::channel();
        let owner = Owner { namespace: source.namespace.as_str().into(), uid: source.uid.as_str().into() };
        self.enqueue(&owner, grant);
        let Ok(Ok(turn)) = timeout_at(deadline, granted).await else { return Err("busy") };
        let work = move || {
            let _turn = turn;
            work()
        };
        spawn_blocking(work).await.map_err(|_| "fault")
    }

    fn enqueue(&self, owner: &Owner, grant: oneshot::Sender<Turn>) {
        let mut schedule = lock(&self.0);
        schedule.enqueue(owner, grant);
        schedule.grant_places(&self.0);
    }
}

/// Whose work it is.
#[derive(Clone, Debug)]
struct Owner {
    namespace: Box<str>,
    uid: Box<str>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
struct Turn {
    owner: Owner,
    /// Absent where nobody has taken it.
    schedule: Option<Arc<Mutex<Schedule>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(shared) = &self.schedule {
            let mut schedule = lock(shared);
            schedule.end(&self.owner);
            schedule.grant_places(shared);
        }
    }
}

/// Who runs and who waits.
#[derive(Debug)]
struct Schedule {
    free_places: usize,
    /// How many have come.
    arrivals: u64,
    /// How many turns there have been.
    turns: u64,
    /// Those with work that runs or waits.
    namespaces: HashMap<Box<str>, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    running: usize,
    last_turn: u64,
    endpoints: HashMap<Box<str>, Endpoint>,
}

#[derive(Debug, Default)]
struct Endpoint {
    running: usize,
    last_turn: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    arrival: u64,
    grant: oneshot::Sender<Turn>,
}

impl Namespace {
    /// When the one who waits longest has come, if anybody of it can run.
    fn first_arrival(&self) -> Option<u64> {
        self.endpoints.values().filter_map(Endpoint::first_arrival).min()
    }
}

impl Endpoint {
    fn first_arrival(&self) -> Option<u64> {
        self.waiting.front().filter(|_| self.running < PER_ENDPOINT).map(|first| first.arrival)
    }
}

impl Schedule {
    fn enqueue(&mut self, Owner { namespace, uid }: &Owner, grant: oneshot::Sender<Turn>) {
        self.arrivals += 1;
        let namespace = self.namespaces.entry(namespace.clone()).or_default();
        let endpoint = namespace.endpoints.entry(uid.clone()).or_default();
        endpoint.waiting.push_back(Waiting { arrival: self.arrivals, grant });
    }

    fn end(&mut self, owner: &Owner) {
        self.free_places += 1;
        let Some(namespace) = self.namespaces.get_mut(&owner.namespace) else { return };
        namespace.running -= 1;
        if let Some(endpoint) = namespace.endpoints.get_mut(&owner.uid) {
            endpoint.running -= 1;
        }
    }

    /// Gives free places to those whose turn it is.
    fn grant_places(&mut self, own: &Arc<Mutex<Self>>) {
        while self.free_places > 0 {
            let Some((owner, grant)) = self.next() else { break };
            self.begin(&owner);
            if let Err(mut turn) = grant.send(Turn { owner: owner.clone(), schedule: Some(own.clone()) }) {
                // Nobody waits any more. To give it back is left to this one, who has the lock.
                turn.schedule = None;
                self.end(&owner);
            }
        }
        self.namespaces.retain(|_, namespace| {
            namespace.endpoints.retain(|_, endpoint| endpoint.running > 0 || !endpoint.waiting.is_empty());
            !namespace.endpoints.is_empty()
        });
    }

    /// The first who waits of the endpoint that has the fewest places, of the namespace that has the fewest; where several have as few, of
    /// the one whose last turn is longest ago.
    fn next(&mut self) -> Option<(Owner, oneshot::Sender<Turn>)> {
        let ranked = self.namespaces.iter_mut().filter_map(|(name, namespace)| {
            let rank = (namespace.running, namespace.last_turn, namespace.first_arrival()?);
            Some((rank, name, namespace))
        });
        let (_, name, namespace) = ranked.min_by_key(|(rank, ..)| *rank)?;
        let ranked = namespace.endpoints.iter_mut().filter_map(|(uid, endpoint)| {
            let rank = (endpoint.running, endpoint.last_turn, endpoint.first_arrival()?);
            Some((rank, uid, endpoint))
        });
        let (_, uid, endpoint) = ranked.min_by_key(|(rank, ..)| *rank)?;
        let owner = Owner { namespace: name.clone(), uid: uid.clone() };
        endpoint.waiting.pop_front().map(|first| (owner, first.grant))
    }

    fn begin(&mut self, owner: &Owner) {
        self.free_places -= 1;
        self.turns += 1;
        let namespace = self.namespaces.entry(owner.namespace.clone()).or_default();
        (namespace.running, namespace.last_turn) = (namespace.running + 1, self.turns);
        let endpoint = namespace.endpoints.entry(owner.uid.clone()).or_default();
        (endpoint.running, endpoint.last_turn) = (endpoint.running + 1, self.turns);
    }
}

fn lock(schedule: &Mutex<Schedule>) -> MutexGuard<'_, Schedule> {
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    fn source(namespace: &str, uid: &str) -> Source {
        Source { kind: "Webhook".into(), namespace: namespace.into(), name: uid.into(), uid: uid.into() }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn work_that_panics_is_nothing_and_gives_its_place_back() {
        let (pool, source) = (Pool::default(), source("ns", "uid"));
        for _ in 0..2 * PER_ENDPOINT {
            let failed = pool.run(&source, soon(), || -> u8 { panic!("meant") }).await;
            assert_eq!(failed, Err("fault"));
        }
        assert_eq!(pool.run(&source, soon(), || 7).await, Ok(7));
        assert!(lock(&pool.0).namespaces.is_empty(), "who has no work is forgotten");
    }

    #[tokio::test]
    async fn who_goes_away_keeps_his_place_until_his_work_is_done_and_others_wait_for_a_bounded_time() {
        let (pool, source) = (Pool::default(), source("ns", "uid"));
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        for _ in 0..PER_ENDPOINT {
            let ended = ended.clone();
            let work = pool.run(&source, soon(), move || ended.lock().unwrap().recv().is_err());
            assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err());
        }
        let soon_over = Instant::now() + Duration::from_millis(20);
        assert_eq!(pool.run(&source, soon_over, || 7).await, Err("busy"));
        drop(end);
        assert_eq!(pool.run(&source, soon(), || 7).await, Ok(7));
    }

    /// In which order work is done that waits for one place, after some that holds it.
    async fn order(waiting: &[(&'static str, &'static str)]) -> Vec<&'static str> {
        let pool = Arc::new(Pool::with_places(1));
        let (end, ended) = mpsc::channel::<()>();
        let holds = pool.clone();
        let holder = tokio::spawn(async move { holds.run(&source("loud", "0"), soon(), move || ended.recv()).await });
        while lock(&pool.0).free_places > 0 {
            tokio::task::yield_now().await;
        }
        let (done, order) = mpsc::channel();
        let mut tasks = tokio::task::JoinSet::new();
        for (count, &(namespace, uid)) in waiting.iter().enumerate() {
            let (own, done) = (pool.clone(), done.clone());
            tasks.spawn(async move { own.run(&source(namespace, uid), soon(), move || done.send(uid).unwrap()).await });
            let waiting = |schedule: &Schedule| -> usize {
                let endpoints = schedule.namespaces.values().flat_map(|namespace| namespace.endpoints.values());
                endpoints.map(|endpoint| endpoint.waiting.len()).sum()
            };
            while waiting(&lock(&pool.0)) <= count {
                tokio::task::yield_now().await;
            }
        }
        drop(end);
        tasks.join_all().await;
        holder.await.unwrap().unwrap().unwrap_err();
        order.try_iter().collect()
    }

    #[tokio::test]
    async fn namespaces_take_turns_however_many_endpoints_they_have() {
        let loud = ["1", "2", "3", "4"].map(|uid| ("loud", uid));
        let waiting = [&loud[..], &[("quiet", "a"), ("quiet", "b")]].concat();
        assert_eq!(order(&waiting).await, ["a", "1", "b", "2", "3", "4"]);
    }

    #[tokio::test]
    async fn endpoints_of_a_namespace_take_turns_however_much_they_have_to_do() {
        let waiting = [("ns", "a"), ("ns", "a"), ("ns", "a"), ("ns", "b"), ("ns", "c")];
        assert_eq!(order(&waiting).await, ["a", "b", "c", "a", "a"]);
    }
}
