//! 5,000 credentials: how long a server takes to be ready, and what server and controller keep in memory.

use std::time::{Duration, Instant};

use anyhow::Result;
use control_plane::ControlPlane;

use crate::{
    snaphook::{Installation, resident},
    table::Table,
};

const COUNT: usize = 5000;

pub(crate) async fn measure(plane: &ControlPlane, table: &mut Table) -> Result<()> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    installation.create(COUNT).await?;
    installation.all_ready(COUNT).await?;
    let busy = resident(&controller)?;
    controller.stop().await?;
    let started = Instant::now();
    let (server, _, probes) = installation.server("scale").await?;
    ready(&probes).await?;
    let took = started.elapsed();
    table.row(
        "5,000 credentials: server's start until ready",
        "report",
        "≤ 3 s",
        format!("{:.2} s", took.as_secs_f64()),
    );
    table.row(
        "5,000 credentials: server's resident memory",
        "report",
        "≤ 40 MiB",
        format!("{:.1} MiB", resident(&server)?),
    );
    let controller = installation.controller().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    table.row(
        "5,000 credentials: controller's resident memory after a start / after making them",
        "report",
        "≤ 80 MiB",
        format!("{:.1} / {busy:.1} MiB", resident(&controller)?),
    );
    controller.stop().await?;
    server.stop().await?;
    Ok(())
}

pub(crate) async fn ready(probes: &str) -> Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let mut answer = String::new();
        if let Ok(mut stream) = tokio::net::TcpStream::connect(probes).await {
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
            stream.read_to_string(&mut answer).await?;
        }
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "not ready: {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
