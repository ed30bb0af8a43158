//! A temporary directory that goes when the last process which uses it has gone, however that came about.

use std::fs::DirBuilder;
use std::io::{self, PipeWriter};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use crate::identity;
use crate::supervise::sh;

/// Waits until every holder of the pipe has ended. A process may still be writing while it dies, hence the loop.
const JANITOR: &str = r#"
cat >/dev/null
left=100
while rm -rf -- "$1" 2>/dev/null; [ -e "$1" ] && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
"#;

/// The directory, and the pipe whose closing removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    lifeline: PipeWriter,
    janitor: Child,
}

impl Scratch {
    /// Makes a directory that only this user can read.
    pub(crate) fn new() -> Result<Self> {
        let name = format!("snaphook-control-plane-{}", &identity::random_token()?[..16]);
        let path = std::path::absolute(std::env::temp_dir())?.join(name);
        DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let (reader, lifeline) = io::pipe()?;
        let janitor = sh(JANITOR)
            .arg(&path)
            .stdin(Stdio::from(reader))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .context("cannot start sh")?;
        Ok(Self { path, lifeline, janitor })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory stays at least as long as this is open.
    pub(crate) fn lifeline(&self) -> Result<PipeWriter> {
        Ok(self.lifeline.try_clone()?)
    }

    /// Blocks until the directory has gone, which is when the last holder of a lifeline has ended.
    pub(crate) fn remove(self) -> Result<()> {
        let Self { path: _, lifeline, mut janitor } = self;
        drop(lifeline);
        janitor.wait()?;
        Ok(())
    }
}
