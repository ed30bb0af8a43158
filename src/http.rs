//! Flow 2: the server's listeners, and what is served where.

mod body;
mod connection;
mod discovery;
mod error;
mod form;
mod introspect;
mod listener;
mod pace;
mod probes;
mod rate_limit;
mod reply;
mod router;
mod seen;
mod source;
mod state;
mod tls;
mod token;

use std::{io, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::http::{HeaderValue, header, request::Parts};
use ipnet::IpNet;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use self::{connection::Service, listener::Listener, rate_limit::RateLimit, state::App, tls::Tls};
pub use self::{
    probes::{Probed, Probes},
    tls::{TlsError, TlsFiles},
};
use crate::store::Store;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public address. Port 0 chooses a free one.
    pub listen: SocketAddr,
    /// The address for probes and metrics; none is opened where it is absent.
    pub probes_listen: Option<SocketAddr>,
    /// Past this age of the records nothing is said about tokens.
    pub max_staleness: Duration,
    /// TLS on the public address.
    pub tls: Option<TlsFiles>,
    /// Requests a second from one source address.
    pub rate_limit: Option<NonZeroU32>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections to the public address at once.
    pub max_connections: usize,
    /// Time for requests under way when the server ends.
    pub shutdown_grace: Duration,
    /// How long connections are still accepted after [`Stop::Announced`].
    pub shutdown_delay: Duration,
}

/// How the end came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Others must first learn that this server goes: it fails its readiness, and serves on for a moment.
    Announced,
    /// Somebody waits for it.
    AtOnce,
}

/// Why the server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken, or not of this machine.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificate or key.
    #[error("TLS cannot be served")]
    Tls(#[from] TlsError),
    /// A part of the server ended by itself, which is a bug.
    #[error("a part of the server ended")]
    Ended(#[source] Option<tokio::task::JoinError>),
}

/// A server whose addresses are bound.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    config: Config,
    public: Listener,
    probes: Option<Probes>,
    tls: Option<Tls>,
}

impl Server {
    /// Binds the addresses and reads the certificate. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServeError::Bind`], [`ServeError::Tls`].
    pub async fn bind(config: Config, store: Arc<Store>) -> Result<Self, ServeError> {
        let tls = config.tls.clone().map(Tls::new).transpose()?;
        let public = bind(config.listen, config.max_connections).await?;
        let probes = match config.probes_listen {
            Some(address) => Some(Probes::bind(address).await?),
            None => None,
        };
        let rate_limit = config.rate_limit.map(|limit| RateLimit::new(limit, config.trusted_proxies.clone()));
        let app = Arc::new(App::new(store, config.max_staleness, rate_limit));
        Ok(Self { app, config, public, probes, tls })
    }

    /// The public address, with the port that was chosen.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.address()
    }

    /// The address for probes, with the port that was chosen.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn probes_address(&self) -> Option<io::Result<SocketAddr>> {
        self.probes.as_ref().map(Probes::address)
    }

    /// Serves until `stop`, then drains. Probes are answered to the last.
    ///
    /// # Errors
    /// [`ServeError::Ended`], [`ServeError::Tls`].
    pub async fn run(self, stop: impl Future<Output = Stop>) -> Result<(), ServeError> {
        let Self { app, config, public, probes, tls } = self;
        let (end, ended) = watch::channel(());
        let service = Service {
            router: router::public(app.clone()),
            tls: tls.as_ref().map(Tls::acceptor).transpose()?,
            with_peer: app.rate_limit.is_some(),
        };
        // Ended when this is dropped: no task outlives the server.
        let mut background = JoinSet::new();
        if let Some(tls) = tls {
            background.spawn(tls.follow());
        }
        if let Some(probes) = probes {
            background.spawn(probes.serve(app.clone()));
        }
        let mut serving = JoinSet::new();
        serving.spawn(public.serve(service, until(ended), config.shutdown_grace));

        tokio::select! {
            stop = stop => {
                app.drain();
                tracing::info!("shutting down");
                if stop == Stop::Announced {
                    sleep(config.shutdown_delay).await;
                }
            }
            // Without TLS and probes there is nothing in the background.
            Some(result) = background.join_next() => return Err(ServeError::Ended(result.err())),
            result = serving.join_next() => return Err(ServeError::Ended(result.and_then(Result::err))),
        }
        drop(end);
        match serving.join_next().await {
            Some(Err(error)) => Err(ServeError::Ended(Some(error))),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

async fn bind(address: SocketAddr, max_connections: usize) -> Result<Listener, ServeError> {
    Listener::bind(address, max_connections).await.map_err(|source| ServeError::Bind { address, source })
}

/// Returns when the sender is gone.
async fn until(mut ended: watch::Receiver<()>) {
    while ended.changed().await.is_ok() {}
}

/// The values of all `Authorization` headers.
fn authorization(parts: &Parts) -> impl Iterator<Item = &[u8]> {
    parts.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes)
}
