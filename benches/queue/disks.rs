//! Disks whose syncs are counted, and take as long as they are told.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use redb::{StorageBackend, backends::FileBackend};
use snaphook::delivery::queue::{Disk, OpenError, QueueFile};

/// What a sync is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sync {
    Real,
    Takes(Duration),
    Nothing,
}

/// A file in a directory that is emptied first.
#[derive(Debug)]
pub(crate) struct Counted {
    file: QueueFile,
    sync: Sync,
    count: Arc<AtomicU64>,
}

impl Counted {
    pub(crate) fn new(directory: &Path, sync: Sync) -> Self {
        Self { file: QueueFile::new(&empty(directory)), sync, count: Arc::default() }
    }

    pub(crate) fn count(&self) -> Arc<AtomicU64> {
        self.count.clone()
    }
}

/// A directory of which nothing is left.
pub(crate) fn empty(directory: &Path) -> PathBuf {
    let _ = fs::remove_dir_all(directory);
    directory.to_owned()
}

impl Disk for Counted {
    type Backend = Backend;

    fn open(&mut self) -> Result<Backend, OpenError> {
        Ok(Backend { file: self.file.open()?, sync: self.sync, count: self.count() })
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}

#[derive(Debug)]
pub(crate) struct Backend {
    file: FileBackend,
    sync: Sync,
    count: Arc<AtomicU64>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        match self.sync {
            Sync::Real => self.file.sync_data(),
            Sync::Takes(time) => {
                thread::sleep(time);
                Ok(())
            }
            Sync::Nothing => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}
