//! Figures of the controller and of the path from it to the servers, against a real API server on loopback.
//!
//! `cargo bench --bench cluster` measures everything; names of scenarios after `--` choose. `--divide N` takes an N-th of all
//! numbers, to see whether it works.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a bench that cannot go on should end"
)]

mod bare;
mod create;
mod foreign;
mod program;
mod revoke;
mod scale;
mod sidecar;
mod snaphook;
mod start;
mod table;

use ::snaphook::crd::{AppCredential, Webhook};
use clap::Parser;
use control_plane::ControlPlane;
use table::Table;

use crate::create::Bounds;

const CRDS: &str = include_str!("../../crds/snaphook.dev.yaml");

/// Measures what is named; without a name, everything.
#[derive(Parser)]
struct Options {
    /// `create`, `webhooks`, `revoke`, `foreign`, `scale`, `start`, `program`, `sidecar`
    scenarios: Vec<String>,
    #[arg(long, default_value_t = 1)]
    divide: usize,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { scenarios, divide, bench: _ } = Options::parse();
    let wanted = |name: &str| scenarios.is_empty() || scenarios.iter().any(|chosen| chosen == name);
    let mut table = Table::default();
    if wanted("create") {
        let bounds = Bounds { rate: "≥ 80", ratio: "80 %", writes: "≤ 5" };
        create::measure::<AppCredential>(1000 / divide, &bounds, &mut table).await?;
    }
    if wanted("webhooks") {
        let bounds = Bounds { rate: "≥ 60", ratio: "", writes: "≤ 6" };
        create::measure::<Webhook>(1000 / divide, &bounds, &mut table).await?;
    }
    if wanted("revoke") {
        revoke::measure(&plane().await?, 200 / divide, &mut table).await?;
    }
    if wanted("foreign") {
        foreign::measure(&plane().await?, 30_000 / divide, &mut table).await?;
    }
    if wanted("scale") {
        scale::measure(&plane().await?, 5000 / divide, &mut table).await?;
    }
    if wanted("start") {
        start::measure(&plane().await?, 10_000 / divide, &mut table).await?;
    }
    if wanted("program") {
        program::measure(&plane().await?, &mut table).await?;
    }
    if wanted("sidecar") {
        sidecar::measure(&plane().await?, 5000 / divide, &mut table).await?;
    }
    println!("{table}");
    Ok(())
}

/// Each scenario has an API server of its own: what one leaves behind does not slow the next.
async fn plane() -> anyhow::Result<ControlPlane> {
    let plane = ControlPlane::start().await?;
    plane.install_crds(CRDS).await?;
    Ok(plane)
}
