//! Flow 3: where expressions are evaluated: on threads of their own, few at once, and few of one endpoint.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::available_parallelism,
};

use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// Evaluations of one endpoint at once: those of others need not wait for all of its.
const PER_ENDPOINT: usize = 2;
/// Endpoints without work are forgotten when there are more than this.
const KEPT: usize = 64;

/// Bounds the work on expressions.
#[derive(Debug)]
pub(super) struct Pool {
    all: Arc<Semaphore>,
    endpoints: Mutex<HashMap<Box<str>, Weak<Semaphore>>>,
}

impl Default for Pool {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { all: Arc::new(Semaphore::new(cores.max(2))), endpoints: Mutex::default() }
    }
}

impl Pool {
    /// Runs `work` for the endpoint whose resource has this uid, when it is its turn, which must come before `deadline`. The error
    /// says in a word why nothing came of it: it was not its turn in time, or it panicked.
    ///
    /// Given up while the work goes on, it keeps its place until that has ended: nobody gets more threads by going away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        uid: &str,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, &'static str> {
        let own = self.of(uid);
        let turn = async { (own.acquire_owned().await, self.all.clone().acquire_owned().await) };
        let turn = timeout_at(deadline, turn).await.map_err(|_| "busy")?;
        let work = move || {
            let _turn = turn;
            work()
        };
        spawn_blocking(work).await.map_err(|_| "fault")
    }

    fn of(&self, uid: &str) -> Arc<Semaphore> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = endpoints.get(uid).and_then(Weak::upgrade) {
            return semaphore;
        }
        if endpoints.len() >= KEPT {
            endpoints.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(PER_ENDPOINT));
        endpoints.insert(uid.into(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_nothing_and_gives_its_place_back() {
        let pool = Pool::default();
        for _ in 0..2 * PER_ENDPOINT {
            let failed = pool.run("uid", soon(), || -> u8 { panic!("meant") }).await;
            assert_eq!(failed, Err("fault"));
        }
        assert_eq!(pool.run("uid", soon(), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn who_goes_away_keeps_his_place_until_his_work_is_done_and_others_wait_for_a_bounded_time() {
        let pool = Pool::default();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        for _ in 0..PER_ENDPOINT {
            let ended = ended.clone();
            let work = pool.run("uid", soon(), move || ended.lock().unwrap().recv().is_err());
            assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err());
        }
        let soon_over = Instant::now() + Duration::from_millis(20);
        assert_eq!(pool.run("uid", soon_over, || 7).await, Err("busy"));
        drop(end);
        assert_eq!(pool.run("uid", soon(), || 7).await, Ok(7));
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[test]
    fn endpoints_without_work_are_forgotten() {
        let pool = Pool::default();
        let busy = pool.of("busy");
        for number in 0..3 * KEPT {
            drop(pool.of(&number.to_string()));
        }
        assert!(pool.endpoints.lock().unwrap().len() <= KEPT + 1);
        assert!(Arc::ptr_eq(&busy, &pool.of("busy")));
    }
}
