//! Start-up and wiring: the one way in which a signal ends the program: everybody who works is told, and ends by itself.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Tells whether the program was asked to end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for SIGTERM and SIGINT.
    ///
    /// # Errors
    /// The operating system refused a signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("ending");
            sender.send_replace(true);
            // The receivers outlive their use; the value has to as well.
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Returns when the program was asked to end.
    pub async fn requested(&self) {
        // An error means that the sender is gone, and with it everything.
        let _ = self.0.clone().wait_for(|requested| *requested).await;
    }
}
