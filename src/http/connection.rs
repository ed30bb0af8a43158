//! Flow 2: one connection, from its first byte to its end.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header::CONNECTION},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::Watcher, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    pace::{Pace, Paced},
    rate_limit::Peer,
};

/// Longer headers, and more than hyper's 100 of them, are answered 431.
const MAX_HEAD: usize = 32 * 1024;
const MAX_BUFFER: usize = 2 * MAX_HEAD;
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What every connection of a listener is served with.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) tls: Option<TlsAcceptor>,
    /// Whether requests carry the address that they come from: somebody counts them.
    pub(super) with_peer: bool,
    /// Whether connections are to end with their next answer, so that no client has a request under way when idle ones are closed.
    pub(super) draining: Arc<AtomicBool>,
}

impl Service {
    /// Serves a connection until one of both ends closes it, or until `watcher` drains it.
    pub(super) async fn serve(self, stream: TcpStream, peer: IpAddr, watcher: Watcher) {
        // An error says that there is no connection any more.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.speak(stream, peer, watcher).await };
        match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream, peer, watcher).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS connection came about"),
            Err(_) => tracing::debug!(%peer, "no TLS connection came about in time"),
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: IpAddr, watcher: Watcher) {
        let pace = Arc::new(Pace::default());
        let inner = TowerToHyperService::new(self.router);
        let service = service_fn(|mut request: Request<Incoming>| {
            pace.request();
            if self.with_peer {
                request.extensions_mut().insert(Peer(peer));
            }
            let answer = hyper::service::Service::call(&inner, request);
            let (pace, draining) = (&pace, &self.draining);
            async move {
                let mut answer = answer.await;
                if draining.load(Relaxed)
                    && let Ok(answer) = &mut answer
                {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                pace.answered();
                answer
            }
        });
        let io = TokioIo::new(Paced { stream, pace: Arc::clone(&pace) });
        let connection = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_BUFFER)
            // Answers are short: one buffer costs less than two, also in TLS records.
            .writev(false)
            .serve_connection(io, service);
        tokio::select! {
            biased;
            // What ends a connection early is the client's affair.
            _ = watcher.watch(connection) => {}
            () = pace.lost() => tracing::debug!(%peer, "a connection was closed: it was too slow, or idle"),
        }
    }
}
