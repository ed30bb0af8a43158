//! The program itself: how large it is, and how soon a server serves.

use std::{process::Command, time::Instant};

use anyhow::{Context as _, Result};
use control_plane::ControlPlane;
use snaphook::crd::AppCredential;

use crate::{
    revoke,
    snaphook::Installation,
    table::{Table, quantile},
};

const STARTS: usize = 20;

pub(crate) async fn measure(plane: &ControlPlane, table: &mut Table) -> Result<()> {
    table.row("binary, stripped (binutils' strip)", "≤ 30 MB", "≤ 20 MB", format!("{:.1} MB", stripped(plane)?));
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    installation.create::<AppCredential>(0..1).await?;
    installation.all_ready::<AppCredential>(1).await?;
    controller.stop().await?;
    let credentials = installation.credentials(0).await?;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let (server, address, _) = installation.server("program").await?;
        // The first answer may be that the records are not read yet.
        while revoke::get_token(&address, &credentials).await.is_err() {
            anyhow::ensure!(started.elapsed().as_secs() < 60, "it does not serve");
        }
        times.push(started.elapsed().as_secs_f64());
        server.stop().await?;
    }
    times.sort_by(f64::total_cmp);
    let figures = format!("{:.3} / {:.3} s", quantile(&times, 0.5), quantile(&times, 1.0));
    table.row("server's start until it issues a token, p50 / max of 20", "≤ 0.5 s", "≤ 0.2 s", figures);
    Ok(())
}

/// Megabytes of a copy without symbols.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn stripped(plane: &ControlPlane) -> Result<f64> {
    let copy = plane.directory("stripped")?.join("snaphook");
    let status = Command::new("strip").arg("-o").arg(&copy).arg(env!("CARGO_BIN_EXE_snaphook")).status();
    anyhow::ensure!(status.context("strip (binutils) is needed")?.success(), "strip failed");
    Ok(std::fs::metadata(copy)?.len() as f64 / 1e6)
}
