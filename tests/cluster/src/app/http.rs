//! The HTTP client of the test app, with or without connections that are kept.

use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

const LONGEST_CALL: Duration = Duration::from_secs(10);

pub(crate) struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Client {
    /// Keeps connections, as most clients do.
    pub(crate) fn pooled() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http())
    }

    /// Makes a connection for each call.
    pub(crate) fn fresh() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http())
    }

    pub(crate) async fn post_form(&self, url: &str, authorization: &str, form: String) -> Result<Reply> {
        let request = Request::post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form))?;
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let call = async {
            let response = self.0.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        tokio::time::timeout(LONGEST_CALL, call).await.context("no answer in time")?
    }
}
