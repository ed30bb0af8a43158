//! Flow 3: what the thread that writes and those who read have in common.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use redb::Database;

use super::{
    changed::Changed,
    claims::Claims,
    database::guarded,
    fault::Fault,
    ledger::{Directory, Entry, publish},
};

/// Whether the queue works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Open,
    /// It does not, for that reason, and tries to.
    Closed(Arc<str>),
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Read to use it, written to replace it: who closes it waits for those who read.
    database: RwLock<Option<Database>>,
    /// Counts the databases that there have been, so that a fault of an earlier one does not end the present one.
    generation: AtomicU64,
    /// As committed.
    directory: RwLock<Directory>,
    /// Of each endpoint, the number before which all messages have ended, as far as somebody has looked.
    pub(super) passed: Mutex<HashMap<u32, u64>>,
    pub(super) claims: Arc<Claims>,
    pub(super) changed: Arc<Changed>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let changed = Arc::<Changed>::default();
        Self {
            database: RwLock::new(None),
            generation: AtomicU64::new(0),
            directory: RwLock::default(),
            passed: Mutex::default(),
            claims: Arc::new(Claims::new(changed.clone())),
            changed,
        }
    }

    /// Begins to use a database, which everybody may look through for what is due.
    pub(super) fn open(&self, database: Database, directory: Directory) {
        let queued = directory.iter().filter(|(_, entry)| entry.amounts.queued.messages > 0);
        let woken: Vec<u32> = queued.map(|(number, _)| number).collect();
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changed.note(woken);
    }

    /// Ends the use of the database, once nobody reads it.
    pub(super) fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // After a panic in it, even this may be one.
        let _ = guarded(|| drop(database));
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn with_database<T>(&self, use_: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        use_(guard.as_ref().ok_or(Fault::Closed)?)
    }

    pub(super) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what was committed.
    pub(super) fn publish(&self, changes: Vec<(u32, Option<Entry>)>, woken: impl IntoIterator<Item = u32>) {
        publish(&mut self.directory.write().unwrap_or_else(PoisonError::into_inner), changes);
        self.changed.note(woken);
    }
}
