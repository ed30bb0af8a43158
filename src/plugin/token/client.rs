//! `kubectl snaphook token` and `verify`: the request of an app (RFC 6749, section 4.4), sent with the HTTP client of the API server's client.

use std::{str::FromStr, time::Duration};

use anyhow::Context as _;
use axum::http::{Request, Uri, header, uri::PathAndQuery};
use form_urlencoded::Serializer;
use http_body_util::{BodyExt as _, Limited};
use kube::{Client, Config, client::Body};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Ten times what the longest token has.
const MAX_ANSWER: usize = 64 * 1024;

/// Where a server is: scheme, host and port.
#[derive(Clone, Debug)]
pub(super) struct Server(Uri);

impl FromStr for Server {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected http:// or https://, a host and perhaps a port";
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let fits = matches!(uri.scheme_str(), Some("http" | "https")) && matches!(uri.path(), "" | "/");
        if fits { Ok(Self(uri)) } else { Err(EXPECTED) }
    }
}

/// What the server says.
pub(super) enum Answer {
    Token { token: String, expires_in: i64, scope: String },
    Refused { status: u16, error: String, description: String },
}

/// Asks for a token, at `server` instead of at the host of the URL where one is given.
pub(super) async fn ask(
    token_url: &str,
    server: Option<&Server>,
    client_id: &str,
    secret: &SecretString,
    wishes: &[(&str, Option<&str>)],
) -> anyhow::Result<Answer> {
    let url: Uri = token_url.parse().with_context(|| format!("the Secret's token URL {token_url:?} is no URL"))?;
    let path = url.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.append_pair("client_id", client_id).append_pair("client_secret", secret.expose_secret());
    form.extend_pairs(wishes.iter().filter_map(|(name, value)| Some((name, (*value)?))));
    let request = Request::post(path.as_str()).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = request.body(Body::from(form.finish().into_bytes()))?;
    let server = server.map_or_else(|| origin(&url), |Server(uri)| Ok(uri.clone()))?;
    let unreachable = || {
        format!(
            "the server at {server} does not answer. A URL that only the cluster knows is reached through a port-forward: \
             kubectl port-forward -n snaphook-system service/SERVICE 8080, and --server http://127.0.0.1:8080"
        )
    };
    let answer = tokio::time::timeout(TIMEOUT, send(&server, request)).await.with_context(unreachable)?;
    let (status, body) = answer.with_context(unreachable)?;
    read(status, &body)
}

fn origin(url: &Uri) -> anyhow::Result<Uri> {
    let (scheme, authority) = url.scheme_str().zip(url.authority()).context("the Secret's token URL has no host")?;
    Ok(Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query("/").build()?)
}

/// Nothing of the cluster's own configuration is in this client: no certificate, no token.
async fn send(server: &Uri, request: Request<Body>) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut config = Config::new(server.clone());
    config.default_retry = false;
    let response = Client::try_from(config)?.send(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|_| anyhow::anyhow!("its answer breaks off, or is too long"))?;
    Ok((status, body.to_bytes().to_vec()))
}

fn read(status: u16, body: &[u8]) -> anyhow::Result<Answer> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (token, error) = (text("access_token"), text("error"));
    if status == 200 && !token.is_empty() {
        let expires_in = answer.get("expires_in").and_then(Value::as_i64).unwrap_or_default();
        return Ok(Answer::Token { token, expires_in, scope: text("scope") });
    }
    // The answers of a token server alone have a meaning here: a proxy that says 401 is another matter.
    let judged = matches!(status, 400 | 401) && !error.is_empty();
    anyhow::ensure!(judged, "the server answered {status} {error}: it is not ready, or no token server");
    Ok(Answer::Refused { status, error, description: text("error_description") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_origin() {
        assert!("http://127.0.0.1:8080".parse::<Server>().is_ok());
        assert!("https://auth.example.com/".parse::<Server>().is_ok());
        for bad in ["", "127.0.0.1:8080", "ftp://x", "https://x/oauth/token", "x"] {
            assert!(bad.parse::<Server>().is_err(), "{bad}");
        }
        assert_eq!(origin(&"https://a.test:1/x/oauth/token?a=b".parse().unwrap()).unwrap(), "https://a.test:1/");
    }

    #[test]
    fn only_a_token_server_judges() {
        assert!(matches!(read(200, br#"{"access_token":"a.b.c","expires_in":300}"#), Ok(Answer::Token { .. })));
        assert!(matches!(read(401, br#"{"error":"invalid_client"}"#), Ok(Answer::Refused { status: 401, .. })));
        for (status, body) in
            [(200, "{}"), (401, "<html>"), (404, r#"{"error":"not_found"}"#), (503, r#"{"error":"x"}"#)]
        {
            assert!(read(status, body.as_bytes()).is_err(), "{status} {body}");
        }
    }
}
