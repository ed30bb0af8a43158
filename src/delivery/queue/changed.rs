//! Flow 3: which endpoints may have something new to deliver, for the one who waits for it.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

/// Numbers of endpoints: no more than there are, however often they change.
#[derive(Debug, Default)]
pub(super) struct Changed {
    numbers: Mutex<BTreeSet<u32>>,
    notify: Notify,
}

impl Changed {
    pub(super) fn note(&self, numbers: impl IntoIterator<Item = u32>) {
        let mut noted = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        noted.extend(numbers);
        if !noted.is_empty() {
            self.notify.notify_one();
        }
    }

    /// Waits until there are some. Given up, it loses none.
    pub(super) async fn take(&self) -> BTreeSet<u32> {
        loop {
            let numbers = mem::take(&mut *self.numbers.lock().unwrap_or_else(PoisonError::into_inner));
            if !numbers.is_empty() {
                return numbers;
            }
            self.notify.notified().await;
        }
    }
}
