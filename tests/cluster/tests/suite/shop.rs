//! A Deployment that mounts its Secret gets a token and calls another, which asks introspection.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::{SOON, Suite, TEAM};

pub(crate) fn is_refused_once_revoked(suite: &Suite) -> Result<String> {
    let shop = suite.cluster.follow(&["logs", "-n", TEAM, "-f", "deploy/shop"])?;
    shop.line("that orders came", SOON, |line| line.ends_with("orders 200"))?;
    let patched = patch(suite, r#"{"spec":{"revoked":true}}"#)?;
    let refused = shop.line("that orders were refused", SOON, |line| line.ends_with("orders 401"))?;
    shop.line("that no token came", SOON, |line| line.ends_with("token 401"))?;
    patch(suite, r#"{"spec":{"revoked":null}}"#)?;
    shop.line("that tokens come again", SOON, |line| line.ends_with("token 200"))?;
    shop.line("that orders come again", SOON, |line| line.ends_with("orders 200"))?;
    let refused: u128 = refused.split(' ').next().context("an empty line")?.parse()?;
    // The same clock in a cluster of our own; in another one the figure is as good as its clocks.
    let after = refused.saturating_sub(patched.as_millis());
    Ok(format!("refused {after} ms after `kubectl patch` was started"))
}

/// When it was started, since 1970.
fn patch(suite: &Suite, patch: &str) -> Result<Duration> {
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    suite.cluster.kubectl(&["patch", "-n", TEAM, "appcredential/shop", "--type=merge", "-p", patch])?;
    Ok(start)
}
