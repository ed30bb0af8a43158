//! Start-up and wiring: the one way in which a signal ends the program: everybody who works is told, and ends by itself.

use std::{fs, future::pending, io};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Tells whether the program was asked to end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for SIGTERM, SIGINT and, unless it is ignored as under `nohup`, SIGHUP.
    ///
    /// # Errors
    /// The operating system refused a signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hang_up = if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) };
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            let disconnected = async {
                match &mut hang_up {
                    Some(hang_up) => drop(hang_up.recv().await),
                    None => pending().await,
                }
            };
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {}, () = disconnected => {} }
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

/// Whether whoever started this program had it ignore a signal. Where Linux's `/proc` is absent none is.
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw_value() - 1) & 1 == 1
}
