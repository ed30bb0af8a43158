//! Flow 2: accepts connections, no more than there may be at once, and drains them in the end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::connection::Service;

/// Pause after an error that is not one connection's, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound address.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Listener {
    pub(super) async fn bind(address: SocketAddr, max_connections: usize) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, max_connections))
    }

    pub(super) fn new(listener: TcpListener, max_connections: usize) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(max_connections)) }
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; then accepts nothing more and gives the requests under way the time `grace`.
    pub(super) async fn serve(self, service: Service, stop: impl Future<Output = ()>, grace: Duration) {
        let graceful = GracefulShutdown::new();
        tokio::select! {
            () = self.accept_all(&service, &graceful) => {}
            () = stop => {}
        }
        drop(self.listener);
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still under way when --shutdown-grace had passed");
        }
    }

    async fn accept_all(&self, service: &Service, graceful: &GracefulShutdown) {
        loop {
            let (permit, stream, peer) = self.accept().await;
            let connection = service.clone().serve(stream, peer.ip(), graceful.watcher());
            // Not lost sight of: the watcher that it holds is waited for.
            tokio::spawn(async move {
                connection.await;
                drop(permit);
            });
        }
    }

    /// Without room the kernel's queue fills up: those connected already are served on.
    async fn accept(&self) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
        // An error says that the semaphore was closed, which nobody does.
        let permit = self.room.clone().acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (permit, stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
