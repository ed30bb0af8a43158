//! Figures of a running system, one module a scenario: `cargo bench --bench load -- tokens introspection`.
//!
//! Servers run on one core and the load on another, each measure beside a bare `hello` in the same round; the table has
//! the ratios of all rounds. Options: `--rounds N` (5), `--seconds N` a measure and round (2), `--connections N` (64);
//! `--before PATH` measures this build in turn with another one instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a bench does not expect ends it")]

mod before;
mod client;
mod cores;
mod deliveries;
mod hello;
mod hooks;
mod introspection;
mod measure;
mod realm;
mod sync;
mod tokens;

use std::time::Duration;

use clap::Parser;

use crate::measure::{Measure, Program};

/// Measures what is named; without a name, everything.
#[derive(Parser)]
struct Options {
    /// `tokens`, `introspection`, `hooks`, `sync`, `deliveries`
    scenarios: Vec<String>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Another build of the program, such as one of an earlier commit: this one is measured in turn with it
    #[arg(long)]
    before: Option<String>,
    /// Serves `hello` instead: the reference, in a process of its own
    #[arg(long)]
    hello: bool,
    /// Posts there instead: the reference of deliveries
    #[arg(long)]
    call: Option<String>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

type Scenario = fn(&Program) -> Vec<Measure>;

const SCENARIOS: [(&str, Scenario); 3] =
    [("tokens", tokens::measures), ("introspection", introspection::measures), ("hooks", hooks::measures)];
/// They have other references.
const SYNC: &str = "sync";
const DELIVERIES: &str = "deliveries";

fn main() {
    let options = Options::parse();
    if options.hello {
        return hello::serve();
    }
    if let Some(url) = options.call {
        return deliveries::call(&url);
    }
    cores::to_load_core();
    for name in &options.scenarios {
        assert!(
            [SYNC, DELIVERIES].contains(&name.as_str()) || SCENARIOS.iter().any(|(known, _)| known == name),
            "no scenario {name}"
        );
    }
    let chosen = |name: &&str| options.scenarios.is_empty() || options.scenarios.iter().any(|asked| asked == name);
    let time = Duration::from_secs(options.seconds);
    let measures_of = |program: &Program| -> Vec<_> {
        SCENARIOS.iter().filter(|(name, _)| chosen(name)).flat_map(|(_, scenario)| scenario(program)).collect()
    };
    let load = client::Load { connections: options.connections, time };
    if let Some(path) = options.before {
        let programs = [Program::before(path), Program::this()];
        return before::run(&programs, measures_of, chosen(&DELIVERIES), options.rounds, &load);
    }
    let measures = measures_of(&Program::this());
    if !measures.is_empty() {
        measure::against_hello(measures, options.rounds, &load);
    }
    if chosen(&SYNC) {
        sync::run(options.rounds, &load);
    }
    if chosen(&DELIVERIES) {
        deliveries::run(options.rounds, time);
    }
}
