//! Flow 1 without a cluster: Secrets for apps as a Pod sees them mounted: `<namespace>/<name>/<key>`.
//!
//! What a mounted Secret does not show (type, labels, annotations, owner) lies beside it, hidden: `<namespace>/.<name>.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource as _, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::{
    Key,
    layout::{found, private_dir, remove, write},
};
use crate::controller::{consumer::Consumer, secrets};

/// The directory of all Secrets.
#[derive(Debug)]
pub struct Mounts(PathBuf);

/// What is not among the mounted files.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hidden {
    type_: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owners: Vec<OwnerReference>,
    /// Keys that we wrote; others are somebody else's.
    keys: BTreeSet<String>,
}

impl Mounts {
    /// The Secrets under `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    /// Where a Secret lies.
    #[must_use]
    pub fn path(&self, namespace: &str, name: &str) -> PathBuf {
        self.0.join(namespace).join(name)
    }

    fn hidden_path(&self, namespace: &str, name: &str) -> PathBuf {
        self.0.join(namespace).join(format!(".{name}.json"))
    }

    /// Reads a Secret.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read(&self, namespace: &str, name: &str) -> io::Result<Option<Secret>> {
        let Some(data) = read_data(&self.path(namespace, name))? else { return Ok(None) };
        let hidden = self.hidden(namespace, name)?.unwrap_or_default();
        Ok(Some(Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some(hidden.labels),
                annotations: Some(hidden.annotations),
                owner_references: Some(hidden.owners),
                ..ObjectMeta::default()
            },
            type_: Some(hidden.type_).filter(|type_| !type_.is_empty()),
            data: Some(data),
            ..Secret::default()
        }))
    }

    /// Makes a Secret be as wanted. Returns whether anything changed; what others put there stays.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, wanted: &Consumer) -> io::Result<bool> {
        let (namespace, name) = (&wanted.source.namespace, &wanted.name);
        let former = self.hidden(namespace, name)?.unwrap_or_default();
        let directory = self.path(namespace, name);
        let present = read_data(&directory)?.unwrap_or_default();
        let secret = secrets::consumer(wanted);
        let hidden = Hidden {
            type_: wanted.type_.clone(),
            labels: wanted.labels.clone(),
            annotations: wanted.annotations.clone(),
            owners: secret.owner_references().to_vec(),
            keys: wanted.data.keys().cloned().collect(),
        };
        private_dir(&self.0.join(namespace))?;
        private_dir(&directory)?;
        // First: a directory without it would be taken for somebody else's Secret.
        let mut changed = self.write_hidden(namespace, name, &hidden)?;
        for (key, value) in wanted.data.iter().filter(|(key, value)| present.get(*key) != Some(value)) {
            write(&directory.join(key), &value.0)?;
            changed = true;
        }
        for key in former.keys.iter().filter(|key| present.contains_key(*key) && !wanted.data.contains_key(*key)) {
            remove(&directory.join(key))?;
            changed = true;
        }
        Ok(changed)
    }

    /// Removes a Secret.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&self, namespace: &str, name: &str) -> io::Result<()> {
        found(fs::remove_dir_all(self.path(namespace, name)))?;
        remove(&self.hidden_path(namespace, name))
    }

    /// Removes the Secrets whose owner is gone, as the garbage collector of a cluster does.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn collect_garbage(&self, owners: &BTreeSet<String>) -> io::Result<()> {
        for (namespace, name) in self.all()? {
            let hidden = self.hidden(&namespace, &name)?.unwrap_or_default();
            if !hidden.owners.is_empty() && !hidden.owners.iter().any(|owner| owners.contains(&owner.uid)) {
                self.remove(&namespace, &name)?;
            }
        }
        Ok(())
    }

    fn all(&self) -> io::Result<Vec<Key>> {
        let mut all = Vec::new();
        for namespace in entries(&self.0)? {
            for file in entries(&self.0.join(&namespace)).unwrap_or_default() {
                if let Some(name) = file.strip_prefix('.').and_then(|file| file.strip_suffix(".json")) {
                    all.push((namespace.clone(), name.to_owned()));
                }
            }
        }
        Ok(all)
    }

    fn hidden(&self, namespace: &str, name: &str) -> io::Result<Option<Hidden>> {
        let json = found(fs::read(self.hidden_path(namespace, name)))?;
        // One that was tampered with counts as lost: the Secret is then not ours.
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    fn write_hidden(&self, namespace: &str, name: &str, hidden: &Hidden) -> io::Result<bool> {
        let (path, json) = (self.hidden_path(namespace, name), serde_json::to_vec_pretty(hidden)?);
        if found(fs::read(&path))?.as_ref() == Some(&json) {
            return Ok(false);
        }
        write(&path, &json).map(|()| true)
    }
}

/// The files of a mounted Secret, as its data.
fn read_data(directory: &Path) -> io::Result<Option<BTreeMap<String, ByteString>>> {
    if found(fs::metadata(directory))?.is_none() {
        return Ok(None);
    }
    let mut data = BTreeMap::new();
    // Names that begin with two dots cannot be keys: they are files half written.
    for key in entries(directory)?.into_iter().filter(|key| !key.starts_with("..")) {
        let path = directory.join(&key);
        if found(fs::metadata(&path))?.is_some_and(|metadata| metadata.is_file())
            && let Some(value) = found(fs::read(&path))?
        {
            data.insert(key, ByteString(value));
        }
    }
    Ok(Some(data))
}

fn entries(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Whether a Secret is still as it was seen: files have no resource version.
#[must_use]
pub fn same(left: &Secret, right: &Secret) -> bool {
    left.data == right.data && left.meta().labels == right.meta().labels && left.name_any() == right.name_any()
}
