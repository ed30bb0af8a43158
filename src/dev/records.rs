//! Flow 1 without a cluster: records as files in one directory, which the server follows.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::layout::{found, remove, write};
use crate::{
    config::Config,
    controller::{
        fetch::{ObjectVersion, StoredRecord},
        signing_keys,
    },
    record::{self, Document, Kind, SIGNING_KEYS_SECRET, SigningKeysRecord},
    token::{KeysError, generate},
};

/// The directory of all records.
#[derive(Debug)]
pub struct Records(PathBuf);

/// Why the signing keys could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum KeysUpdateError {
    /// The file system.
    #[error("the signing keys cannot be read or written")]
    Io(#[from] io::Error),
    /// No key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A file that this program cannot read. Replacing it would end every token, so a person decides.
    #[error("{} does not hold signing keys that this version reads: delete it to start with new ones (all tokens end)", .0.display())]
    Unreadable(PathBuf),
}

impl Records {
    /// The records in `directory`.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    fn path<R: Document>(&self, name: &str) -> PathBuf {
        self.0.join(record::file_name(R::KIND, name))
    }

    /// Reads the record of a resource; one that does not parse counts as lost.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read<R: Document>(&self, name: &str) -> io::Result<Option<StoredRecord<R>>> {
        let json = found(fs::read(self.path::<R>(name)))?;
        let stored = |json: Vec<u8>| {
            let (document, version) = (record::parse(&json).ok(), Some(version(&json)));
            StoredRecord { document, version, left_behind: false }
        };
        Ok(json.map(stored))
    }

    /// Writes the record of a resource, if the present one is still as it was seen. Absent where it was not.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write<R: Document>(
        &self,
        name: &str,
        document: &R,
        seen: Option<&ObjectVersion>,
    ) -> io::Result<Option<ObjectVersion>> {
        let present = self.read::<R>(name)?.and_then(|stored| stored.version);
        if present.as_ref() != seen {
            return Ok(None);
        }
        let json = serde_json::to_vec_pretty(document)?;
        write(&self.path::<R>(name), &json)?;
        Ok(Some(version(&json)))
    }

    /// Removes the record of a resource, if there is one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove<R: Document>(&self, name: &str) -> io::Result<()> {
        remove(&self.path::<R>(name))
    }

    /// Removes the records of resources that are gone: their state was deleted by hand.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sweep(&self, uids: &BTreeSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if is_of_resource(&path)
                && let Some(json) = found(fs::read(&path))?.map(Zeroizing::new)
                && record::source_of(&json).is_some_and(|source| !uids.contains(&source.uid))
            {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Makes, publishes and retires signing keys as the controller does.
    ///
    /// # Errors
    /// [`KeysUpdateError`].
    pub fn maintain_keys(&self, config: &Config, now: Timestamp) -> Result<(), KeysUpdateError> {
        let path = self.0.join(record::file_name(Kind::SigningKeys, SIGNING_KEYS_SECRET));
        let json = found(fs::read(&path))?.map(Zeroizing::new);
        let seen = match &json {
            None => None,
            Some(json) => {
                let document = record::parse::<SigningKeysRecord>(json);
                Some(document.map_err(|_| KeysUpdateError::Unreadable(path.clone()))?)
            }
        };
        let (issuer, algorithm) = (&config.realm.issuer, config.signing_keys.algorithm);
        let next = signing_keys::next_record(seen.as_ref(), issuer, config, now, || generate(algorithm))?;
        if let Some(document) = next {
            let json = Zeroizing::new(serde_json::to_vec_pretty(&document).map_err(io::Error::from)?);
            write(&path, &json)?;
        }
        Ok(())
    }
}

fn is_of_resource(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match record::kind_of_file(&name) {
        Some(Kind::Client | Kind::Endpoint | Kind::Injection) => true,
        Some(Kind::SigningKeys) | None => false,
    }
}

/// A file has no uid and no version; its content says as well whether it is still the one that was seen.
fn version(json: &[u8]) -> ObjectVersion {
    let digest = digest::digest(&digest::SHA256, json);
    ObjectVersion { uid: String::new(), resource_version: URL_SAFE_NO_PAD.encode(digest) }
}
