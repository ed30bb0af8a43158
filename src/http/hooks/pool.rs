//! Flow 3: where expressions are evaluated: on threads of their own, few at once, and few of one endpoint.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::available_parallelism,
};

use tokio::{sync::Semaphore, task::spawn_blocking};

/// Evaluations of one endpoint at once: those of others need not wait for all of its.
const PER_ENDPOINT: usize = 2;
/// Endpoints without work are forgotten when there are more than this.
const KEPT: usize = 64;

/// Bounds the work on expressions.
#[derive(Debug)]
pub(super) struct Pool {
    all: Semaphore,
    endpoints: Mutex<HashMap<Box<str>, Weak<Semaphore>>>,
}

impl Default for Pool {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { all: Semaphore::new(cores.max(2)), endpoints: Mutex::default() }
    }
}

impl Pool {
    /// Runs `work` for the endpoint whose resource has this uid, when it is its turn. Nothing comes of work that panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        uid: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let own = self.of(uid);
        let _own = own.acquire().await.ok()?;
        let _all = self.all.acquire().await.ok()?;
        spawn_blocking(work).await.ok()
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
    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_nothing_and_gives_its_place_back() {
        let pool = Pool::default();
        for _ in 0..2 * PER_ENDPOINT {
            let failed = pool.run("uid", || -> u8 { panic!("meant") }).await;
            assert_eq!(failed, None);
        }
        assert_eq!(pool.run("uid", || 7).await, Some(7));
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
