//! Flow 3: asks a running server, over its Unix socket.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::join;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::{http::admin_view::Problem, terminal};

/// A server, by its socket.
pub(super) struct Client {
    socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody listens.
    #[error(
        "no server answers at {socket}: {reason}\n\
         Run this where `snaphook server --serve hooks` runs (in a cluster: kubectl exec DEPLOYMENT -- snaphook deliveries), \
         or name its --admin-socket with --socket"
    )]
    Connect {
        /// Where.
        socket: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The server says no.
    #[error("{message}\n{fix}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do.
        fix: String,
    },
    /// What came back is no answer.
    #[error("the server did not answer as expected")]
    Answer(#[source] anyhow::Error),
}

impl Client {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.ask(Request::builder().method(Method::GET), path, Bytes::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.ask(Request::builder().method(Method::POST), path, Bytes::new()).await
    }

    pub(super) async fn post_body<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<T, AskError> {
        let mut request = Request::builder().method(Method::POST);
        if let Some(all) = request.headers_mut() {
            *all = headers;
        }
        self.ask(request, path, body).await
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.ask(Request::builder().method(Method::DELETE), path, Bytes::new()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: hyper::http::request::Builder,
        path: &str,
        body: Bytes,
    ) -> Result<T, AskError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error.kind()))?;
        let request = request.uri(path).header(header::HOST, "snaphook").body(Full::new(body));
        let request = request.map_err(|error| AskError::Answer(error.into()))?;
        let (status, body) = exchange(stream, request).await.map_err(AskError::Answer)?;
        let unexpected = |error: serde_json::Error| AskError::Answer(error.into());
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(unexpected);
        }
        let Problem { error: _, message, fix } = serde_json::from_slice(&body).map_err(unexpected)?;
        Err(AskError::Refused { message: terminal::line(&message), fix: terminal::line(&fix) })
    }

    fn unreachable(&self, kind: ErrorKind) -> AskError {
        let reason = match kind {
            ErrorKind::NotFound => "there is no such socket",
            ErrorKind::ConnectionRefused => "nobody listens there any more",
            ErrorKind::PermissionDenied => "only the user that the server runs as may open it",
            ErrorKind::InvalidInput => "the path is too long for a socket",
            _ => "it cannot be opened",
        };
        AskError::Connect { socket: self.socket.clone(), reason }
    }
}

async fn exchange(stream: UnixStream, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await.context("the connection broke")?;
        let status = response.status();
        let body = response.into_body().collect().await.context("the connection broke")?;
        Ok((status, body.to_bytes()))
    };
    // The connection ends when `exchange` has dropped its sender; an error of it is an error there, too.
    let (answer, _) = join(exchange, connection).await;
    answer
}
