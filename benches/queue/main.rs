//! Figures of the durable queue, one module a scenario: `cargo bench --bench queue -- syncs start throughput`.
//!
//! Options: `--messages N` in the file that is started from (1000000), `--seconds N` a measure (5), `--directory DIR` on the
//! disk to measure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a bench does not expect ends it")]

mod disks;
mod load;
mod start;
mod syncs;
#[path = "../cluster/table.rs"]
mod table;
mod throughput;

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::table::Table;

/// Measures what is named; without a name, everything.
#[derive(Parser)]
struct Options {
    /// `syncs`, `start`, `throughput`
    scenarios: Vec<String>,
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/queue"))]
    directory: PathBuf,
    /// Does a part of a scenario in a process of its own
    #[arg(long, hide = true)]
    part: Option<start::Part>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

type Scenario = fn(&Options, &mut Table);

const SCENARIOS: [(&str, Scenario); 3] =
    [("syncs", syncs::measure), ("start", start::measure), ("throughput", throughput::measure)];

fn main() {
    let options = Options::parse();
    if let Some(part) = options.part {
        return start::play(part, &options);
    }
    for name in &options.scenarios {
        assert!(SCENARIOS.iter().any(|(known, _)| known == name), "no scenario {name}");
    }
    let chosen = |name: &&str| options.scenarios.is_empty() || options.scenarios.iter().any(|asked| asked == name);
    let mut table = Table::default();
    for (_, scenario) in SCENARIOS.iter().filter(|(name, _)| chosen(name)) {
        scenario(&options, &mut table);
    }
    println!("{table}");
}

impl Options {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
