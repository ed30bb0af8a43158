//! New resources until all are Ready, against a bare client that makes the same writes; writes per resource from the audit log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use control_plane::{AuditEvent, ControlPlane, Mark};
use snaphook::record::SIGNING_KEYS_SECRET;

use crate::{
    bare::Bare,
    snaphook::{Installation, Measured},
    table::{Table, quantile},
};

/// Each on an API server of its own, first by the controller, then by the bare client.
const ROUNDS: usize = 3;

/// What is asked for.
pub(crate) struct Bounds {
    pub(crate) rate: &'static str,
    pub(crate) ratio: &'static str,
    pub(crate) writes: &'static str,
}

struct Round {
    rate: f64,
    ratio: f64,
    writes: f64,
    writes_after_restart: usize,
}

pub(crate) async fn measure<K: Measured>(count: usize, bounds: &Bounds, table: &mut Table) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round::<K>(&crate::plane().await?, count).await?);
    }
    let sorted = |of: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (rates, ratios, writes) = (sorted(|it| it.rate), sorted(|it| it.ratio), sorted(|it| it.writes));
    let restarts = rounds.iter().map(|it| it.writes_after_restart).max().unwrap_or_default();
    let kind = K::KIND;
    table.row(
        &format!("API writes per new {kind}, Event included: most of {ROUNDS} rounds"),
        bounds.writes,
        "",
        format!("{:.3}", quantile(&writes, 1.0)),
    );
    table.row(
        &format!("writes after a restart with {count} unchanged {kind}s (Lease left out)"),
        "0",
        "",
        restarts.to_string(),
    );
    table.row(
        &format!("{count} new {kind}s → all Ready, a second: median of {ROUNDS} rounds (min, max)"),
        bounds.rate,
        "",
        format!("{:.0} ({:.0}, {:.0})", quantile(&rates, 0.5), rates[0], quantile(&rates, 1.0)),
    );
    table.row(
        "the same / a bare client with the same writes: median (min, max)",
        "",
        bounds.ratio,
        format!("{:.0} % ({:.0}, {:.0})", quantile(&ratios, 0.5), ratios[0], quantile(&ratios, 1.0)),
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
async fn round<K: Measured>(plane: &ControlPlane, count: usize) -> Result<Round> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    let mark = plane.audit().mark()?;
    let started = Instant::now();
    installation.create::<K>(0..count).await?;
    installation.all_ready::<K>(count).await?;
    let rate = count as f64 / started.elapsed().as_secs_f64();
    let writes = settled_writes(plane, mark).await? as f64 / count as f64;
    eprintln!("{:#?}", sorts_of_writes(plane, mark)?);

    let mark = plane.audit().mark()?;
    controller.stop().await?;
    let controller = installation.controller().await?;
    let writes_after_restart = settled_writes(plane, mark).await?;
    controller.stop().await?;

    let bare = Bare::<K>::like_the_first(&installation).await?.make(count).await?;
    eprintln!("{rate:.0}/s, bare: {bare:.0}/s");
    Ok(Round { rate, ratio: 100.0 * rate / bare, writes, writes_after_restart })
}

/// Lease and signing keys are the realm's, and cost the same with one credential and with a thousand.
fn is_ours(event: &AuditEvent) -> bool {
    let of_realm = event.resource == "leases" || event.name == SIGNING_KEYS_SECRET;
    event.is_write() && !of_realm && event.user_agent.starts_with("snaphook-controller")
}

/// The writes since a mark, once none has come for three seconds.
pub(crate) async fn settled_writes(plane: &ControlPlane, mark: Mark) -> Result<usize> {
    let mut last = usize::MAX;
    loop {
        let writes = plane.audit().since(mark)?.iter().filter(|event| is_ours(event)).count();
        if writes == last {
            return Ok(writes);
        }
        last = writes;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// How many writes of which sort, and how they were answered: where there are too many, this tells which.
pub(crate) fn sorts_of_writes(plane: &ControlPlane, mark: Mark) -> Result<BTreeMap<String, usize>> {
    let mut sorts = BTreeMap::new();
    for event in plane.audit().since(mark)?.iter().filter(|event| is_ours(event)) {
        let AuditEvent { verb, resource, subresource, code, .. } = event;
        *sorts.entry(format!("{verb} {resource}/{subresource} {code}")).or_default() += 1;
    }
    Ok(sorts)
}
