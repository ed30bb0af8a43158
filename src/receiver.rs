//! Flow 3, at its far end: a small receiver, so that a person can see what is delivered. `snaphook receive` and `snaphook dev` share it.

use std::io;

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{StatusCode, request::Parts},
};
use tokio::net::TcpListener;

/// A longer body is refused, so that no sender can fill the memory.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Hands each call to `show`, and then answers it with `status`. Serves for as long as it is polled.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve<F>(listener: TcpListener, status: StatusCode, show: F) -> io::Result<()>
where
    F: Fn(&Parts, &Bytes) + Clone + Send + Sync + 'static,
{
    let receive = async move |request: Request| {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, MAX_BODY).await else { return StatusCode::PAYLOAD_TOO_LARGE };
        show(&parts, &body);
        status
    };
    axum::serve(listener, Router::new().fallback(receive)).await
}
