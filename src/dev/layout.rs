//! Flow 1 without a cluster: where state lies under DIR, who may read it, and that only one program writes it.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
        net::SocketAddr,
    },
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::{fs::OFlags, io::Errno};

use crate::random;

/// The directory for everything that `snaphook dev` keeps.
pub const STATE: &str = ".snaphook";
const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// An object in a cluster has at most 1.5 MiB.
const LONGEST_MANIFEST: u64 = 16 << 20;
/// In the state directory: what it is known again by.
const ID: &str = "id";
const NOT_REGULAR: &str = "it is no regular file";

/// The state of one DIR, locked for this process.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    _lock: File,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// There is no such directory.
    #[error("{} is not a directory that can be read", .0.display())]
    NoDirectory(PathBuf, #[source] io::Error),
    /// It is of unknown origin: a checkout may have brought it, with links that lead anywhere.
    #[error(
        "{} was not made by snaphook dev on this machine, so it is not used: look at what it holds, and delete it or move it away",
        .0.display()
    )]
    Foreign(PathBuf),
    /// There is nowhere to note which state is of this machine.
    #[error("neither XDG_STATE_HOME nor HOME is set: snaphook dev notes there which directories it has made")]
    NoNotes,
    /// Another process works here.
    #[error("another snaphook dev works on {}: end it first, or give this one a directory of its own", .0.display())]
    Busy(PathBuf),
    /// Nothing can be written here.
    #[error("the state cannot be kept in {}", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
}

impl Layout {
    /// Makes the directories that are missing, and locks them. `notes` is where it is noted which state was made here.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn open(directory: &Path, notes: &Path) -> Result<Self, LayoutError> {
        let directory =
            fs::canonicalize(directory).map_err(|error| LayoutError::NoDirectory(directory.to_owned(), error))?;
        if !directory.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(LayoutError::NoDirectory(directory, error));
        }
        let root = directory.join(STATE);
        let unwritable = |error| LayoutError::Unwritable(root.clone(), error);
        match found(fs::symlink_metadata(&root)).map_err(unwritable)? {
            Some(metadata) if metadata.is_dir() && is_noted(&root, notes) => {}
            Some(_) => return Err(LayoutError::Foreign(root)),
            None => make_noted(&root, notes).map_err(unwritable)?,
        }
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(PRIVATE_FILE).open(root.join("lock"));
        let lock = lock.map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LayoutError::Busy(directory)),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        let layout = Self { root: root.clone(), _lock: lock };
        for path in [layout.secrets(), layout.records(), layout.status(), layout.queue()] {
            private_dir(&path).map_err(unwritable)?;
        }
        // Secrets and keys must not reach a repository by accident.
        write(&root.join(".gitignore"), b"*\n").map_err(unwritable)?;
        Ok(layout)
    }

    /// Secrets for apps: `<namespace>/<name>/<key>`.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// Records, in the form that `--records dir:` reads.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.root.join("records")
    }

    /// What was posted and is not delivered yet.
    #[must_use]
    pub fn queue(&self) -> PathBuf {
        self.root.join("queue")
    }

    /// The socket of administration. The operating system has little room for the paths of sockets, so that under a long one it
    /// lies in the directory that the user's session has for such things; absent where there is none.
    #[must_use]
    pub fn admin_socket(&self) -> Option<PathBuf> {
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let elsewhere = runtime.map(|runtime| runtime.join(format!("snaphook-dev-{}.sock", std::process::id())));
        let fits = |path: &PathBuf| SocketAddr::from_pathname(path).is_ok();
        [Some(self.root.join("admin.sock")), elsewhere].into_iter().flatten().find(fits)
    }

    /// Resources with their status: `<namespace>/<kind>.<name>.yaml`.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.root.join("status")
    }
}

/// Where it is noted which state directories were made on this machine, by the user's convention
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>).
///
/// # Errors
/// [`LayoutError::NoNotes`].
pub fn notes() -> Result<PathBuf, LayoutError> {
    let path = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("snaphook/dev")).ok_or(LayoutError::NoNotes)
}

/// A state directory holds 256 random bits, and a file among the notes has their hash for a name. Who brings a directory does not know
/// them; one that is moved keeps them.
fn is_noted(root: &Path, notes: &Path) -> bool {
    read_manifest(&root.join(ID)).is_ok_and(|id| note(notes, &id).exists())
}

/// The directory appears with its id, or not at all.
fn make_noted(root: &Path, notes: &Path) -> io::Result<()> {
    let id = URL_SAFE_NO_PAD.encode(random::bytes::<32>());
    private_dir(notes)?;
    write(&note(notes, id.as_bytes()), b"")?;
    let begun = root.with_file_name(format!("{STATE}.{}", &id[..8]));
    private_dir(&begun)?;
    write(&begun.join(ID), id.as_bytes())?;
    fs::rename(&begun, root)
}

fn note(notes: &Path, id: &[u8]) -> PathBuf {
    notes.join(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, id)))
}

/// Makes a directory that only its owner may enter, or makes one so.
///
/// # Errors
/// Those of the file system.
pub fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(PRIVATE_DIR))
}

/// Replaces a file as a whole. The name that it has until then is no key, no record and no resource.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!("..{}.tmp", &name[..name.len().min(240)]));
    remove(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&temporary)?;
    file.write_all(content)?;
    drop(file);
    fs::rename(&temporary, path)
}

/// Reads a file of DIR. What is no regular file could keep the reader waiting for ever, and a link could lead anywhere.
///
/// # Errors
/// Those of the file system, and what kind of file it is instead.
pub fn read_manifest(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |why: &str| io::Error::other(why.to_owned());
    // Not to wait where it is a named pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let options = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).clone();
    let file = options.open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => refuse("it is a symbolic link: put the file itself there"),
        Some(Errno::NXIO) => refuse(NOT_REGULAR),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refuse(NOT_REGULAR));
    }
    if metadata.len() > LONGEST_MANIFEST {
        return Err(refuse("it is longer than 16 MiB: split it"));
    }
    let mut content = Vec::new();
    file.take(LONGEST_MANIFEST).read_to_end(&mut content)?;
    Ok(content)
}

/// Removes a file, if it is there.
///
/// # Errors
/// Those of the file system.
pub fn remove(path: &Path) -> io::Result<()> {
    found(fs::remove_file(path)).map(drop)
}

/// An object that is not there is an answer.
///
/// # Errors
/// Every other one.
pub fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn a_second_one_is_refused_while_the_first_is_there() {
        let (dir, notes) = (TestDir::new(), TestDir::new());
        let first = Layout::open(dir.path(), notes.path()).unwrap();
        assert!(matches!(Layout::open(dir.path(), notes.path()), Err(LayoutError::Busy(_))));
        drop(first);
        Layout::open(dir.path(), notes.path()).unwrap();
    }

    #[test]
    fn a_state_that_was_not_made_here_is_not_touched() {
        let (dir, notes, elsewhere) = (TestDir::new(), TestDir::new(), TestDir::new());
        let root = dir.path().join(STATE);
        let is_foreign = || matches!(Layout::open(dir.path(), notes.path()), Err(LayoutError::Foreign(_)));
        // As a checkout brings it.
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.join("secrets")).unwrap();
        assert!(is_foreign());
        fs::write(root.join(ID), "guessed").unwrap();
        assert!(is_foreign());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        fs::remove_dir_all(&root).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &root).unwrap();
        assert!(is_foreign());
        fs::remove_file(&root).unwrap();
        drop(Layout::open(dir.path(), notes.path()).unwrap());
        // Moved, it is the same.
        let moved = TestDir::new();
        fs::rename(&root, moved.path().join(STATE)).unwrap();
        drop(Layout::open(moved.path(), notes.path()).unwrap());
        assert!(
            matches!(Layout::open(moved.path(), elsewhere.path()), Err(LayoutError::Foreign(_))),
            "another machine"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing else is left");
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = TestDir::new();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), b"content").unwrap();
        assert_eq!(read_manifest(&path("file")).unwrap(), b"content");
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::from(0o600)).unwrap();
        std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        File::create(path("huge")).unwrap().set_len(LONGEST_MANIFEST + 1).unwrap();
        for (name, expected) in
            [("link", "symbolic link"), ("pipe", "no regular file"), ("socket", "no regular file"), ("huge", "16 MiB")]
        {
            let error = read_manifest(&path(name)).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
        assert!(found(read_manifest(&path("none"))).unwrap().is_none());
    }

    #[test]
    fn only_the_owner_may_look() {
        let (dir, notes) = (TestDir::new(), TestDir::new());
        let layout = Layout::open(dir.path(), notes.path()).unwrap();
        let file = layout.secrets().join("x");
        write(&file, b"1").unwrap();
        write(&file, b"2").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"2");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&layout.secrets()), mode(&layout.root)), (0o600, 0o700, 0o700));
        assert_eq!(fs::read_dir(layout.secrets()).unwrap().count(), 1);
    }
}
