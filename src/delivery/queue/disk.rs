//! Flow 3: where the queue's database lies: a file in a directory of its own, or what tests and benches put in its place.

mod error;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use redb::{StorageBackend, backends::FileBackend};

pub use self::error::OpenError;

const FILE: &str = "queue.redb";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// With what each database begins. redb writes it last when it makes one.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

/// Where a database lies.
pub trait Disk: Send + 'static {
    /// The bytes.
    type Backend: StorageBackend;

    /// Opens it, or makes an empty one.
    ///
    /// # Errors
    /// Why it cannot be used.
    fn open(&mut self) -> Result<Self::Backend, OpenError>;

    /// Its name in errors and in the log.
    fn path(&self) -> &Path;

    /// Forgets what the operating system has in memory of it, so that the next read tells what is on disk.
    ///
    /// # Errors
    /// Those of the operating system.
    fn forget(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file `queue.redb` in a directory of its own. Nobody else may read either: messages are what customers sent.
#[derive(Clone, Debug)]
pub struct QueueFile {
    path: PathBuf,
}

impl QueueFile {
    /// The file in that directory. Both are made when they are not there.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(FILE) }
    }

    fn create(&self) -> io::Result<File> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        make_directory(directory)?;
        let existed = self.path.try_exists()?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&self.path)?;
        if existed {
            narrow(&self.path, &file.metadata()?.permissions(), FILE_MODE);
        } else {
            // Otherwise a power failure could take the name away from a file that is safe.
            File::open(directory)?.sync_all()?;
        }
        Ok(file)
    }
}

impl Disk for QueueFile {
    type Backend = FileBackend;

    fn open(&mut self) -> Result<FileBackend, OpenError> {
        let error = |error: io::Error| OpenError::of_io(&self.path, error);
        let file = self.create().map_err(error)?;
        // For as long as nobody knows whether this is somebody else's unfinished file. The database has locks of its own.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: self.path.clone() }),
            Err(TryLockError::Error(cause)) => return Err(error(cause)),
        }
        let lock = file.try_clone().map_err(error)?;
        let backend = FileBackend::new(file).map_err(|cause| OpenError::of_database(&self.path, cause))?;
        let cleared = clear_unfinished(&backend);
        lock.unlock().and(cleared).map_err(error)?;
        Ok(backend)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(target_os = "linux")]
    fn forget(&mut self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
    }
}

/// A new directory is ours alone, with all those above it that are missing; one that was there is narrowed if we may.
fn make_directory(directory: &Path) -> io::Result<()> {
    match fs::metadata(directory) {
        Ok(metadata) => {
            narrow(directory, &metadata.permissions(), DIRECTORY_MODE);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
            let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
            above.map_or(Ok(()), |above| File::open(above)?.sync_all())
        }
        Err(error) => Err(error),
    }
}

/// The root of a volume often belongs to somebody else; that is not worth a refusal.
fn narrow(path: &Path, permissions: &Permissions, mode: u32) {
    if permissions.mode() & 0o777 & !mode == 0 {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), %error, "others may read the queue: its mode cannot be changed");
    }
}

/// Empties a file that somebody began to make into a database and did not finish: nothing has ever been in it.
pub(super) fn clear_unfinished(backend: &impl StorageBackend) -> io::Result<()> {
    let length = backend.len()?;
    if length == 0 {
        return Ok(());
    }
    let mut start = [0; MAGIC.len()];
    let known = usize::try_from(length).unwrap_or(usize::MAX).min(start.len());
    backend.read(0, &mut start[..known])?;
    let unfinished = start != MAGIC && start.iter().zip(MAGIC).all(|(byte, magic)| *byte == 0 || *byte == magic);
    if unfinished { backend.set_len(0) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
