use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tokio::{task::JoinHandle, time::sleep};

use super::*;
use crate::{
    record,
    store::{Needs, records::fixture},
    test_dir::TestDir,
};

const STALE: Duration = Duration::from_hours(1);

/// The directory source, running.
struct Source {
    store: Arc<Store>,
    task: JoinHandle<()>,
}

impl Source {
    fn start(dir: &TestDir, max_staleness: Duration) -> Self {
        let store = Arc::new(Store::default());
        let task = tokio::spawn(run(dir.path().to_owned(), store.clone(), max_staleness));
        Self { store, task }
    }

    async fn until(&self, what: &str, condition: impl Fn(&Store) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition(&self.store) {
            assert!(Instant::now() < deadline, "not within 10 s: {what}");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn client_file(name: &str) -> String {
    record::file_name(record::Kind::Client, name)
}

fn serves(store: &Store, client_id: &str) -> bool {
    store.load().clients.contains_key(client_id)
}

#[tokio::test]
async fn records_that_come_change_and_go_are_followed() {
    let dir = TestDir::new();
    dir.write(&client_file("a"), fixture::client("ns.a"));
    dir.write("note.txt", "no record");
    fs::create_dir(dir.path().join(client_file("directory"))).unwrap();
    let source = Source::start(&dir, STALE);
    source.until("the first record", |store| serves(store, "ns.a")).await;
    dir.write(&client_file("b"), fixture::client("ns.b"));
    source.until("a second record", |store| serves(store, "ns.b")).await;
    dir.write(&client_file("b"), fixture::client("ns.c"));
    source.until("the second record changed", |store| serves(store, "ns.c") && !serves(store, "ns.b")).await;
    fs::remove_file(dir.path().join(client_file("a"))).unwrap();
    source.until("the first record gone", |store| !serves(store, "ns.a")).await;
    assert_eq!(source.store.load().counts.clients, 1);
}

#[tokio::test]
async fn a_record_that_turns_unreadable_is_not_served_and_others_are() {
    let dir = TestDir::new();
    dir.write(&client_file("a"), fixture::client("ns.a"));
    dir.write(&client_file("b"), fixture::client("ns.b"));
    let source = Source::start(&dir, STALE);
    source.until("both", |store| store.load().counts.clients == 2).await;
    dir.write(&client_file("a"), "{");
    source.until("one unusable", |store| store.load().counts.unusable == 1).await;
    assert!(!serves(&source.store, "ns.a") && serves(&source.store, "ns.b"));
}

#[tokio::test]
async fn a_directory_that_goes_away_leaves_the_last_snapshot_to_grow_stale() {
    let dir = TestDir::new();
    dir.write(&client_file("a"), fixture::client("ns.a"));
    let source = Source::start(&dir, Duration::from_millis(60));
    source.until("the record", |store| serves(store, "ns.a")).await;
    let moved = dir.path().with_extension("moved");
    fs::rename(dir.path(), &moved).unwrap();
    source.until("the age past the bound", |store| store.age(Instant::now()) > Some(Duration::from_millis(60))).await;
    assert!(serves(&source.store, "ns.a"));
    fs::rename(&moved, dir.path()).unwrap();
    source.until("fresh again", |store| store.age(Instant::now()) < Some(Duration::from_millis(60))).await;
}

#[tokio::test]
async fn an_empty_directory_is_a_complete_read_and_a_missing_one_is_none() {
    let dir = TestDir::new();
    let source = Source::start(&dir, STALE);
    source.until("a proof", |store| store.age(Instant::now()).is_some()).await;
    fs::remove_dir(dir.path()).unwrap();
    assert!(read::read(dir.path()).is_err());
}

#[tokio::test]
async fn a_change_is_published_in_milliseconds() {
    let dir = TestDir::new();
    let source = Source::start(&dir, STALE);
    source.until("a proof", |store| store.age(Instant::now()).is_some()).await;
    let mut latencies = Vec::new();
    for round in 0..50 {
        let id = format!("ns.{round}");
        dir.write(&client_file("a"), fixture::client(&id));
        let started = Instant::now();
        source.until("the change", |store| serves(store, &id)).await;
        latencies.push(started.elapsed());
    }
    latencies.sort_unstable();
    println!("file change to snapshot: p50 {:?}, max {:?}", latencies[25], latencies[49]);
    assert!(latencies[25] < Duration::from_millis(500), "{latencies:?}");
}

/// Does what the kubelet does to a mounted volume: writes a directory of its own, swaps the link, removes the old one.
fn swap(dir: &TestDir, round: u32) {
    let path = dir.path();
    let (old, new) = (path.join(format!("..{}", round.wrapping_sub(1))), path.join(format!("..{round}")));
    fs::create_dir(&new).unwrap();
    for name in ["a", "b"] {
        fs::write(new.join(client_file(name)), fixture::client(&format!("{name}.{round}"))).unwrap();
    }
    symlink(new.file_name().unwrap(), path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    if old.exists() {
        fs::remove_dir_all(old).unwrap();
    }
}

/// The client ids of the two files, without the letter in front: the generation that they belong to.
fn generations(store: &Store) -> Vec<String> {
    let snapshot = store.load();
    snapshot.clients.keys().filter_map(|id| id.split_once('.')).map(|(_, generation)| generation.to_owned()).collect()
}

#[test]
fn no_read_mixes_two_generations_of_a_mount() {
    let dir = TestDir::new();
    swap(&dir, 0);
    for name in ["a", "b"] {
        symlink(format!("..data/{}", client_file(name)), dir.path().join(client_file(name))).unwrap();
    }
    let ended = AtomicBool::new(false);
    let mut reads = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            (1..=5_000).for_each(|round| swap(&dir, round));
            ended.store(true, Ordering::Release);
        });
        while !ended.load(Ordering::Acquire) {
            let store = Store::default();
            let mut records = Records::new(Needs::Everything);
            let files = read::read(dir.path()).unwrap();
            records.set("", files.iter().map(document));
            store.publish(records.snapshot().unwrap());
            let generations = generations(&store);
            assert_eq!(generations.len(), 2, "half of a generation");
            assert_eq!(generations[0], generations[1], "two generations");
            reads += 1;
        }
    });
    println!("{reads} reads during 5,000 swaps");
}

#[tokio::test]
async fn the_swap_of_a_mount_is_followed() {
    let dir = TestDir::new();
    swap(&dir, 0);
    let source = Source::start(&dir, STALE);
    source.until("the first generation", |store| serves(store, "a.0")).await;
    swap(&dir, 1);
    source.until("the second generation", |store| serves(store, "a.1") && serves(store, "b.1")).await;
}
