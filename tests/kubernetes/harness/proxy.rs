//! Stands between a controller and the API server, counts what it writes, and cuts it off at a chosen write.

use std::{
    convert::Infallible,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{
    Client,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use super::Plane;

/// Which side of a write the cut is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The API server never hears of it.
    Before,
    /// It is done, and its answer never arrives.
    After,
}

/// A plain-HTTP listener that forwards to the API server. Ends with its runtime.
#[derive(Clone)]
pub(crate) struct Proxy {
    client: Client,
    gate: Arc<Mutex<Gate>>,
    cut: watch::Sender<bool>,
    pub(crate) kubeconfig: PathBuf,
}

#[derive(Default)]
struct Gate {
    /// Writes since they were last counted from anew.
    writes: Vec<String>,
    at: Option<(usize, Side)>,
    /// Nothing passes any more.
    closed: bool,
}

impl Proxy {
    /// Starts one with every right.
    pub(crate) async fn start(plane: &Plane<'_>) -> Self {
        let file = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = plane.directory("proxy").unwrap().join("kubeconfig");
        let server = format!("http://{}", listener.local_addr().unwrap());
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": { "server": server } }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "proxy" } }],
            "users": [{ "name": "proxy", "user": {} }],
        });
        fs::write(&kubeconfig, text.to_string()).unwrap();
        let client = Client::try_from(config).unwrap();
        let proxy = Self { client, gate: Arc::default(), cut: watch::Sender::new(false), kubeconfig };
        tokio::spawn(proxy.clone().serve(listener));
        proxy
    }

    /// Counts from now on, and cuts at the `n`-th write, from 1.
    pub(crate) fn cut_at(&self, n: usize, side: Side) {
        let mut gate = self.lock();
        gate.writes.clear();
        gate.at = Some((n, side));
    }

    /// Lets nothing pass in either direction.
    pub(crate) fn close(&self, closed: bool) {
        self.lock().closed = closed;
        self.cut.send_replace(closed);
    }

    /// The writes since the last [`Self::cut_at`], the last one perhaps not forwarded.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.lock().writes.clone()
    }

    /// Returns when the cut has come.
    pub(crate) async fn is_cut(&self) {
        let mut cut = self.cut.subscribe();
        cut.wait_for(|cut| *cut).await.unwrap();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let proxy = self.clone();
            let service = service_fn(move |request| proxy.clone().pass(request));
            let mut cut = self.cut.subscribe();
            tokio::spawn(async move {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // Watches are cut as well.
                tokio::select! { _ = connection => {}, _ = cut.wait_for(|cut| *cut) => {} }
            });
        }
    }

    async fn pass(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let cut = self.count(&parts.method, parts.uri.path(), &body);
        if cut == Some(Side::Before) {
            return self.close_for_good().await;
        }
        let mut forwarded = Request::from_parts(parts, Body::from(body.to_vec()));
        forwarded.headers_mut().remove(hyper::header::HOST);
        let answer = self.client.send(forwarded).await;
        if cut == Some(Side::After) {
            return self.close_for_good().await;
        }
        Ok(answer.unwrap_or_else(|_| {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }))
    }

    async fn close_for_good(&self) -> Result<Response<Body>, Infallible> {
        self.close(true);
        std::future::pending().await
    }

    /// Whether this request is the one, or comes too late.
    fn count(&self, method: &Method, path: &str, body: &[u8]) -> Option<Side> {
        let mut gate = self.lock();
        if gate.closed {
            return Some(Side::Before);
        }
        let about_keys =
            path.contains("snaphook-signing-keys") || String::from_utf8_lossy(body).contains("snaphook-signing-keys");
        if method == Method::GET || about_keys || path.contains("/leases") {
            return None;
        }
        gate.writes.push(format!("{method} {path}"));
        gate.at.filter(|(n, _)| *n == gate.writes.len()).map(|(_, side)| side)
    }
}
