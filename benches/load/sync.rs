//! What syncing costs: posts to a server with its queue on the disk, beside one with its queue on a tmpfs, where a sync has nothing to
//! wait for. The program has no switch that leaves the sync out, and should have none; both run the very same code.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    client::Load,
    hooks::{Hooks, PREPARED, endpoint, posts},
    measure::{Program, spread},
};

/// Every Linux has this one.
const TMPFS: &str = "/dev/shm";

pub(crate) fn run(rounds: usize, load: &Load) {
    let memory = PathBuf::from(TMPFS).join(format!("snaphook-load-{}", std::process::id()));
    let on_disk = Hooks::start(&Program::this(), "synced");
    let in_memory = Hooks::start_at(&Program::this(), "unsynced", &memory.join("queue"));
    let names = ["synced", "unsynced"];
    for (hooks, name) in [&on_disk, &in_memory].into_iter().zip(names) {
        hooks.write(&endpoint(name, "https://receiver.example.net/"));
    }
    let (mut rates, mut ratios) = ([vec![], vec![]], vec![]);
    for round in 0..=rounds {
        let of = |hooks: &Hooks, name| load.run(hooks.server.address, &posts(name, PREPARED));
        // In turn first and last, as caches and the disk's own buffers favour one of them.
        let [disk, memory] = if round % 2 == 0 {
            let disk = of(&on_disk, names[0]);
            [disk, of(&in_memory, names[1])]
        } else {
            let memory = of(&in_memory, names[1]);
            [of(&on_disk, names[0]), memory]
        };
        eprintln!("round {round}: on the disk {disk:.0}/s, on tmpfs {memory:.0}/s, {:.3}", disk / memory);
        // The first round warms up.
        if round > 0 {
            rates[0].push(disk);
            rates[1].push(memory);
            ratios.push(disk / memory);
        }
    }
    drop(in_memory);
    // It is memory, after all.
    fs::remove_dir_all(&memory).unwrap();
    print(rates, ratios, rounds, load.time);
}

fn print([mut disk, mut memory]: [Vec<f64>; 2], mut ratios: Vec<f64>, rounds: usize, time: Duration) {
    let ([_, disk, _], [_, memory, _], [min, median, max]) =
        (spread(&mut disk), spread(&mut memory), spread(&mut ratios));
    println!(
        "\nWhat a sync costs, {rounds} interleaved rounds of {} s. Without it means: the queue lies on a tmpfs ({TMPFS}).\n",
        time.as_secs()
    );
    println!("| measure | on the disk/s (median) | on tmpfs/s (median) | ratio: min | median | max | at least | aim |");
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| 1 KiB posts, stored with fsync / without | {disk:.0} | {memory:.0} | {min:.3} | {median:.3} | {max:.3} | 0.5 | 0.6 |"
    );
}
