//! Flow 3: connects to a receiver. One resolution; every address is vetted; the connection goes to a vetted address and no other.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use hickory_resolver::net::NetError;
use hyper::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tower::Service;

use super::{
    guard::{Denied, Guard},
    resolver::Resolver,
    tls::Tls,
};

/// A connection that has not come about by then never will. The limit of the call is usually shorter, but a connection goes on coming
/// about when another one has meanwhile become free for its call.
const LONGEST: Duration = Duration::from_secs(30);
/// So long before the next address an address is tried alone: RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Why there is no connection. Names the host, and nothing else of the URL.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A URL without a host, or a Service that is no address.
    #[error("the target has no host")]
    NoHost,
    /// The name has no address.
    #[error("{host} has no address")]
    NotResolved {
        /// The host.
        host: String,
        /// Why.
        source: NetError,
    },
    /// None of its addresses is allowed.
    #[error("{host} is not called")]
    Denied {
        /// The host.
        host: String,
        /// Why not.
        source: Denied,
    },
    /// No address accepts a connection.
    #[error("no connection to {host}")]
    NotConnected {
        /// The host.
        host: String,
        /// What the last address said.
        source: io::Error,
    },
    /// A connection, but no TLS.
    #[error("no TLS with {host}")]
    NoTls {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody answered.
    #[error("no connection to {host} in {} s", LONGEST.as_secs())]
    TooLate {
        /// The host.
        host: String,
    },
}

/// What the receiver of a call is, which decides how its address is vetted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Receiver {
    /// The host of a URL that a user wrote.
    Url,
    /// The address of a Service that the controller looked up.
    Service,
}

/// Makes connections for hyper's client. Two for different receivers never share a pool.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) receiver: Receiver,
    pub(super) guard: Arc<Guard>,
    pub(super) resolver: Resolver,
    pub(super) tls: Tls,
}

/// A byte stream, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let host = host_of(&uri).ok_or(ConnectError::NoHost)?;
            let late = ConnectError::TooLate { host: host.clone() };
            timeout(LONGEST, connector.connect(host, &uri)).await.unwrap_or(Err(late)).map(TokioIo::new)
        })
    }
}

impl Connector {
    async fn connect(&self, host: String, uri: &Uri) -> Result<Box<dyn Stream>, ConnectError> {
        let encrypted = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let addresses = self.vetted(&host, port).await?;
        let stream = match connect_to_one(&addresses).await {
            Ok(stream) => stream,
            Err(source) => return Err(ConnectError::NotConnected { host, source }),
        };
        if !encrypted {
            return Ok(Box::new(stream));
        }
        match self.tls.connect(&host, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => Err(ConnectError::NoTls { host, source }),
        }
    }

    /// The addresses of the host that are allowed: at least one.
    async fn vetted(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let denied = |source| ConnectError::Denied { host: host.to_owned(), source };
        if self.receiver == Receiver::Service {
            let address = SocketAddr::new(host.parse().map_err(|_| ConnectError::NoHost)?, port);
            return self.guard.check_service(address).map(|()| vec![address]).map_err(denied);
        }
        let (mut allowed, mut refusal) = (Vec::new(), None);
        for address in self.resolved(host).await? {
            let address = SocketAddr::new(address, port);
            match self.guard.check(address) {
                Ok(()) => allowed.push(address),
                Err(reason) => refusal = Some(reason),
            }
        }
        match refusal {
            Some(reason) if allowed.is_empty() => Err(denied(reason)),
            _ => Ok(allowed),
        }
    }

    async fn resolved(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let found = self.resolver.addresses(host).await;
        let found = found.and_then(|found| if found.is_empty() { Err("no address records".into()) } else { Ok(found) });
        found.map_err(|source| ConnectError::NotResolved { host: host.to_owned(), source })
    }
}

/// Without the brackets of an IPv6 address.
fn host_of(uri: &Uri) -> Option<String> {
    let host = uri.host()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// The first of the addresses that accepts a connection. Each is given a head start, and one that refuses none.
async fn connect_to_one(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let (mut waiting, mut running) = (addresses.iter(), FuturesUnordered::new());
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        running.extend(next.map(TcpStream::connect));
        tokio::select! {
            ended = running.next() => match ended {
                Some(Ok(stream)) => {
                    // An error says that there is no connection any more.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Err(error)) => last = error,
                None => return Err(last),
            },
            () = sleep(HEAD_START), if next.is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_uri_is_without_brackets() {
        for (uri, host) in [
            ("http://[::1]:80/", Some("::1")),
            ("http://127.0.0.1/", Some("127.0.0.1")),
            ("https://example.net./", Some("example.net.")),
            ("/in", None),
        ] {
            assert_eq!(host_of(&uri.parse().unwrap()).as_deref(), host, "{uri}");
        }
    }
}
