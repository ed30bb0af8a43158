//! The Secret of an AppCredential, as it is mounted: one file a key, read again at each use, so that a rotation counts.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::StatusCode;
use serde_json::Value;

use crate::http::{Client, Reply};

/// A file of a mounted Secret.
pub(crate) fn read(directory: &Path, key: &str) -> Result<String> {
    let path = directory.join(key);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// RFC 6749 §2.3.1; ids and secrets of Snaphook need no encoding.
fn basic(directory: &Path) -> Result<String> {
    let pair = format!("{}:{}", read(directory, "client-id")?, read(directory, "client-secret")?);
    Ok(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// What the token endpoint answers (RFC 6749 §4.4).
pub(crate) async fn token_request(client: &Client, directory: &Path) -> Result<Reply> {
    let url = read(directory, "token-url")?;
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("grant_type", "client_credentials").finish();
    client.post_form(&url, &basic(directory)?, form).await
}

/// An access token.
pub(crate) async fn token(client: &Client, directory: &Path) -> Result<String> {
    let reply = token_request(client, directory).await?;
    if reply.status != StatusCode::OK {
        bail!("{} {}", reply.status, reply.body);
    }
    let answer: Value = serde_json::from_str(&reply.body)?;
    Ok(answer["access_token"].as_str().context("no access_token")?.to_owned())
}

/// Whether a token is active (RFC 7662), in the eyes of the credential that asks.
pub(crate) async fn is_active(client: &Client, directory: &Path, token: &str) -> Result<bool> {
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
    let reply = client.post_form(&read(directory, "introspection-url")?, &basic(directory)?, form).await?;
    if reply.status != StatusCode::OK {
        bail!("introspection: {} {}", reply.status, reply.body);
    }
    Ok(serde_json::from_str::<Value>(&reply.body)?["active"] == true)
}
