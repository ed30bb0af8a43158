//! 5,000 credentials in a realm of their own: what making them costs, what the bundles come to, and how a sidecar starts with them.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use control_plane::{ControlPlane, Supervised};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, api::ListParams};
use snaphook::record::bundle;

use crate::{
    scale::ready,
    snaphook::{Installation, TEAM, resident},
    table::Table,
};

const COUNT: usize = 5000;

pub(crate) async fn measure(plane: &ControlPlane, table: &mut Table) -> Result<()> {
    let row = format!("realms: [{{namespace: {TEAM}, issuer: 'http://127.0.0.1:2'}}]\n");
    let installation = Installation::with(plane, &row).await?;
    let controller = installation.controller().await?;
    let (mark, started) = (plane.audit().mark()?, Instant::now());
    installation.create(COUNT).await?;
    installation.all_ready(COUNT).await?;
    let took = started.elapsed().as_secs_f64();
    let events = plane.audit().since(mark)?;
    let writes = events.iter().filter(|it| it.is_write() && bundle::index_of(&it.name).is_some()).count();
    table.row("realm of its own: 5,000 new credentials → all Ready", "report", "", format!("{took:.0} s"));
    table.row("the same: writes of bundles", "report", "", writes.to_string());
    table.row("the same: controller's resident memory", "report", "", format!("{:.1} MiB", resident(&controller)?));
    controller.stop().await?;

    let bundles = bundles(&installation).await?;
    let kib = |secret: &Secret| {
        let data = secret.data.iter().flatten();
        data.map(|(file, json)| file.len() + json.0.len()).sum::<usize>() / 1024
    };
    let sizes: Vec<_> = bundles.iter().map(kib).collect();
    table.row("the same: bundles, in KiB", "≤ 800 each", "", format!("{sizes:?}"));
    let following = ["--namespace", TEAM, "--records", "kube:bundles"];
    measure_start(&installation, table, "by API", &following).await?;
    let records = format!("dir:{}", mounted(plane, bundles)?.display());
    measure_start(&installation, table, "mounted", &["--records", &records]).await
}

async fn bundles(installation: &Installation) -> Result<Vec<Secret>> {
    let api: Api<Secret> = Api::namespaced(installation.client.clone(), TEAM);
    let mut found = api.list(&ListParams::default().labels("snaphook.dev/record=bundle")).await?.items;
    found.sort_by_key(|secret| bundle::index_of(&secret.name_any()));
    Ok(found)
}

/// The directory that a Pod would see.
fn mounted(plane: &ControlPlane, bundles: Vec<Secret>) -> Result<PathBuf> {
    let directory = plane.directory("mounted")?;
    for (file, json) in bundles.into_iter().filter_map(|secret| secret.data).flatten() {
        std::fs::write(directory.join(file), json.0)?;
    }
    Ok(directory)
}

async fn measure_start(installation: &Installation, table: &mut Table, how: &str, arguments: &[&str]) -> Result<()> {
    let started = Instant::now();
    let (server, _, probes): (Supervised, _, _) = installation.server_with(how, arguments).await?;
    ready(&probes).await?;
    let took: Duration = started.elapsed();
    let measured = format!("{:.2} s; {:.1} MiB", took.as_secs_f64(), resident(&server)?);
    table.row(&format!("a sidecar with 5,000 credentials, {how}: start until ready; memory"), "report", "", measured);
    server.stop().await?;
    Ok(())
}
