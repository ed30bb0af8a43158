//! Records as a controller would write them, and calls made from them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use jiff::Timestamp;
use snaphook::{
    delivery::{
        attempt::{self, Answer, Destination, Failure, Outgoing, Prepared, Sent},
        egress::{Egress, Exception, Guard, Resolver, Tls},
        inject::value_of,
        verdict::Verdict,
    },
    record::{
        EndpointRecord, InjectionRecord, Location, Source, VERSION,
        endpoint::{
            Delivery, Handler, HandlerType, InactiveMode, Limits, Method, OnMissingCredential, Retry, Target,
            Verification,
        },
    },
};

use crate::receiver::closed_port;

/// So long a call may take that ends at its limit of one second.
pub(crate) const SOON: Duration = Duration::from_secs(10);

fn source(kind: &str, name: &str) -> Source {
    Source { kind: kind.to_owned(), namespace: "ns".to_owned(), name: name.to_owned(), uid: "uid".to_owned() }
}

/// A Webhook that delivers to `url` within one second.
pub(crate) fn endpoint(url: impl Into<String>, change: impl FnOnce(&mut Delivery)) -> EndpointRecord {
    let mut delivery = Delivery {
        target: Target::Url(url.into()),
        method: Method::Post,
        headers: [].into(),
        signing_secrets: vec![],
        credential: None,
        on_missing_credential: OnMissingCredential::SendUnauthenticated,
        timeout_seconds: 1,
        retry: Retry { attempts: 10, initial_delay_seconds: 5, max_delay_seconds: 36_000 },
        max_in_flight: 8,
        rate_limit: None,
        expire_after_seconds: 1000,
    };
    change(&mut delivery);
    EndpointRecord {
        version: VERSION,
        source: source("Webhook", "alerts"),
        urls: vec![],
        active: true,
        inactive_mode: InactiveMode::Reject,
        max_body_bytes: 1024,
        verification: Verification::GitHub,
        secrets: vec![],
        handler: Handler { type_: HandlerType::Json, filter: None, transform: None, key: None },
        delivery,
        limits: Limits::default(),
    }
}

/// A Webhook with a credential.
pub(crate) fn with_credential(url: impl Into<String>) -> EndpointRecord {
    endpoint(url, |delivery| delivery.credential = Some("pager".to_owned()))
}

pub(crate) fn credential(location: Location, name: &str, id: &str, secret: Option<&str>) -> InjectionRecord {
    let value = value_of(id, secret).unwrap();
    let field_name = name.to_owned();
    InjectionRecord { version: VERSION, source: source("WebhookCredential", "pager"), location, field_name, value }
}

pub(crate) fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub(crate) fn outgoing(headers: &[(&'static str, &'static str)]) -> Outgoing {
    let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let headers: HeaderMap = headers.iter().map(header).collect();
    Outgoing { id: "msg_1".to_owned(), accepted_at: now(), attempts: 0, headers, body: "{\"a\":1}".into() }
}

/// Prepares one call.
pub(crate) fn prepare(
    endpoint: &EndpointRecord,
    credential: Option<&InjectionRecord>,
    outgoing: Outgoing,
) -> Result<Prepared, Verdict> {
    let destination = Destination::of(&endpoint.delivery.target);
    attempt::prepare(endpoint, destination.as_ref().map_err(|reason| *reason), credential, outgoing, now())
}

pub(crate) fn prepared(endpoint: &EndpointRecord, credential: Option<&InjectionRecord>) -> Prepared {
    prepare(endpoint, credential, outgoing(&[("content-type", "application/json")])).unwrap()
}

/// A resolver that knows what `/etc/hosts` knows.
pub(crate) fn no_names() -> Resolver {
    Resolver::with_name_server(closed_port(), &[]).unwrap()
}

/// Calls that may go to the public internet, and to these addresses.
pub(crate) fn egress_to(addresses: &[SocketAddr]) -> Egress {
    let exceptions = addresses.iter().copied().map(Exception::Exact).collect();
    egress(Guard { exceptions, ..Guard::default() }, no_names())
}

pub(crate) fn egress(guard: Guard, resolver: Resolver) -> Egress {
    Egress::new(guard, resolver, Tls::new(None).unwrap())
}

/// Makes a call, which has to end soon whatever the receiver does.
pub(crate) async fn send(egress: &Egress, prepared: Prepared) -> Sent {
    let started = Instant::now();
    let sent = egress.send(prepared).await;
    assert!(started.elapsed() < SOON, "{:?} after {:?}", sent.answer, started.elapsed());
    sent
}

pub(crate) async fn answer(egress: &Egress, endpoint: &EndpointRecord) -> Answer {
    send(egress, prepared(endpoint, None)).await.answer.unwrap()
}

pub(crate) async fn failure(egress: &Egress, endpoint: &EndpointRecord) -> Failure {
    send(egress, prepared(endpoint, None)).await.answer.unwrap_err()
}
