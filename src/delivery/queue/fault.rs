//! Flow 3: what ends the use of an open file. Nothing of this is tried again: the file is closed, and opened anew.

use super::encoding::Damaged;

/// Why the open file can be used no longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Reading, writing or syncing failed.
    #[error("the queue's file cannot be used any longer")]
    Database(#[source] Box<redb::Error>),
    /// What was read makes no sense.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The library gave up, as it does on some damage.
    #[error("the database gave up on the queue's file")]
    Panic,
    /// Somebody who read met one of the others.
    #[error("the queue's file cannot be read")]
    Reading,
    /// The file was closed, by a fault that is told of elsewhere.
    #[error("the queue's file is closed")]
    Closed,
}

macro_rules! from {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        })*
    };
}

from!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::CursorError);
