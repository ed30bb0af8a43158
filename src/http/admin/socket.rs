//! Flow 3: the Unix socket of administration: whoever may open the file may do everything that is served there.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
        net::{SocketAddr, UnixStream},
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixSocket};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Connections that may wait: one operator seldom has two.
const BACKLOG: u32 = 64;

/// A socket that is listened on. Its file goes when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The operating system has little room for the paths of sockets.
    #[error("the path of the administration socket is too long: {path} (choose a shorter one with --admin-socket)")]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// Another process answers there.
    #[error("the administration socket {path} is in use by another process (choose another one with --admin-socket)")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// It would have to be removed, and is none of ours.
    #[error("{path} is there and is no socket: remove it, or choose another path with --admin-socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be made there.
    #[error("the administration socket {path} cannot be made (choose another path with --admin-socket)")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AdminSocket {
    /// Listens at a path, in place of a file that a process which was killed has left there. Directories that are missing are
    /// made, for the owner alone. Needs a runtime.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        if SocketAddr::from_pathname(path).is_err() {
            return Err(SocketError::TooLong { path: path.to_owned() });
        }
        let error = |source: io::Error| SocketError::Io { path: path.to_owned(), source };
        make_directory(path).map_err(error)?;
        clear(path)?;
        let socket = UnixSocket::new_stream().map_err(error)?;
        socket.bind(path).map_err(error)?;
        let file = SocketFile(path.to_owned());
        // Nobody can connect before `listen`, so nobody can before the mode is right either.
        fs::set_permissions(path, Permissions::from_mode(FILE_MODE)).map_err(error)?;
        let listener = socket.listen(BACKLOG).map_err(error)?;
        Ok(Self { listener, file })
    }

    pub(super) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

/// The name of a socket in the file system.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that stays is replaced by the next start.
        let _ = fs::remove_file(&self.0);
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), |parent| DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent))
}

/// Removes a socket that nobody listens on.
fn clear(path: &Path) -> Result<(), SocketError> {
    let error = |source: io::Error| SocketError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(()),
        Err(other) => return Err(error(other)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(error),
        Err(other) => Err(error(other)),
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as Blocking;

    use super::*;
    use crate::test_dir::TestDir;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_file_and_a_new_directory_are_for_the_owner_alone_and_the_file_goes_again() {
        let directory = TestDir::new();
        let path = directory.path().join("new/admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (FILE_MODE, DIRECTORY_MODE));
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_file_is_replaced_and_one_in_use_is_not() {
        let directory = TestDir::new();
        let path = directory.path().join("admin.sock");
        drop(Blocking::bind(&path).unwrap());
        assert!(path.exists(), "as after a kill");
        let first = AdminSocket::bind(&path).unwrap();
        let refused = AdminSocket::bind(&path).unwrap_err();
        assert!(matches!(refused, SocketError::InUse { .. }), "{refused}");
        assert!(UnixStream::connect(&path).is_ok(), "the first one is as it was");
        drop(first);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let directory = TestDir::new();
        let path = directory.path().join("admin.sock");
        fs::write(&path, "precious").unwrap();
        let refused = AdminSocket::bind(&path).unwrap_err();
        assert!(matches!(refused, SocketError::NotASocket { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_told() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        let refused = AdminSocket::bind(&path).unwrap_err();
        assert!(matches!(refused, SocketError::TooLong { .. }), "{refused}");
        assert!(refused.to_string().contains("--admin-socket"));
    }
}
