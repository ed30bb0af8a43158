//! An API that asks introspection about the token of each call.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::credential;
use crate::http::Client;

struct Api {
    client: Client,
    credential: PathBuf,
}

/// Serves on port 8080: `/orders` to those with an active token, `/healthz` to all.
pub(crate) async fn serve(credential: PathBuf) -> Result<()> {
    let api = Arc::new(Api { client: Client::pooled(), credential });
    let router = Router::new().route("/orders", get(orders)).route("/healthz", get(|| async { "ok" })).with_state(api);
    let mut end = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind("0.0.0.0:8080").await?;
    Ok(axum::serve(listener, router).with_graceful_shutdown(async move { _ = end.recv().await }).await?)
}

async fn orders(State(api): State<Arc<Api>>, headers: HeaderMap) -> (StatusCode, String) {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = bearer else { return (StatusCode::UNAUTHORIZED, "no token".to_owned()) };
    match credential::is_active(&api.client, &api.credential, token).await {
        Ok(true) => (StatusCode::OK, "two boxes of tea".to_owned()),
        Ok(false) => (StatusCode::UNAUTHORIZED, "this token is not active".to_owned()),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")),
    }
}
