//! Flow 3: why the queue's file cannot be opened, in words that name the file and what to do.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use redb::{DatabaseError, StorageError};

/// Why the queue's file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the queue's file {path} is in use by another process: stop that one first, or give each server a directory of its own"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{path} is not a queue's file: move it away, or name another directory")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error(
        "the queue's file {path} is damaged ({detail}): restore it from a snapshot of its volume, or move it away to begin with an empty queue"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What redb says.
        detail: String,
    },
    /// Another version of Snaphook wrote it.
    #[error(
        "the queue's file {path} has version {found}, this program reads version {known}: run the program that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version of this program.
        known: u64,
    },
    /// It cannot be written to.
    #[error("the queue's file {path} is on a file system that is read-only: mount it writable")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no room for it.
    #[error("there is no room for the queue's file {path}: make its volume larger, or its quota")]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error(
        "the queue's file {path} may not be opened: its directory must belong to the user or the group (fsGroup) of this process"
    )]
    Forbidden {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The operating system refuses it.
    #[error("the queue's file {path} cannot be opened")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("the thread that writes the queue cannot be started")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// What an error of the operating system means for the file.
    #[must_use]
    pub fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            ErrorKind::PermissionDenied => Self::Forbidden { path, source },
            ErrorKind::InvalidData => Self::Foreign { path },
            ErrorKind::UnexpectedEof => Self::Damaged { path, detail: "it is cut off".to_owned() },
            _ => Self::Io { path, source },
        }
    }

    pub(in crate::delivery::queue) fn of_database(path: &Path, error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                Self::InUse { path: path.to_owned() }
            }
            DatabaseError::Storage(StorageError::Io(error)) => Self::of_io(path, error),
            other => Self::Damaged { path: path.to_owned(), detail: other.to_string() },
        }
    }

    pub(in crate::delivery::queue) fn of_error(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::of_io(path, error),
            other => Self::Damaged { path: path.to_owned(), detail: other.to_string() },
        }
    }
}
