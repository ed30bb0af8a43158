//! All flows: says when files may have changed, so that records, resources, configuration and certificates are read again.
//!
//! It watches directories, never files: an editor's rename and the kubelet's swap of `..data` replace what a watch on a
//! file would hold on to. What changed is not told; the reader looks for himself.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

/// A program that saves a file causes several events at once; they count as one change.
const DEBOUNCE: Duration = Duration::from_millis(4);
/// How often a directory that cannot be watched (it is not there yet, say) is tried again.
const UNWATCHED: Duration = Duration::from_secs(1);

/// Watches directories for changes directly in them.
///
/// # Guarantees
/// A change made after [`FileWatch::files`] or [`FileWatch::directories`] returned ends a later [`FileWatch::changed`],
/// at the latest after the fallback interval: some file systems report nothing.
///
/// # Caveats
/// Spurious changes are possible.
#[derive(Debug)]
pub struct FileWatch {
    directories: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    signal: Arc<Signal>,
    fallback: Duration,
    due: Instant,
}

/// What the watcher's thread tells the waiting task.
#[derive(Debug, Default)]
struct Signal {
    changed: AtomicBool,
    /// A watched directory was removed or renamed: the watch on it is dead.
    lost: AtomicBool,
    wake: Notify,
}

impl FileWatch {
    /// Watches the directories that `files` lie in. Needs neither to exist yet.
    pub fn files<P: AsRef<Path>>(files: impl IntoIterator<Item = P>, fallback: Duration) -> Self {
        Self::new(files.into_iter().map(|file| parent(file.as_ref())).collect(), fallback)
    }

    /// Watches `directories`, not what lies deeper. They need not exist yet.
    pub fn directories<P: AsRef<Path>>(directories: impl IntoIterator<Item = P>, fallback: Duration) -> Self {
        Self::new(directories.into_iter().map(|path| path.as_ref().to_owned()).collect(), fallback)
    }

    fn new(directories: BTreeSet<PathBuf>, fallback: Duration) -> Self {
        let signal = Arc::new(Signal::default());
        let watcher = watcher(directories.clone(), signal.clone());
        let mut watch = Self { directories, watcher, signal, fallback, due: Instant::now() };
        watch.arm();
        watch
    }

    /// Returns when something may have changed since the last return. Cancel safe.
    pub async fn changed(&mut self) {
        while !self.signal.changed.load(Ordering::Acquire) {
            tokio::select! {
                () = self.signal.wake.notified() => {}
                () = sleep_until(self.due) => {
                    self.signal.lost.store(true, Ordering::Release);
                    break;
                }
            }
        }
        sleep(DEBOUNCE).await;
        if self.signal.lost.swap(false, Ordering::AcqRel) {
            self.arm();
        }
        self.signal.changed.store(false, Ordering::Release);
    }

    /// Sets every watch anew, as one on a directory that was replaced says nothing any more.
    fn arm(&mut self) {
        let watched = self.watcher.as_mut().is_some_and(|watcher| watch_all(watcher, &self.directories));
        let interval = if watched { self.fallback } else { self.fallback.min(UNWATCHED) };
        self.due = Instant::now() + interval;
    }
}

fn watch_all(watcher: &mut RecommendedWatcher, directories: &BTreeSet<PathBuf>) -> bool {
    let mut all = true;
    for directory in directories {
        // Fails where there is no watch yet, or no longer.
        let _ = watcher.unwatch(directory);
        all &= watcher.watch(directory, RecursiveMode::NonRecursive).is_ok();
    }
    all
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(directory) if directory != Path::new("") => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Without a watcher (the system's limit is reached, say) the fallback interval remains.
fn watcher(directories: BTreeSet<PathBuf>, signal: Arc<Signal>) -> Option<RecommendedWatcher> {
    let handle = move |event: notify::Result<Event>| {
        let relevant = event.as_ref().map_or(true, |event| concerns_content(event.kind) || event.need_rescan());
        if !relevant {
            return;
        }
        if event.is_ok_and(|event| removes(&event, &directories)) {
            signal.lost.store(true, Ordering::Release);
        }
        signal.changed.store(true, Ordering::Release);
        signal.wake.notify_one();
    };
    notify::recommended_watcher(handle)
        .inspect_err(|error| tracing::warn!(%error, "files cannot be watched, they are read again at intervals"))
        .ok()
}

/// Reading is no change: counting it would wake the reader by his own reading.
fn concerns_content(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn removes(event: &Event, directories: &BTreeSet<PathBuf>) -> bool {
    matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
        && event.paths.iter().any(|path| directories.contains(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;
    use crate::test_dir::TestDir;

    const NEVER: Duration = Duration::from_hours(1);
    const SOON: Duration = Duration::from_secs(10);

    async fn assert_quiet(watch: &mut FileWatch) {
        assert!(timeout(Duration::from_millis(50), watch.changed()).await.is_err(), "a change out of nothing");
    }

    async fn assert_changed(watch: &mut FileWatch) {
        timeout(SOON, watch.changed()).await.expect("no change was told");
    }

    #[tokio::test]
    async fn a_file_replaced_by_rename_is_told_once_and_reading_it_is_not() {
        let dir = TestDir::new();
        let file = dir.path().join("a.json");
        fs::write(&file, "1").unwrap();
        let mut watch = FileWatch::files([&file], NEVER);
        assert_quiet(&mut watch).await;
        dir.write("a.json", "2");
        assert_changed(&mut watch).await;
        assert_eq!(fs::read(&file).unwrap(), b"2");
        assert_quiet(&mut watch).await;
    }

    #[tokio::test]
    async fn a_change_survives_a_cancelled_wait() {
        let dir = TestDir::new();
        let mut watch = FileWatch::directories([dir.path()], NEVER);
        dir.write("a.json", "1");
        while !watch.signal.changed.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert!(timeout(Duration::ZERO, watch.changed()).await.is_err());
        assert_changed(&mut watch).await;
    }

    #[tokio::test]
    async fn a_directory_that_is_removed_and_made_again_is_followed() {
        let dir = TestDir::new();
        let records = dir.path().join("records");
        let mut watch = FileWatch::directories([&records], NEVER);
        fs::create_dir(&records).unwrap();
        assert_changed(&mut watch).await;
        fs::remove_dir(&records).unwrap();
        assert_changed(&mut watch).await;
        fs::create_dir(&records).unwrap();
        assert_changed(&mut watch).await;
        while timeout(Duration::from_millis(50), watch.changed()).await.is_ok() {}
        fs::write(records.join("a.json"), "1").unwrap();
        assert_changed(&mut watch).await;
    }

    #[tokio::test]
    async fn without_events_the_fallback_interval_remains() {
        let dir = TestDir::new();
        let mut watch = FileWatch::directories([dir.path()], Duration::from_millis(20));
        assert_changed(&mut watch).await;
    }

    #[test]
    fn a_bare_file_name_lies_in_the_working_directory() {
        assert_eq!(parent(Path::new("a.yaml")), Path::new("."));
        assert_eq!(parent(Path::new("dir/a.yaml")), Path::new("dir"));
    }
}
