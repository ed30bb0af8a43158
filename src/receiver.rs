//! Flow 3, at its far end: a small receiver, so that a person can see what is delivered. `snaphook receive` and `snaphook dev` share it.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{StatusCode, request::Parts},
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::http::{BodyError, read_body, serve_router};

/// A longer body is refused.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// So many bodies are in memory at most.
const MAX_BODIES: usize = 4;
const MAX_CONNECTIONS: usize = 128;

/// Hands each call to `show`, and then answers it with `status`. Serves for as long as it is polled.
pub(crate) async fn serve<F>(listener: TcpListener, status: StatusCode, show: F)
where
    F: Fn(&Parts, &Bytes) + Clone + Send + Sync + 'static,
{
    let bodies = Arc::new(Semaphore::new(MAX_BODIES));
    let receive = async move |request: Request| {
        let (parts, body) = request.into_parts();
        let _room = bodies.acquire().await;
        match read_body(&parts.headers, body, MAX_BODY).await {
            Ok(body) => {
                show(&parts, &body);
                status
            }
            Err(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Err(BodyError::Slow) => StatusCode::REQUEST_TIMEOUT,
            Err(BodyError::Broken) => StatusCode::BAD_REQUEST,
        }
    };
    serve_router(listener, Router::new().fallback(receive), MAX_CONNECTIONS).await;
}
