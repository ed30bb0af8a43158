//! A rolling upgrade and a rollback under load: no token request fails, no acknowledged post is lost.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::{Load, wait_for};

use crate::{RELEASE, SOON, SYSTEM, Suite, TEAM};

const VALUES: &str = include_str!("manifests/values.yaml");

pub(crate) fn and_rollback_under_load(suite: &Suite) -> Result<String> {
    let load = UnderLoad::start(suite, "upgrade")?;
    let start = Instant::now();
    let restart = ["controller", "tokens", "hooks"].map(|part| format!("--set={part}.podAnnotations.upgrade=second"));
    let restart = restart.iter().map(String::as_str);
    suite.helm(&["upgrade", "--values=-"].into_iter().chain(restart).collect::<Vec<_>>(), VALUES)?;
    let upgrade = start.elapsed();
    suite.cluster.helm(&["rollback", RELEASE, "-n", SYSTEM, "--wait", "--timeout=2m"])?;
    let rollback = start.elapsed().saturating_sub(upgrade);
    let (tokens, posts) = load.end(suite)?;
    let seconds = Duration::as_secs_f64;
    Ok(format!(
        "{tokens} tokens, none failed; {posts} posts, all arrived; upgrade {:.1} s, rollback {:.1} s",
        seconds(&upgrade),
        seconds(&rollback)
    ))
}

/// Tokens and posts from a Pod of the team.
pub(crate) struct UnderLoad {
    tokens: Load,
    posts: Load,
    run: String,
}

impl UnderLoad {
    /// Starts with a token that came and a post that arrived. Each `run` needs a name of its own.
    pub(crate) fn start(suite: &Suite, run: &str) -> Result<Self> {
        let exec = |role: &[&str]| {
            let command = ["exec", "-i", "-n", TEAM, "deploy/load", "--", "/app"];
            suite.cluster.load(&[command.as_slice(), role].concat())
        };
        let tokens = exec(&["tokens", "--credential=/credential", "--rate=50"])?;
        let posts = exec(&["posts", "--webhook=/webhook", "--rate=20", "--run", run])?;
        let load = Self { tokens, posts, run: run.to_owned() };
        wait_for("the first post", SOON, || Ok(load.arrived(suite)?.contains(&0).then_some(())))?;
        Ok(load)
    }

    /// How many tokens and posts there were, after checking that none failed or got lost.
    pub(crate) fn end(mut self, suite: &Suite) -> Result<(u64, u64)> {
        let (tokens, posts) = (self.tokens.end()?, self.posts.end()?);
        ensure!(tokens["failed"] == 0, "token requests failed: {tokens}");
        let accepted = posts["accepted"].as_u64().context("no count of posts")?;
        let got = tokens["got"].as_u64().context("no count of tokens")?;
        ensure!(accepted > 0 && got > 0, "no load: {tokens} {posts}");
        wait_for("all posts at the receiver", SOON, || {
            let arrived = self.arrived(suite)?;
            let missing: Vec<u64> = (0..accepted).filter(|number| !arrived.contains(number)).collect();
            ensure!(missing.is_empty(), "accepted and not arrived: {missing:?}");
            Ok(Some(()))
        })?;
        Ok((got, accepted))
    }

    fn arrived(&self, suite: &Suite) -> Result<HashSet<u64>> {
        let begin = format!(r#"{{"run":"{}","number":"#, self.run);
        let number = |line: &str| line.strip_prefix(&begin)?.strip_suffix('}')?.parse().ok();
        Ok(suite.received()?.lines().filter_map(number).collect())
    }
}
