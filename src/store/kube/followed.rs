//! Flow 2: what one or several followers have heard, and the one snapshot that is made of it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::store::{Records, Store};

/// What all followers of one store share.
pub(super) struct Followed {
    store: Arc<Store>,
    heard: Mutex<Heard>,
}

struct Heard {
    records: Records,
    /// When the API server last proved itself to each follower. Absent before its first list.
    proofs: Vec<Option<Instant>>,
    /// How many hear nothing.
    failing: usize,
}

impl Followed {
    pub(super) fn new(records: Records, store: Arc<Store>, followers: usize) -> Self {
        let heard = Heard { records, proofs: vec![None; followers], failing: 0 };
        Self { store, heard: Mutex::new(heard) }
    }

    /// Takes something over; nothing is published before it is [proved](Self::prove).
    pub(super) fn take_over(&self, change: impl FnOnce(&mut Records)) {
        change(&mut self.lock().records);
    }

    /// The API server said something to a follower at `received`, and it was taken over. Who heard least tells how fresh everything is.
    pub(super) fn prove(&self, follower: usize, received: Instant) {
        let heard = &mut *self.lock();
        if let Some(proof) = heard.proofs.get_mut(follower) {
            *proof = Some(received);
        }
        let oldest = heard.proofs.iter().copied().collect::<Option<Vec<_>>>();
        if let Some(oldest) = oldest.and_then(|proofs| proofs.into_iter().min()) {
            crate::store::publish(&mut heard.records, &self.store, oldest);
        }
    }

    /// A follower hears nothing any more. Whether all did until now.
    pub(super) fn failed(&self) -> bool {
        let mut heard = self.lock();
        heard.failing += 1;
        heard.failing == 1
    }

    /// A follower that had failed hears something again.
    pub(super) fn recovered(&self) {
        let mut heard = self.lock();
        heard.failing -= 1;
        if heard.failing == 0 {
            tracing::info!("the API server tells of records again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Needs;

    #[test]
    fn nothing_is_fresher_than_what_was_heard_of_least() {
        let (store, now) = (Arc::new(Store::default()), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let followed = Followed::new(Records::of_bundles(Needs::Everything), store.clone(), 2);
        followed.prove(0, at(5));
        assert_eq!(store.age(at(9)), None, "the other has listed nothing yet");
        followed.prove(1, at(3));
        assert_eq!(store.age(at(9)), Some(Duration::from_secs(6)));
        followed.prove(1, at(8));
        assert_eq!(store.age(at(9)), Some(Duration::from_secs(4)));
    }

    #[test]
    fn one_word_is_enough_for_failures_at_the_same_time() {
        let followed = Followed::new(Records::new(Needs::Everything), Arc::default(), 2);
        assert!(followed.failed());
        assert!(!followed.failed());
        followed.recovered();
        followed.recovered();
        assert!(followed.failed());
    }
}
