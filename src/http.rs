//! Flow 2: the server's listeners, and what is served where.

mod admin;
mod body;
mod connection;
mod discovery;
mod error;
mod form;
mod forward_auth;
mod hooks;
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

use std::{future::pending, io, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, header, request::Parts},
};
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::sleep};

pub(crate) use self::body::{BodyError, read as read_body};
pub use self::{
    admin::{Admin, AdminSocket, Messages, SocketError, view as admin_view},
    probes::{Probed, Probes},
    tls::{TlsError, TlsFiles},
};
use self::{
    connection::Service,
    hooks::{Hooks, Intake},
    listener::Listener,
    rate_limit::RateLimit,
    state::App,
    tls::Tls,
};
use crate::{
    delivery::queue::{Queue, Unavailable},
    store::Store,
    telemetry::metrics::hooks::Hooks as HookMetrics,
};

/// Serves something of another program's than the server's, with the same care for connections, for as long as it is polled.
pub(crate) async fn serve_router(listener: TcpListener, router: Router, max_connections: usize) {
    let service = Service { router, tls: None, with_peer: false, draining: Arc::default() };
    Listener::new(listener, max_connections).serve(service, pending(), Duration::ZERO).await;
}

/// What to serve.
#[derive(Clone)]
pub struct Serve {
    /// Tokens are issued and checked.
    pub tokens: bool,
    /// Where posts to endpoints are stored. Absent: no endpoints are served.
    pub hooks: Option<Arc<dyn Queue>>,
}

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
    /// What was posted before cannot be read.
    #[error("the queue cannot be read")]
    Queue(#[from] Unavailable),
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
    router: Router,
    config: Config,
    public: Listener,
    probes: Option<Probes>,
    tls: Option<Tls>,
    intake: Option<Arc<Intake>>,
}

impl Server {
    /// Binds the addresses and reads the certificate. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServeError::Bind`], [`ServeError::Tls`].
    pub async fn bind(config: Config, serve: Serve, store: Arc<Store>) -> Result<Self, ServeError> {
        let tls = config.tls.clone().map(Tls::new).transpose()?;
        let public = bind(config.listen, config.max_connections).await?;
        let probes = match config.probes_listen {
            Some(address) => Some(Probes::bind(address).await?),
            None => None,
        };
        let rate_limit = config.rate_limit.map(|limit| RateLimit::new(limit, config.trusted_proxies.clone()));
        let Serve { tokens, hooks } = serve;
        let app = Arc::new(App::new(store, config.max_staleness, rate_limit, tokens));
        let mut router = if tokens { router::tokens(app.clone()) } else { router::nothing() };
        let mut intake = None;
        if let Some(queue) = hooks {
            let taking = Intake::new(queue, app.metrics.hooks().clone(), Timestamp::now()).await?;
            let taking = intake.insert(Arc::new(taking));
            router = router.merge(router::hooks(Hooks { app: app.clone(), intake: taking.clone() }));
        }
        Ok(Self { app, router, config, public, probes, tls, intake })
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

    /// What is counted of posts and deliveries.
    #[must_use]
    pub fn hook_metrics(&self) -> HookMetrics {
        self.app.metrics.hooks().clone()
    }

    /// The administration of the messages that are stored there. Absent: no endpoints are served.
    #[must_use]
    pub fn admin(&self, messages: Arc<dyn Messages>) -> Option<Admin> {
        let intake = self.intake.clone()?;
        Some(Admin { messages, store: self.app.store.clone(), intake })
    }

    /// Serves until `stop`, then drains. Probes are answered to the last.
    ///
    /// # Errors
    /// [`ServeError::Ended`], [`ServeError::Tls`].
    pub async fn run(self, stop: impl Future<Output = Stop>) -> Result<(), ServeError> {
        let Self { app, router, config, public, probes, tls, intake: _ } = self;
        let (end, ended) = watch::channel(());
        let service = Service {
            router,
            tls: tls.as_ref().map(Tls::acceptor).transpose()?,
            with_peer: app.rate_limit.is_some(),
            draining: app.draining(),
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
