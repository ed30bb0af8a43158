//! Figures of the controller and of the path from it to the servers, against a real API server on loopback.
//!
//! `cargo bench --bench cluster` measures everything; names of scenarios after `--` choose: `create revoke foreign scale sidecar`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a bench that cannot go on should end"
)]

mod create;
mod foreign;
mod revoke;
mod scale;
mod sidecar;
mod snaphook;
mod table;

use control_plane::ControlPlane;
use table::Table;

const CRDS: &str = include_str!("../../crds/snaphook.dev.yaml");

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    let mut table = Table::default();
    if wanted("create") {
        create::measure(&plane().await?, &mut table).await?;
    }
    if wanted("revoke") {
        revoke::measure(&plane().await?, &mut table).await?;
    }
    if wanted("foreign") {
        foreign::measure(&plane().await?, &mut table).await?;
    }
    if wanted("scale") {
        scale::measure(&plane().await?, &mut table).await?;
    }
    if wanted("sidecar") {
        sidecar::measure(&plane().await?, &mut table).await?;
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
