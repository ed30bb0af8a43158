//! Thousands of credentials: how long a server takes to be ready, and what server and controller keep in memory.

use std::time::{Duration, Instant};

use anyhow::Result;
use control_plane::ControlPlane;
use snaphook::crd::AppCredential;

use crate::{
    snaphook::{Installation, resident, until_ready},
    table::Table,
};

pub(crate) async fn measure(plane: &ControlPlane, count: usize, table: &mut Table) -> Result<()> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    installation.create::<AppCredential>(0..count).await?;
    installation.all_ready::<AppCredential>(count).await?;
    let busy = resident(&controller)?;
    controller.stop().await?;
    let started = Instant::now();
    let (server, _, probes) = installation.server("scale").await?;
    until_ready(&probes).await?;
    let took = started.elapsed();
    table.row(
        &format!("{count} credentials: server's start until ready"),
        "report",
        "≤ 3 s",
        format!("{:.2} s", took.as_secs_f64()),
    );
    table.row(
        &format!("{count} credentials: server's resident memory"),
        "report",
        "≤ 40 MiB",
        format!("{:.1} MiB", resident(&server)?),
    );
    let controller = installation.controller().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    table.row(
        &format!("{count} credentials: controller's resident memory after a start / after making them"),
        "report",
        "≤ 80 MiB",
        format!("{:.1} / {busy:.1} MiB", resident(&controller)?),
    );
    controller.stop().await?;
    server.stop().await?;
    Ok(())
}
