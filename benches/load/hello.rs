//! The reference: what axum answers when there is nothing to do.

use axum::{Router, routing::get};

/// Serves until it is ended.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening public={}", listener.local_addr().unwrap());
        axum::serve(listener, Router::new().route("/", get(async || "hello"))).await.unwrap();
    });
}
