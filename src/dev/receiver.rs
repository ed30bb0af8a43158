//! Flow 3 without a cluster: the receiver that `snaphook dev` runs itself, so that a delivery to this machine shows without a second program.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    str::FromStr,
    sync::Arc,
};

use axum::{
    body::Bytes,
    http::{StatusCode, request::Parts},
};
use tokio::{net::TcpListener, task::JoinSet};
use url::{Host, Url};

use super::console;
use crate::{crd::Webhook, receiver, store::Store, terminal::Printer};

/// What `--receive` says: the address to receive at, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverAddress(Option<SocketAddr>);

/// Why `--receive` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected none, or a loopback address with a port other than 0, such as 127.0.0.1:9000")]
pub struct NotAReceiverAddress;

impl FromStr for ReceiverAddress {
    type Err = NotAReceiverAddress;

    /// What arrives has credentials with it, so only this machine may reach the receiver.
    fn from_str(text: &str) -> Result<Self, NotAReceiverAddress> {
        if text == "none" {
            return Ok(Self(None));
        }
        let address: SocketAddr = text.parse().map_err(|_| NotAReceiverAddress)?;
        let is_usable = address.ip().is_loopback() && address.port() != 0;
        is_usable.then_some(Self(Some(address))).ok_or(NotAReceiverAddress)
    }
}

impl ReceiverAddress {
    /// The server's own address cannot be received at as well.
    #[must_use]
    pub fn unless_served(self, served: SocketAddr) -> Self {
        Self(self.0.filter(|address| *address != served))
    }
}

/// Listens while some Webhook delivers to its address. Dropping it closes the listener.
#[derive(Debug)]
pub struct LocalReceiver {
    address: Option<SocketAddr>,
    store: Arc<Store>,
    printer: Printer,
    state: ReceiverState,
    serving: JoinSet<()>,
}

/// What the receiver does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReceiverState {
    /// No Webhook delivers to it.
    #[default]
    Off,
    /// It listens, and shows what arrives.
    Listening(SocketAddr),
    /// Another program listens at the address.
    Taken(SocketAddr),
    /// The operating system refused the address.
    Failed(SocketAddr, String),
}

impl LocalReceiver {
    /// Does not listen yet. `store` knows the credentials that calls arrive with.
    #[must_use]
    pub(crate) fn new(address: ReceiverAddress, store: Arc<Store>, printer: Printer) -> Self {
        Self { address: address.0, store, printer, state: ReceiverState::Off, serving: JoinSet::new() }
    }

    /// Starts or stops listening, as these Webhooks want it. Returns what it does from now on.
    ///
    /// An address that is taken is tried again only after no Webhook wanted it for a while: a person who restarts a program there
    /// must not find the address taken by this one.
    pub async fn follow_webhooks(&mut self, webhooks: &[Webhook]) -> &ReceiverState {
        let wanted = self.address.filter(|address| webhooks.iter().any(|webhook| delivers_to(webhook, *address)));
        match wanted {
            Some(address) if self.state == ReceiverState::Off => self.state = self.listen(address).await,
            None if self.state != ReceiverState::Off => {
                self.serving.shutdown().await;
                self.state = ReceiverState::Off;
            }
            _ => {}
        }
        &self.state
    }

    async fn listen(&mut self, address: SocketAddr) -> ReceiverState {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                self.serving.spawn(serve(listener, self.store.clone(), self.printer.clone()));
                ReceiverState::Listening(address)
            }
            Err(error) => refused(address, &error),
        }
    }
}

fn refused(address: SocketAddr, error: &io::Error) -> ReceiverState {
    match error.kind() {
        ErrorKind::AddrInUse => ReceiverState::Taken(address),
        _ => ReceiverState::Failed(address, error.to_string()),
    }
}

async fn serve(listener: TcpListener, store: Arc<Store>, printer: Printer) {
    let show = move |parts: &Parts, body: &Bytes| console::print_call(parts, body, &store.load(), &printer);
    receiver::serve(listener, StatusCode::OK, show).await;
}

/// Whether deliveries of a Webhook arrive at a loopback address.
pub(super) fn delivers_to(webhook: &Webhook, address: SocketAddr) -> bool {
    loopback_target(webhook).is_some_and(|url| {
        let is_host = match url.host() {
            Some(Host::Ipv4(ip)) => address.ip() == ip,
            Some(Host::Ipv6(ip)) => address.ip() == ip,
            Some(Host::Domain(_)) => true,
            None => false,
        };
        is_host && url.scheme() == "http" && url.port_or_known_default() == Some(address.port())
    })
}

/// The URL that a Webhook delivers to, if that is on this machine.
pub(super) fn loopback_target(webhook: &Webhook) -> Option<Url> {
    let url = Url::parse(webhook.spec.delivery.url.as_deref()?).ok()?;
    let is_loopback = match url.host()? {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    is_loopback.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str) -> Webhook {
        let yaml = format!(
            "apiVersion: snaphook.dev/v1alpha1\nkind: Webhook\nmetadata: {{name: alerts, namespace: demo}}\nspec:\n  verification: {{type: GitHub}}\n  delivery: {{url: '{url}'}}\n"
        );
        serde_yaml::from_str(&yaml).unwrap()
    }

    #[test]
    fn only_what_arrives_at_the_very_address_is_received() {
        let address = "127.0.0.1:9000".parse().unwrap();
        for (url, expected) in [
            ("http://127.0.0.1:9000/alerts", true),
            ("http://localhost:9000/", true),
            ("http://127.0.0.2:9000/", false),
            ("http://[::1]:9000/", false),
            ("http://127.0.0.1:9001/", false),
            ("http://127.0.0.1/", false),
            ("https://127.0.0.1:9000/", false),
            ("http://example.net:9000/", false),
        ] {
            assert_eq!(delivers_to(&webhook(url), address), expected, "{url}");
        }
        assert!(delivers_to(&webhook("http://[::1]:80/"), "[::1]:80".parse().unwrap()));
    }

    #[test]
    fn an_address_that_others_could_reach_is_refused() {
        assert_eq!("none".parse(), Ok(ReceiverAddress(None)));
        assert_eq!("[::1]:9000".parse(), Ok(ReceiverAddress(Some("[::1]:9000".parse().unwrap()))));
        for text in ["0.0.0.0:9000", "192.168.1.1:9000", "127.0.0.1:0", "127.0.0.1", "9000", "", "NONE"] {
            assert_eq!(text.parse::<ReceiverAddress>(), Err(NotAReceiverAddress), "{text}");
        }
    }

    #[test]
    fn the_address_of_the_server_is_not_received_at() {
        let address: ReceiverAddress = "127.0.0.1:9000".parse().unwrap();
        assert_eq!(address.unless_served("127.0.0.1:9000".parse().unwrap()), ReceiverAddress(None));
        assert_eq!(address.unless_served("127.0.0.1:8080".parse().unwrap()), address);
    }
}
