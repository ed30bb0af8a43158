//! A controller that starts over thousands of unchanged resources of all kinds: how long, what it writes, what it keeps in memory,
//! and how long somebody waits who applies a new resource meanwhile.

use std::time::{Duration, Instant};

use anyhow::Result;
use control_plane::{ControlPlane, Supervised};
use kube::api::PostParams;
use snaphook::crd::{AppCredential, Webhook, WebhookCredential};

use crate::{
    create::{settled_writes, sorts_of_writes},
    snaphook::{Installation, Measured, get, is_ready, listening, name, peak, resident, until, until_ready},
    table::{Table, quantile},
};

/// Starts during which new resources are applied.
const STARTS: usize = 10;
/// New resources a start, one after the other.
const NEW: usize = 10;
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn measure(plane: &ControlPlane, count: usize, table: &mut Table) -> Result<()> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    let few = count / 10;
    installation.create::<WebhookCredential>(0..few).await?;
    installation.create::<Webhook>(0..few).await?;
    installation.create::<AppCredential>(0..8 * few).await?;
    installation.all_ready::<WebhookCredential>(few).await?;
    installation.all_ready::<Webhook>(few).await?;
    installation.all_ready::<AppCredential>(8 * few).await?;
    settled_writes(plane, plane.audit().mark()?).await?;
    controller.stop().await?;

    let mark = plane.audit().mark()?;
    let started = Instant::now();
    let controller = installation.spawn_controller()?;
    let probes = listening(&controller, "probes=").await?;
    until_ready(&probes).await?;
    let ready = started.elapsed().as_secs_f64();
    until(&probes, "/metrics", |metrics| looked_at(metrics) >= 10 * few).await?;
    let whole = started.elapsed().as_secs_f64();
    let writes = settled_writes(plane, mark).await?;
    let (now, most) = (resident(&controller)?, peak(&controller)?);
    let what = format!("{count} unchanged resources: controller's start until");
    table.row(&format!("{what} ready"), "≤ 30 s", "≤ 20 s", format!("{ready:.2} s"));
    table.row(&format!("{what} each was looked at"), "≤ 30 s", "≤ 20 s", format!("{whole:.2} s"));
    table.row("the same: writes", "0", "0", format!("{writes} {:?}", sorts_of_writes(plane, mark)?));
    let memory = format!("{now:.1} MiB (most: {most:.1})");
    table.row("the same: controller's resident memory", "≤ 150 MiB", "≤ 120 MiB", memory);
    controller.stop().await?;

    let mut latencies = Vec::new();
    for start in 0..STARTS {
        let controller = installation.spawn_controller()?;
        latencies.extend(new_ones(&installation, &controller, count + start * NEW).await?);
        controller.stop().await?;
    }
    latencies.sort_by(f64::total_cmp);
    let [median, p99, most] = [0.5, 0.99, 1.0].map(|share| quantile(&latencies, share));
    table.row(
        &format!("a new resource during such a start, {} of them: applied → Ready, p50 / p99 / max", latencies.len()),
        "p99 ≤ 3 s",
        "p99 ≤ 1 s",
        format!("{median:.2} / {p99:.2} / {most:.2} s"),
    );
    Ok(())
}

/// Runs over resources so far.
fn looked_at(metrics: &str) -> usize {
    let runs = metrics.lines().filter_map(|line| line.strip_prefix("snaphook_reconciles_total{")?.rsplit_once(' '));
    runs.filter_map(|(_, count)| count.parse::<usize>().ok()).sum()
}

/// Applies new ones of all kinds, the first when the controller listens, and says how many seconds each took.
async fn new_ones(installation: &Installation, controller: &Supervised, first: usize) -> Result<Vec<f64>> {
    let probes = listening(controller, "probes=").await?;
    let mut latencies = Vec::new();
    for index in first..first + NEW {
        let latency = match index % 5 {
            0 => new_one::<Webhook>(installation, index).await?,
            1 => new_one::<WebhookCredential>(installation, index).await?,
            _ => new_one::<AppCredential>(installation, index).await?,
        };
        latencies.push(latency);
        tokio::time::sleep(PAUSE).await;
    }
    eprintln!("{latencies:.2?}, runs over resources by then: {}", looked_at(&get(&probes, "/metrics").await?));
    Ok(latencies)
}

async fn new_one<K: Measured>(installation: &Installation, index: usize) -> Result<f64> {
    let api = installation.of::<K>();
    let started = Instant::now();
    api.create(&PostParams::default(), &K::make(index)).await?;
    while !is_ready(&api.get(&name(index)).await?) {
        anyhow::ensure!(started.elapsed() < Duration::from_mins(2), "{} is not ready", name(index));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(started.elapsed().as_secs_f64())
}
