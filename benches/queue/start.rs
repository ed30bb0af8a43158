//! Start with a million queued messages: after a clean stop, after `kill -9` at work and at rest, and from a cold disk.
//! Each in a process of its own, whose memory counts.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use snaphook::delivery::queue::{Disk as _, Embedded, Queue as _, QueueFile, Retention};

use crate::{Options, disks, load, table::Table};

/// Messages of one commit while the file is filled.
const BATCH: u64 = 1_000;
const FILLED: &str = "filled";

/// What a process does.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Part {
    /// Fills the file, and ends it
    Fill,
    /// Adds to it until it is killed
    Work,
    /// Does nothing until it is killed
    Rest,
    /// Opens it, and says how long that takes
    Open,
}

pub(crate) fn measure(options: &Options, table: &mut Table) {
    disks::empty(&options.directory);
    let started = Instant::now();
    assert!(part(options, Part::Fill, Stdio::inherit()).wait().unwrap().success());
    eprintln!("filled with {} messages in {:.0} s", options.messages, started.elapsed().as_secs_f64());
    let bytes = fs::metadata(options.directory.join("queue.redb")).unwrap().len();
    row(options, table, "after a clean stop");
    kill(options, Part::Work, Duration::from_millis(500));
    row(options, table, "after kill -9 at work");
    kill(options, Part::Work, Duration::from_millis(500));
    QueueFile::new(&options.directory).forget().unwrap();
    row(options, table, "after kill -9 at work, nothing of the file in memory (as after a reboot)");
    kill(options, Part::Rest, Duration::from_secs(4));
    QueueFile::new(&options.directory).forget().unwrap();
    row(options, table, "after kill -9 at rest, nothing of the file in memory");
    table.row("size of the file", "", "", format!("{:.2} GiB", gibibytes(bytes)));
    disks::empty(&options.directory);
}

fn row(options: &Options, table: &mut Table, when: &str) {
    let output = part(options, Part::Open, Stdio::piped()).wait_with_output().unwrap();
    let figures = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<&str> = figures.split_whitespace().collect();
    let [time, processor, memory] = figures[..] else { panic!("three figures are expected: {figures:?}") };
    let messages = options.messages;
    table.row(
        &format!("start with {messages} messages {when}"),
        "10 s",
        "2 s",
        format!("{time} s ({processor} s of a core)"),
    );
    table.row("… resident memory then, after 1,000 were handed out", "200 MB", "60 MB", format!("{memory} MB"));
}

fn part(options: &Options, part: Part, output: Stdio) -> Child {
    let name = match part {
        Part::Fill => "fill",
        Part::Work => "work",
        Part::Rest => "rest",
        Part::Open => "open",
    };
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--part", name, "--messages", &options.messages.to_string()]);
    command.arg("--directory").arg(&options.directory).stdout(output).spawn().unwrap()
}

/// Kills a process some time after it has begun.
fn kill(options: &Options, what: Part, after: Duration) {
    let mut child = part(options, what, Stdio::piped());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), FILLED);
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// In the process of its own.
pub(crate) fn play(part: Part, options: &Options) {
    let runtime = load::runtime();
    runtime.block_on(async {
        let started = Instant::now();
        let queue = Embedded::open(&options.directory, Retention::default()).await.unwrap();
        match part {
            Part::Fill => fill(&queue, options.messages).await,
            Part::Work => work(&queue).await,
            Part::Rest => {
                queue.enqueue(load::arrival(0, [load::message(0)])).await.unwrap();
                println!("{FILLED}");
                thread::sleep(Duration::from_hours(1));
            }
            Part::Open => {
                // Served: a post is taken, a message handed out.
                queue.enqueue(load::arrival(0, [load::message(0)])).await.unwrap();
                let first = queue.claim(&load::endpoint(0), Timestamp::now(), 1).await.unwrap();
                assert_eq!(first.len(), 1);
                let (time, processor) = (started.elapsed().as_secs_f64(), processor_seconds());
                let more = queue.claim(&load::endpoint(1), Timestamp::now(), 1_000).await.unwrap();
                drop(more);
                println!("{time:.3} {processor:.2} {}", resident_megabytes());
            }
        }
        queue.close().await;
    });
}

async fn fill(queue: &Embedded, messages: u64) {
    for batch in 0..messages.div_ceil(BATCH) {
        let arrivals = (0..BATCH / 10).map(|part| load::arrival(batch + part, (0..10).map(load::message)));
        futures::future::try_join_all(arrivals.map(|arrival| queue.enqueue(arrival))).await.unwrap();
    }
}

async fn work(queue: &Embedded) {
    queue.enqueue(load::arrival(0, [load::message(0)])).await.unwrap();
    println!("{FILLED}");
    for number in 0.. {
        queue.enqueue(load::arrival(number, [load::message(number)])).await.unwrap();
    }
}

/// What this process has worked, which neighbours on the machine disturb less.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024 / 1_000_000
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
