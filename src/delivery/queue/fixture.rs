//! Unit tests only: messages, a queue in memory, and a look at all that a file holds.

mod inspect;
mod platter;

use std::sync::mpsc::{Sender, channel};

use bytes::Bytes;
use jiff::Timestamp;

pub(super) use self::{
    inspect::{Contradiction, contradictions},
    platter::{Failure, Platter},
};
use super::{
    Arrival, Claimed, Embedded, Outcome, Queue as _, Retention, Settled, Settlement, Stored, Unavailable,
    committer::Saving, embedded::SMALL,
};
use crate::{
    delivery::message::{
        Attempt, Content, DuplicateKey, EndpointRef, Entry, Header, MessageId, NewMessage, OrderingKey,
    },
    record::endpoint::Limits,
};

/// Some milliseconds after a time at which all tests begin.
pub(super) fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
}

pub(super) fn endpoint(name: &str) -> EndpointRef {
    EndpointRef { namespace: "shop".into(), name: name.into(), uid: format!("uid-of-{name}").into() }
}

pub(super) fn id(number: u32) -> MessageId {
    let mut random = [0x5a; 14];
    random[10..].copy_from_slice(&number.to_be_bytes());
    MessageId::new(at(0), random)
}

/// What the message of that number says: of different lengths, some larger than a page.
pub(super) fn content(number: u32) -> Content {
    let body = format!("body of {number};").repeat(number as usize % 7 * 40 + 1);
    let header = Header { name: "content-type".into(), value: Bytes::from_static(b"text/plain") };
    Content::new(vec![header], body.into())
}

/// The message of that number, accepted so many milliseconds after the beginning.
pub(super) fn message(number: u32) -> NewMessage {
    let duplicate = DuplicateKey { id: format!("delivery-{number}").into(), hash: [7; 32] };
    NewMessage {
        id: id(number),
        accepted_at: at(number.into()),
        content: content(number),
        key: None,
        duplicate: Some(duplicate),
        entry: Entry::Due,
    }
}

pub(super) fn keyed(number: u32, key: &str) -> NewMessage {
    NewMessage { key: Some(OrderingKey::of(key)), ..message(number) }
}

pub(super) fn arrival(name: &str, messages: impl IntoIterator<Item = NewMessage>) -> Arrival {
    let (endpoint, limits, messages) = (endpoint(name), Limits::default(), messages.into_iter().collect());
    Arrival { endpoint, limits, messages, stored: Stored::default() }
}

pub(super) fn attempt(milliseconds: i64, outcome: &str, status: u16) -> Attempt {
    Attempt { at: at(milliseconds), outcome: outcome.into(), status: Some(status) }
}

/// Never saves the state of the pages.
pub(super) const UNSAVED: Saving = Saving { idle: std::time::Duration::from_hours(1), from: u64::MAX };

pub(super) async fn open(platter: &Platter) -> Embedded {
    Embedded::open_saving(platter.clone(), Retention::default(), UNSAVED).await.unwrap()
}

/// Everything that an endpoint has to hand out at a time.
pub(super) async fn claim(queue: &Embedded, name: &str, milliseconds: i64) -> Vec<Claimed> {
    queue.claim(&endpoint(name), at(milliseconds), usize::MAX).await.unwrap()
}

pub(super) fn ids(claimed: &[Claimed]) -> Vec<MessageId> {
    claimed.iter().map(|claimed| claimed.message.id).collect()
}

/// A commit that goes on until its sender is dropped: what is asked for meanwhile is in one commit after it.
pub(super) fn held_up(queue: &Embedded) -> (impl Future<Output = Result<bool, Unavailable>>, Sender<()>) {
    let (let_go, held_up) = channel();
    (queue.commit(SMALL, move |_| Ok(held_up.recv().is_err())), let_go)
}

pub(super) async fn settle(queue: &Embedded, claimed: Claimed, outcome: Outcome, milliseconds: i64) -> Settled {
    queue.settle(vec![settlement(claimed, outcome, milliseconds)], at(milliseconds)).await.unwrap()[0]
}

pub(super) fn settlement(claimed: Claimed, outcome: Outcome, milliseconds: i64) -> Settlement {
    Settlement { claim: claimed.claim, attempt: Some(attempt(milliseconds, "Tried", 500)), outcome }
}
