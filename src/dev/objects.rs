//! Flow 1 without a cluster: the resources as the API server would store them, with their status: `kubectl get -o yaml` as a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use kube::ResourceExt as _;

use super::{
    Key,
    layout::{private_dir, remove, write},
};
use crate::crd::Kind;

/// On a stored resource: the file in DIR that declares it, so that a broken file is not taken for a deletion.
const FILE_ANNOTATION: &str = "snaphook.dev/file";

/// The resources of one kind that were accepted and not deleted.
#[derive(Debug)]
pub struct Objects<K> {
    root: PathBuf,
    all: BTreeMap<Key, K>,
}

/// Why the stored resources cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The file system.
    #[error("{} cannot be read", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Not of the shape that this version writes.
    #[error(
        "{} does not hold a resource that this version reads: restore it, or delete it to begin anew (what was made for it ends)", .0.display()
    )]
    Unreadable(PathBuf),
}

/// The file that declares a resource.
#[must_use]
pub fn file<K: Kind>(resource: &K) -> &str {
    resource.annotations().get(FILE_ANNOTATION).map_or("", String::as_str)
}

/// Notes the file that declares a resource.
pub fn set_file<K: Kind>(resource: &mut K, file: &str) {
    resource.annotations_mut().insert(FILE_ANNOTATION.into(), file.into());
}

/// Namespace and name.
#[must_use]
pub fn key<K: Kind>(resource: &K) -> Key {
    (resource.namespace().unwrap_or_default(), resource.name_any())
}

impl<K: Kind> Objects<K> {
    /// Reads what an earlier run stored.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub fn open(root: &Path) -> Result<Self, ObjectsError> {
        let (mut all, prefix) = (BTreeMap::new(), prefix::<K>());
        for namespace in list(root)?.into_iter().filter(|path| path.is_dir()) {
            for path in list(&namespace)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with(&prefix) && name.ends_with(".yaml") {
                    let resource: K = read(&path)?;
                    all.insert(key(&resource), resource);
                }
            }
        }
        Ok(Self { root: root.to_owned(), all })
    }

    /// A resource.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&K> {
        self.all.get(key)
    }

    /// Every resource, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.all.values()
    }

    /// The uid of every resource.
    #[must_use]
    pub fn uids(&self) -> BTreeSet<String> {
        self.iter().filter_map(|resource| resource.meta().uid.clone()).collect()
    }

    /// Accepts a resource. It is stored with its first or next change: until then the file in DIR says it all.
    pub fn accept(&mut self, resource: K) {
        self.all.insert(key(&resource), resource);
    }

    /// Changes a resource, and stores it. Absent where it is another by now.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn change(&mut self, resource: &K, change: impl FnOnce(&mut K)) -> io::Result<Option<()>> {
        let (namespace, name) = key(resource);
        let Some(stored) = self.all.get_mut(&(namespace.clone(), name.clone())) else { return Ok(None) };
        if stored.meta().uid != resource.meta().uid {
            return Ok(None);
        }
        change(stored);
        // Through a value: YAML of each kind's own types would take longer to compile than the rest of this file.
        let value = serde_json::to_value(stored).map_err(io::Error::other)?;
        let yaml = serde_yaml::to_string(&value).map_err(io::Error::other)?;
        private_dir(&self.root.join(&namespace))?;
        write(&self.path(&namespace, &name), yaml.as_bytes())?;
        Ok(Some(()))
    }

    /// Forgets a resource.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&mut self, key: &Key) -> io::Result<()> {
        remove(&self.path(&key.0, &key.1))?;
        self.all.remove(key);
        Ok(())
    }

    fn path(&self, namespace: &str, name: &str) -> PathBuf {
        self.root.join(namespace).join(format!("{}{name}.yaml", prefix::<K>()))
    }
}

/// What the files of a kind begin with.
fn prefix<K: Kind>() -> String {
    format!("{}.", K::KIND.to_lowercase())
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, ObjectsError> {
    let error = |source| ObjectsError::Io(directory.to_owned(), source);
    let entries = fs::read_dir(directory).map_err(error)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(error)).collect()
}

fn read<K: Kind>(path: &Path) -> Result<K, ObjectsError> {
    let text = fs::read_to_string(path).map_err(|error| ObjectsError::Io(path.to_owned(), error))?;
    let unreadable = || ObjectsError::Unreadable(path.to_owned());
    let value: serde_json::Value = serde_yaml::from_str(&text).map_err(|_| unreadable())?;
    let resource: K = serde_json::from_value(value).map_err(|_| unreadable())?;
    if resource.meta().uid.is_none() || resource.namespace().is_none() {
        return Err(unreadable());
    }
    Ok(resource)
}
