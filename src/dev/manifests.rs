//! Flow 1 without a cluster: the YAML files in DIR, as they are at one moment.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    layout,
    yaml::{self, Document, SyntaxError},
};

/// The operator's configuration, where there is one. Never a resource.
pub const CONFIG: &str = "snaphook-config.yaml";

/// The files of a directory; one that has not changed is not parsed again.
#[derive(Debug)]
pub struct Manifests {
    directory: PathBuf,
    files: BTreeMap<String, (Vec<u8>, Parsed)>,
}

/// The documents of a file, or why there are none.
pub type Parsed = Result<Vec<Document>, SyntaxError>;

impl Manifests {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), files: BTreeMap::new() }
    }

    /// Looks at the directory.
    ///
    /// # Errors
    /// The directory cannot be listed. A file that cannot be read is one of the files.
    pub fn read(&mut self) -> io::Result<()> {
        let mut files = BTreeMap::new();
        for name in names(&self.directory)? {
            let Some(content) = layout::found(layout::read_manifest(&self.directory.join(&name))).transpose() else {
                continue;
            };
            let former = self.files.remove(&name);
            let entry = match (content, former) {
                (Ok(content), Some(former)) if former.0 == content => former,
                (Ok(content), _) => {
                    let parsed = parse(&content);
                    (content, parsed)
                }
                (Err(error), _) => {
                    (Vec::new(), Err(SyntaxError { line: None, message: format!("cannot be read: {error}") }))
                }
            };
            files.insert(name, entry);
        }
        self.files = files;
        Ok(())
    }

    /// Every file, by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Parsed)> {
        self.files.iter().map(|(name, (_, parsed))| (name.as_str(), parsed))
    }

    /// A document of a file.
    #[must_use]
    pub fn document(&self, file: &str, index: usize) -> Option<&Document> {
        self.files.get(file)?.1.as_ref().ok()?.get(index)
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        // Hidden files are what editors leave behind.
        if is_yaml(&name) && !name.starts_with('.') && name != CONFIG {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_yaml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn parse(content: &[u8]) -> Parsed {
    let text = std::str::from_utf8(content).map_err(|error| {
        let before = String::from_utf8_lossy(&content[..error.valid_up_to()]).matches('\n').count();
        SyntaxError { line: u64::try_from(before + 1).ok(), message: "is not UTF-8".into() }
    })?;
    yaml::parse(text)
}
