//! Flows 1 and 2: the listener of every program for probes and metrics. In plain text, for kubelets and people.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::{ServeError, connection::Service, listener::Listener};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Probes come from few sources.
const MAX_CONNECTIONS: usize = 256;

/// Who is probed.
pub trait Probed: Send + Sync + 'static {
    /// Whether it can do its work.
    ///
    /// # Errors
    /// Why not, for people.
    fn ready(&self) -> Result<(), &'static str>;
    /// Its metrics in the `OpenMetrics` text format.
    fn metrics(&self) -> String;
}

/// A bound address for probes and metrics.
#[derive(Debug)]
pub struct Probes(Listener);

impl Probes {
    /// Binds the address. Port 0 chooses a free one.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        super::bind(address, MAX_CONNECTIONS).await.map(Self)
    }

    /// The address, with the port that was chosen.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.address()
    }

    /// Answers for as long as it is polled: whoever is about to end is still alive.
    pub async fn serve(self, probed: Arc<impl Probed>) {
        let service = Service { router: router(probed), tls: None, with_peer: false, draining: Arc::default() };
        self.0.serve(service, std::future::pending(), Duration::ZERO).await;
    }
}

fn router<P: Probed>(probed: Arc<P>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready::<P>))
        .route("/metrics", get(metrics::<P>))
        .fallback(async || (StatusCode::NOT_FOUND, "served here: /livez, /readyz, /metrics\n"))
        .with_state(probed)
}

async fn ready<P: Probed>(State(probed): State<Arc<P>>) -> impl IntoResponse {
    match probed.ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics<P: Probed>(State(probed): State<Arc<P>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], probed.metrics())
}
