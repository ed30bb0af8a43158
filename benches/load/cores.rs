//! Which core does what: servers the first that this process may use, the load the second.

use std::{env, os::unix::process::CommandExt as _, process::Command};

const PINNED: &str = "SNAPHOOK_LOAD_PINNED";

/// A command on the servers' core.
pub(crate) fn on_server_core(program: &str) -> Command {
    let [server, _] = cores();
    let mut command = Command::new("taskset");
    command.args(["-c", &server, program]);
    command
}

/// Starts this program anew on the load's core, unless that is where it runs.
pub(crate) fn to_load_core() {
    if env::var_os(PINNED).is_some() {
        return;
    }
    let [server, load] = cores();
    let mut command = Command::new("taskset");
    command.args(["-c", &load]).arg(env::current_exe().unwrap()).args(env::args_os().skip(1));
    let error = command.env(PINNED, format!("{server} {load}")).exec();
    panic!("taskset (util-linux) is needed: {error}");
}

fn cores() -> [String; 2] {
    let known = env::var(PINNED).unwrap_or_else(|_| allowed());
    let mut cores = known.split_whitespace().map(str::to_owned);
    [(); 2].map(|()| cores.next().expect("two cores are needed"))
}

/// The cores that this process may use, such as `0-3,8`, one by one.
fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let ranges = list.trim().split(',').map(|range| range.split_once('-').unwrap_or((range, range)));
    let cores = ranges.flat_map(|(first, last)| first.parse::<u32>().unwrap()..=last.parse().unwrap());
    cores.map(|core| core.to_string()).collect::<Vec<_>>().join(" ")
}
