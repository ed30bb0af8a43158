//! Load until standard input ends: tokens, of which none may fail, and posts, of which none may be lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use control_plane::hex;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::http::Client;
use crate::{Load, credential};

/// Senders try for a while: this often, this long after another.
const TRIES: u32 = 300;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
const FAILURES_SHOWN: usize = 5;

/// Prints `{"got": N, "failures": [text]}`. Every second call makes a connection of its own.
pub(crate) async fn tokens(credential: &Path, load: Load) -> Result<()> {
    let results = paced(load, |number, clients| {
        let credential = credential.to_owned();
        async move {
            let client = if number % 2 == 0 { &clients.0 } else { &clients.1 };
            credential::token(client, &credential).await.map(|_| 1)
        }
    });
    let results = results.await?;
    let got = results.iter().filter(|result| result.is_ok()).count();
    let failures: Vec<String> =
        results.iter().filter_map(|result| Some(format!("{:#}", result.as_ref().err()?))).collect();
    println!(
        "{}",
        json!({"got": got, "failed": failures.len(), "failures": &failures[..failures.len().min(FAILURES_SHOWN)]})
    );
    Ok(())
}

/// Prints `{"accepted": N, "tries": M}`: the bodies are `{"run":"NAME","number":0}` up to N - 1.
pub(crate) async fn posts(webhook: &Path, run: &str, load: Load) -> Result<()> {
    let results = paced(load, |number, clients| {
        let (webhook, message) = (webhook.to_owned(), format!(r#"{{"run":"{run}","number":{number}}}"#));
        async move { post_until_accepted(&clients.0, &webhook, message).await }
    });
    let tries = results.await?.into_iter().collect::<Result<Vec<u32>>>()?;
    println!("{}", json!({"accepted": tries.len(), "tries": tries.iter().sum::<u32>()}));
    Ok(())
}

/// Starts a call at each tick until standard input ends or the time is over, whatever became of the ones before, and waits for all.
async fn paced<F>(load: Load, call: impl Fn(u32, Arc<(Client, Client)>) -> F) -> Result<Vec<Result<u32>>>
where
    F: Future<Output = Result<u32>> + Send + 'static,
{
    let clients = Arc::new((Client::pooled(), Client::fresh()));
    let mut ticks = interval(Duration::from_secs(1) / load.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (end, mut calls) = (Instant::now() + load.duration(), JoinSet::new());
    let input_ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let mut number = 0;
    while Instant::now() < end && !input_ended.is_finished() {
        ticks.tick().await;
        calls.spawn(call(number, clients.clone()));
        number += 1;
    }
    Ok(calls.join_all().await)
}

/// How many tries it took.
async fn post_until_accepted(client: &Client, webhook: &Path, body: String) -> Result<u32> {
    let (url, secret) = (credential::read(webhook, "internal-url")?, credential::read(webhook, "signing-secret")?);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes());
    let signature = hex(tag.as_ref());
    let mut last = None;
    for attempt in 1..=TRIES {
        let request = Request::post(&url)
            .header("X-GitHub-Delivery", &signature) // any text of its own
            .header("X-Hub-Signature-256", format!("sha256={signature}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.clone()))?;
        match client.send(request).await {
            Ok(reply) if reply.status.is_success() => return Ok(attempt),
            Ok(reply) => last = Some(anyhow::anyhow!("{} {}", reply.status, reply.body)),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    Err(last.context("no try")?.context(format!("{body} was never accepted")))
}
