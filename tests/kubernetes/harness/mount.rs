//! What a Pod sees of Secrets that it mounts. There is no kubelet here: this imitates how one writes a volume, in the same steps, so that whoever
//! reads it meets the same moments.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

/// One projected volume of Secrets, all of them optional.
pub(crate) struct Mount {
    pub(crate) path: PathBuf,
    secrets: Api<Secret>,
    names: Vec<String>,
    generation: AtomicU32,
}

impl Mount {
    /// Nothing is in it yet.
    pub(crate) fn new(path: PathBuf, secrets: Api<Secret>, names: Vec<String>) -> Self {
        fs::create_dir_all(&path).unwrap();
        Self { path, secrets, names, generation: AtomicU32::new(0) }
    }

    /// The kubelet comes by: one swap changes everything. Of one key in two Secrets the later counts.
    pub(crate) async fn sync(&self) {
        let mut files = BTreeMap::new();
        for name in &self.names {
            let found = self.secrets.get_opt(name).await.unwrap();
            files.extend(found.and_then(|secret| secret.data).unwrap_or_default());
        }
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let fresh = self.path.join(format!("..2026_01_01_00_00_00.{generation}"));
        fs::create_dir(&fresh).unwrap();
        for (name, content) in &files {
            fs::write(fresh.join(name), &content.0).unwrap();
        }
        let (current, next) = (self.path.join("..data"), self.path.join("..data_tmp"));
        let former = fs::read_link(&current).ok();
        symlink(fresh.file_name().unwrap(), &next).unwrap();
        fs::rename(next, &current).unwrap();
        self.show(&files.keys().map(String::as_str).collect::<Vec<_>>());
        if let Some(former) = former {
            fs::remove_dir_all(self.path.join(former)).unwrap();
        }
    }

    /// What the names in the directory itself lead to.
    fn show(&self, names: &[&str]) {
        for entry in fs::read_dir(&self.path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("..") && !names.contains(&name.as_str()) {
                fs::remove_file(self.path.join(name)).unwrap();
            }
        }
        for name in names {
            let visible = self.path.join(name);
            if fs::symlink_metadata(&visible).is_err() {
                symlink(Path::new("..data").join(name), visible).unwrap();
            }
        }
    }
}
