//! Flow 3: the guard through which every outgoing call goes. The address that is connected to is the address that was vetted.
//!
//! Proxies that the environment names are not asked: no one could vet where they connect to.

mod address;
mod connector;
mod guard;
mod resolver;
mod tls;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::{
    client::legacy::{Client, ResponseFuture},
    rt::{TokioExecutor, TokioTimer},
};

pub use address::{Special, special};
pub use connector::ConnectError;
use connector::Connector;
pub(super) use connector::Receiver;
pub use guard::{Denied, Exception, Forbidden, Guard, NotAnAddress};
pub use resolver::Resolver;
pub use tls::{Tls, TlsError};

/// Shorter than most receivers keep a connection, so that they seldom close one that is just being used.
const IDLE: Duration = Duration::from_secs(15);
/// As many as one may be called at once: fewer would be closed after a call, and opened again for the next.
const MAX_IDLE_PER_RECEIVER: usize = 100;
/// Longer headers of an answer, and more of them, are no answer.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

type Http = Client<Connector, Full<Bytes>>;

/// Makes all outgoing calls. Keeps connections for later calls to the same receiver, follows no redirect, decodes nothing.
#[derive(Clone)]
pub struct Egress {
    urls: Http,
    /// Apart from the others: a URL must not find a connection that only the Service behind it may open.
    services: Http,
}

impl Egress {
    /// Calls that `guard` allows.
    #[must_use]
    pub fn new(guard: Guard, resolver: Resolver, tls: Tls) -> Self {
        let urls = Connector { receiver: Receiver::Url, guard: Arc::new(guard), resolver, tls };
        let services = Connector { receiver: Receiver::Service, ..urls.clone() };
        Self { urls: http(urls), services: http(services) }
    }

    pub(super) fn request(&self, receiver: Receiver, request: Request<Full<Bytes>>) -> ResponseFuture {
        match receiver {
            Receiver::Url => self.urls.request(request),
            Receiver::Service => self.services.request(request),
        }
    }
}

fn http(connector: Connector) -> Http {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE_PER_RECEIVER)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_HEADERS)
        .build(connector)
}
