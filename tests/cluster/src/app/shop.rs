//! An app that calls another: with one token until shortly before it expires, and with a new one when it is refused.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::Request;
use hyper::header::AUTHORIZATION;

use crate::credential;
use crate::http::Client;

const PAUSE: Duration = Duration::from_millis(20);
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// Prints a line when the outcome of its calls changes: `MILLISECONDS orders 200`, `MILLISECONDS token 401`.
pub(crate) async fn run(credential: &Path, orders: &str) -> Result<()> {
    let client = Client::pooled();
    let (mut token, mut last): (Option<Token>, _) = (None, String::new());
    loop {
        let outcome =
            step(&client, credential, orders, &mut token).await.unwrap_or_else(|error| format!("error {error:#}"));
        if outcome != last {
            println!("{} {outcome}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis());
            last = outcome;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Token {
    bearer: String,
    renew_at: Instant,
}

async fn step(client: &Client, credential: &Path, orders: &str, token: &mut Option<Token>) -> Result<String> {
    if token.as_ref().is_none_or(|token| Instant::now() >= token.renew_at) {
        return renew(client, credential, token).await;
    }
    let bearer = token.as_ref().map_or("", |token| &token.bearer);
    let request = Request::get(orders).header(AUTHORIZATION, format!("Bearer {bearer}")).body(Full::default())?;
    let status = client.send(request).await?.status.as_u16();
    if status == 401 {
        *token = None;
    }
    Ok(format!("orders {status}"))
}

/// A new token. Where it is refused, the one at hand is used on, as it may still be good.
async fn renew(client: &Client, credential: &Path, token: &mut Option<Token>) -> Result<String> {
    let reply = credential::token_request(client, credential).await?;
    if reply.status.is_success() {
        let answer: serde_json::Value = serde_json::from_str(&reply.body)?;
        let bearer = answer["access_token"].as_str().context("no access_token")?.to_owned();
        let lifetime = Duration::from_secs(answer["expires_in"].as_u64().context("no expires_in")?);
        *token = Some(Token { bearer, renew_at: Instant::now() + lifetime / 2 });
    } else if let Some(token) = token {
        token.renew_at = Instant::now() + RENEW_AGAIN;
    }
    Ok(format!("token {}", reply.status.as_u16()))
}
