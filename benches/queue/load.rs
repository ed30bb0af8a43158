//! Posts: each caller stores a message, waits until it is on disk, and comes again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use snaphook::{
    delivery::{
        message::{Content, DuplicateKey, EndpointRef, Entry, Header, MessageId, NewMessage},
        queue::{Arrival, Embedded, Queue as _, Stored},
    },
    record::endpoint::Limits,
};
use tokio::{runtime::Runtime, task::JoinSet};

/// Bytes of a body.
pub(crate) const BODY: usize = 1_024;
const ENDPOINTS: u64 = 100;

pub(crate) fn endpoint(number: u64) -> EndpointRef {
    let name = format!("webhook-{}", number % ENDPOINTS);
    let uid = format!("6f1f2c1e-0000-4000-8000-{:012}", number % ENDPOINTS);
    EndpointRef { namespace: "payments".into(), name: name.into(), uid: uid.into() }
}

pub(crate) fn message(number: u64) -> NewMessage {
    let header =
        |name: &str, value: &'static str| Header { name: name.into(), value: Bytes::from_static(value.as_bytes()) };
    let headers = vec![
        header("content-type", "application/json"),
        header("user-agent", "GitHub-Hookshot/0e1d2c3"),
        header("x-github-event", "push"),
    ];
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    NewMessage {
        id: MessageId::new(Timestamp::now(), rand::random()),
        accepted_at: Timestamp::now(),
        content: Content::new(headers, Bytes::from(vec![b'x'; BODY])),
        key: None,
        duplicate: Some(DuplicateKey { id: format!("72d3162e-cc78-11e3-81ab-{number:012x}").into(), hash }),
        entry: Entry::Due,
    }
}

pub(crate) fn arrival(number: u64, messages: impl IntoIterator<Item = NewMessage>) -> Arrival {
    let (endpoint, limits, messages) = (endpoint(number), Limits::default(), messages.into_iter().collect());
    Arrival { endpoint, limits, messages, stored: Stored::default() }
}

/// What callers saw.
pub(crate) struct Seen {
    pub(crate) messages: u64,
    pub(crate) time: Duration,
    /// Milliseconds that each waited, sorted.
    pub(crate) waits: Vec<f64>,
}

/// So many callers at once for so long.
pub(crate) fn callers(runtime: &Runtime, queue: &Arc<Embedded>, callers: u64, time: Duration) -> Seen {
    let started = Instant::now();
    let waits = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let queue = queue.clone();
            tasks.spawn(async move {
                let mut waits = Vec::new();
                while started.elapsed() < time {
                    let began = Instant::now();
                    queue.enqueue(arrival(caller, [message(caller)])).await.unwrap();
                    waits.push(began.elapsed().as_secs_f64() * 1_000.0);
                }
                waits
            });
        }
        tasks.join_all().await
    });
    let mut waits = waits.concat();
    waits.sort_by(f64::total_cmp);
    Seen { messages: waits.len() as u64, time: started.elapsed(), waits }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
