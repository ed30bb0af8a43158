//! Flow 2: one complete read of a directory of records, never a mixture of two generations.
//!
//! The kubelet replaces what it mounts as a whole: each visible name is a link to `..data/<name>`, `..data` is a link to
//! a directory with a time stamp for a name, and an update writes a new such directory, swaps the link and removes the
//! old one. Following the visible links one by one would read some files of the old and some of the new generation.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::task::JoinError;
use zeroize::Zeroizing;

use crate::record::{self, Kind};

/// The kubelet's link to the current generation.
const CURRENT: &str = "..data";
/// A read takes a fraction of the time that a writer needs for a swap; who loses this often reads something broken.
const ATTEMPTS: u32 = 100;

/// A record as it was read. It may hold a private key, so it is wiped when dropped.
pub(super) struct File {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// Why a directory could not be read completely.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the directory cannot be read")]
    Directory(#[source] io::Error),
    #[error("{} cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the directory changes faster than it can be read, or holds a link to nothing")]
    Restless,
    #[error("the read was ended")]
    Ended(#[from] JoinError),
}

/// Reads all records of one generation.
pub(super) fn read(path: &Path) -> Result<Vec<File>, ReadError> {
    (0..ATTEMPTS).find_map(|_| attempt(path).transpose()).unwrap_or(Err(ReadError::Restless))
}

/// Nothing if the directory changed meanwhile in a way that makes the read worthless.
fn attempt(path: &Path) -> Result<Option<Vec<File>>, ReadError> {
    let generation = current(path)?;
    let files = read_all(&generation.as_ref().map_or_else(|| path.to_owned(), |name| path.join(name)));
    // The old generation is removed file by file after a swap, so what was read from it may not be all of it.
    if current(path)? == generation { files } else { Ok(None) }
}

/// Where `..data` points to; nothing in a plain directory.
fn current(path: &Path) -> Result<Option<PathBuf>, ReadError> {
    match fs::read_link(path.join(CURRENT)) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReadError::Directory(error)),
    }
}

fn read_all(directory: &Path) -> Result<Option<Vec<File>>, ReadError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(ReadError::Directory)? {
        let name = entry.map_err(ReadError::Directory)?.file_name();
        let Some((name, kind)) = name.to_str().and_then(|name| Some((name, record::kind_of_file(name)?))) else {
            continue;
        };
        match read_file(&directory.join(name)) {
            Ok(Some(content)) => files.push(File { name: name.to_owned(), kind, content }),
            Ok(None) => {}
            // Removed, or replaced, since the directory was listed: the list is out of date.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReadError::File { path: directory.join(name), source }),
        }
    }
    Ok(Some(files))
}

/// Nothing if it is no regular file: opening a pipe would wait for ever.
fn read_file(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    fs::read(path).map(|content| Some(Zeroizing::new(content)))
}
