//! Builds the binaries from pinned Go modules, once for each content of those pins.

use std::env::{self, consts};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest;

use crate::assets::{Environment, say};
use crate::identity::hex;
use crate::supervise::Supervised;

/// The control plane itself.
pub(crate) const CONTROL_PLANE: Module = Module {
    name: "control-plane",
    go_mod: include_str!("../go.mod"),
    go_sum: include_str!("../go.sum"),
    linker: LINKER,
    binaries: &[
        Binary { package: "go.etcd.io/etcd/server/v3", built_as: "server", name: "etcd" },
        Binary::of("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
        Binary::of("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
        Binary::of("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
    ],
};

/// A Go module that pins what is built from it.
pub(crate) struct Module {
    /// Of its directory in the cache.
    pub(crate) name: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// Flags for the linker.
    pub(crate) linker: &'static str,
    /// What is built.
    pub(crate) binaries: &'static [Binary],
}

/// One program of a module.
pub(crate) struct Binary {
    pub(crate) package: &'static str,
    /// As Go names it: the last part of the package's path.
    pub(crate) built_as: &'static str,
    /// As it is called here.
    pub(crate) name: &'static str,
}

impl Binary {
    pub(crate) const fn of(package: &'static str, name: &'static str) -> Self {
        Self { package, built_as: name, name }
    }
}

/// Without the version the API server says 0.0, which clients take for a server too old to talk to.
const LINKER: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=36 \
    -X k8s.io/client-go/pkg/version.gitVersion=v1.36.3";

impl Module {
    fn names(&self) -> String {
        let names: Vec<_> = self.binaries.iter().map(|binary| binary.name).collect();
        names.join(", ")
    }
}

/// The directory with a module's binaries, after building them if nobody has. Blocks, also while another process builds.
pub(crate) fn build_once(module: &Module, cache: &Path, env: Environment) -> Result<PathBuf> {
    let finished = directory(module, cache);
    if finished.is_dir() {
        return Ok(finished);
    }
    let go = go(env).with_context(|| {
        format!(
            "the tests need {} and build with Go what is not there: install Go 1.26 or newer (https://go.dev/dl) so that \
             `go` is on PATH, or set KUBEBUILDER_ASSETS to a directory that has them",
            module.names()
        )
    })?;
    once(&finished, |unfinished| build(module, &go, unfinished, &finished))?;
    Ok(finished)
}

/// Makes a directory that is there whole or not at all: `make` fills one next to it, which then takes its name. Blocks,
/// also while another process makes it.
pub(crate) fn once(finished: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = finished.parent().context("a cache without a parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let _lock = locked(&finished.with_extension("lock"))?;
    if finished.is_dir() {
        return Ok(());
    }
    remove_unfinished(parent)?;
    let unfinished = parent.join(format!("unfinished-{}", process::id()));
    fs::create_dir_all(&unfinished)?;
    make(&unfinished)?;
    Ok(fs::rename(&unfinished, finished)?)
}

/// Where a build from these pins lies.
pub(crate) fn directory(module: &Module, cache: &Path) -> PathBuf {
    let mut hash = digest::Context::new(&digest::SHA256);
    let pins = [module.go_mod, module.go_sum, module.linker, consts::OS, consts::ARCH];
    for part in pins.into_iter().chain(module.binaries.iter().map(|binary| binary.package)) {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    cache.join(module.name).join(&hex(hash.finish().as_ref())[..16])
}

pub(crate) fn go(env: Environment) -> Option<PathBuf> {
    env::split_paths(&env("PATH")?).map(|directory| directory.join("go")).find(|file| file.is_file())
}

fn locked(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    let mut progress = Progress::new("another process builds the binaries, waiting for it");
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => progress.wait(),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// What builds have left that were ended half way. Only under the lock.
fn remove_unfinished(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("unfinished-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn build(module: &Module, go: &Path, unfinished: &Path, finished: &Path) -> Result<()> {
    let (sources, log) = (unfinished.join("src"), unfinished.join("log"));
    fs::create_dir_all(&sources)?;
    fs::write(sources.join("go.mod"), module.go_mod)?;
    fs::write(sources.join("go.sum"), module.go_sum)?;
    run(module, &command(module, go, &sources, unfinished), &log, finished)?;
    for Binary { built_as, name, .. } in module.binaries {
        fs::rename(unfinished.join(built_as), unfinished.join(name))
            .with_context(|| format!("go has built no {name}"))?;
    }
    fs::remove_file(log)?;
    Ok(fs::remove_dir_all(sources)?)
}

fn command(module: &Module, go: &Path, sources: &Path, binaries: &Path) -> Command {
    let mut command = Command::new(go);
    command
        .current_dir(sources)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off") // the cache may lie below someone's workspace
        .env_remove("GOOS") // these binaries run here
        .env_remove("GOARCH")
        .args(["build", "-trimpath", "-ldflags", module.linker, "-o"])
        .arg(binaries)
        .args(module.binaries.iter().map(|binary| binary.package));
    command
}

/// Supervised, so that a test that is ended does not leave a compiler behind.
fn run(module: &Module, command: &Command, log: &Path, into: &Path) -> Result<()> {
    let what = format!("building {} with Go into {} (once; some minutes)", module.names(), into.display());
    let mut progress = Progress::new(&what);
    let build = Supervised::spawn(command, log)?;
    let exit = loop {
        progress.wait();
        if let Some(exit) = build.try_wait() {
            break exit;
        }
    };
    if !exit.success() {
        bail!(
            "go build {exit}; it needs Go 1.26 or newer, and the modules of go.sum. Its output ends:\n{}",
            build.log_tail()
        );
    }
    say(&format!("built after {} s", progress.start.elapsed().as_secs()));
    Ok(())
}

/// Says at once what is waited for, and then every minute for how long.
struct Progress<'a> {
    what: &'a str,
    start: Instant,
    said: Option<Instant>,
}

impl<'a> Progress<'a> {
    fn new(what: &'a str) -> Self {
        Self { what, start: Instant::now(), said: None }
    }

    fn wait(&mut self) {
        if self.said.is_none_or(|said| said.elapsed() >= Duration::from_mins(1)) {
            say(&format!("{}: {} s", self.what, self.start.elapsed().as_secs()));
            self.said = Some(Instant::now());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::PermissionsExt;

    /// A `go` that leaves a line in `calls`, and files in the directory after `-o`.
    const GO: &str = r#"#!/bin/sh
echo called >>"$(dirname "$0")/calls"
test -e "$(dirname "$0")/broken" && { echo no network; exit 1; }
sleep 0.3
while [ "$1" != -o ]; do shift; done
for name in server kube-apiserver kube-controller-manager kubectl; do echo "$PWD" >"$2/$name"; done
"#;

    fn with_go(scratch: &Scratch) -> impl Fn(&str) -> Option<std::ffi::OsString> + Send + Sync + 'static {
        let (directory, go) = (scratch.path().to_owned(), scratch.path().join("go"));
        fs::write(&go, GO).unwrap();
        fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
        let path = env::join_paths([directory.as_path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        move |name| (name == "PATH").then(|| path.clone())
    }

    fn calls(scratch: &Scratch) -> usize {
        fs::read_to_string(scratch.path().join("calls")).map_or(0, |calls| calls.lines().count())
    }

    #[test]
    fn parallel_callers_build_once() {
        let scratch = Scratch::new().unwrap();
        let env = with_go(&scratch);
        let cache = scratch.path().join("cache");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(build_once(&CONTROL_PLANE, &cache, &env).unwrap().join("etcd").is_file()));
            }
        });
        assert_eq!(calls(&scratch), 1);
        scratch.remove().unwrap();
    }

    #[test]
    fn a_build_that_fails_looks_neither_finished_nor_stays() {
        let scratch = Scratch::new().unwrap();
        let env = with_go(&scratch);
        let cache = scratch.path().join("cache");
        fs::write(scratch.path().join("broken"), "").unwrap();
        let error = format!("{:#}", build_once(&CONTROL_PLANE, &cache, &env).unwrap_err());
        assert!(error.contains("no network"), "{error}");
        assert!(!directory(&CONTROL_PLANE, &cache).exists());
        fs::remove_file(scratch.path().join("broken")).unwrap();
        assert!(build_once(&CONTROL_PLANE, &cache, &env).unwrap().join("kubectl").is_file());
        let left: Vec<_> =
            fs::read_dir(cache.join("control-plane")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the binaries and the lock: {left:?}");
        scratch.remove().unwrap();
    }
}
