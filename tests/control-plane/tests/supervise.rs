//! Supervised processes: how they end, and that they end.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not count their functions as such")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use control_plane::Supervised;

const SOON: Duration = Duration::from_secs(15);

fn log(name: &str) -> PathBuf {
    env::temp_dir().join(format!("snaphook-supervise-{name}-{}.log", process::id()))
}

fn sh(script: &str) -> Command {
    let mut sh = Command::new("sh");
    sh.args(["-c", script]);
    sh
}

fn runs(pid: u32) -> bool {
    sh(&format!("kill -0 {pid}")).stderr(Stdio::null()).status().unwrap().success()
}

/// The state letter of `ps`: `T` is stopped.
fn state(pid: u32) -> String {
    let ps = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8(ps.stdout).unwrap()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn the_exit_code_and_all_output_reach_the_owner() {
    let log = log("exit");
    let mut command = sh("echo out $GREETING; echo err >&2; pwd; exit 3");
    command.env("GREETING", "hello").current_dir("/");
    let process = Supervised::spawn(&command, &log).unwrap();
    let exit = process.wait(SOON).await.unwrap();
    assert_eq!((exit.code(), exit.signal(), exit.success()), (Some(3), None, false));
    assert_eq!(process.log(), "out hello\nerr\n/\n");
    process.logged("err", SOON).await.unwrap();
    assert!(process.logged("more", SOON).await.is_err(), "an ended process writes no more");
    assert!(process.signal("TERM").is_err(), "its pid may be someone else's by now");
    fs::remove_file(log).unwrap();
}

#[tokio::test]
async fn signals_reach_the_command_itself() {
    let log = log("signals");
    let process = Supervised::spawn(Command::new("sleep").arg("1000"), &log).unwrap();
    process.signal("STOP").unwrap();
    until("stopped", || state(process.pid()).starts_with('T'));
    assert!(process.wait(Duration::from_millis(50)).await.is_err(), "a stopped process has not ended");
    process.signal("CONT").unwrap();
    until("goes on", || state(process.pid()).starts_with('S'));
    process.signal("KILL").unwrap();
    assert_eq!(process.wait(SOON).await.unwrap().signal(), Some(9));
    fs::remove_file(log).unwrap();
}

#[tokio::test]
async fn stop_is_polite_and_ends_a_stopped_process_as_well() {
    let log = log("polite");
    let process =
        Supervised::spawn(&sh("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done"), &log).unwrap();
    process.logged("up", SOON).await.unwrap();
    process.signal("STOP").unwrap();
    assert_eq!(process.stop().await.unwrap().code(), Some(7));
    assert_eq!(process.log(), "up\nbye\n");
    assert_eq!(process.stop().await.unwrap().code(), Some(7), "twice is no error");
    fs::remove_file(log).unwrap();
}

#[tokio::test]
async fn stop_does_not_wait_for_ever() {
    let log = log("stubborn");
    let process = Supervised::spawn(&sh("trap '' TERM; echo up; while :; do sleep 0.01; done"), &log).unwrap();
    process.logged("up", SOON).await.unwrap();
    assert_eq!(process.stop().await.unwrap().signal(), Some(9));
    fs::remove_file(log).unwrap();
}

#[tokio::test]
async fn a_missing_program_is_an_exit_that_names_it() {
    let log = log("missing");
    let process = Supervised::spawn(&Command::new("/nowhere/at-all"), &log).unwrap();
    assert_eq!(process.wait(SOON).await.unwrap().code(), Some(127));
    assert!(process.log().contains("/nowhere/at-all"), "{}", process.log());
    fs::remove_file(log).unwrap();
}

#[test]
fn dropping_it_ends_the_process() {
    let log = log("drop");
    let process = Supervised::spawn(Command::new("sleep").arg("1000"), &log).unwrap();
    let pid = process.pid();
    assert!(runs(pid));
    drop(process);
    until("ended", || !runs(pid));
    fs::remove_file(log).unwrap();
}

#[test]
fn it_ends_when_its_owner_is_killed() {
    let owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "owner_that_is_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn();
    let mut owner = owner.unwrap();
    let mut said = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let pid = said.find_map(|line| line.split_once("child ")?.1.trim().parse().ok()).unwrap();
    assert!(runs(pid));
    owner.kill().unwrap(); // SIGKILL
    owner.wait().unwrap();
    until("ended", || !runs(pid));
}

#[test]
#[ignore = "run by `it_ends_when_its_owner_is_killed`"]
fn owner_that_is_killed() {
    let process = Supervised::spawn(Command::new("sleep").arg("1000"), "/dev/null").unwrap();
    println!("\nchild {}", process.pid());
    thread::sleep(SOON * 2);
}
