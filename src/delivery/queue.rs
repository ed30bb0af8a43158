//! Flow 3: the durable queue between the answer to a post and its delivery.
//!
//! ```text
//! POST ──▶ enqueue ─fsync─▶ 2xx        claim ──▶ send ──▶ settle ─fsync─▶ delivered, or kept as a dead letter
//!              │                         ▲                  │
//!              └──────────▶ due ─────────┘◀── retry, hold ──┘
//! ```
//!
//! At least once: what [`Queue::enqueue`] took is on disk, and is handed out until a settlement of it is on disk too. Who
//! works on what is known in memory alone, so after a restart everything that was not settled is due.

mod batch;
mod change;
mod changed;
mod claims;
mod committer;
mod database;
mod disk;
mod embedded;
mod encoding;
mod fault;
mod inbox;
mod ledger;
mod reading;
mod shared;
mod sorted;
mod tables;

use std::fmt;

use futures::future::BoxFuture;
use jiff::Timestamp;

pub use self::{
    claims::Claim,
    disk::{Disk, OpenError, QueueFile},
    embedded::{Embedded, Retention},
    reading::Cursor,
    shared::Health,
};
use super::message::{Attempt, Content, DuplicateKey, EndpointRef, Label, Message, MessageId, NewMessage, Phase};
use crate::record::endpoint::Limits;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

/// What a queue answers, in time.
pub type Answer<'a, T> = BoxFuture<'a, T>;

/// The flow of messages. Its methods can be given up at any time: what they began is then done or not done, never half.
pub trait Queue: Send + Sync {
    /// Stores messages, all or none. A message whose id is there already is not stored again.
    ///
    /// # Guarantees
    /// `Ok` means that they are on disk. An error says nothing but that: a write may have failed after its data was safe.
    fn enqueue(&self, arrival: Arrival) -> Answer<'_, Result<(), EnqueueError>>;

    /// Waits until endpoints may have more to deliver, or another time for it, than when this was last asked; and names them.
    ///
    /// # Caveats
    /// For one caller at a time. After a start, and whenever the queue was away, it names every endpoint with messages.
    fn changed(&self) -> Answer<'_, Vec<EndpointRef>>;

    /// Every endpoint of which there are messages, with how many.
    fn endpoints(&self) -> Answer<'_, Result<Vec<EndpointFigures>, Unavailable>>;

    /// When the next message that nobody has claimed is due.
    fn next_due<'a>(&'a self, endpoint: &'a EndpointRef) -> Answer<'a, Result<Option<Timestamp>, Unavailable>>;

    /// Hands out up to `limit` messages that are due at `now`, those that are due longest first; of messages with one
    /// ordering key only the first. Until its [`Claim`] is settled or dropped a message is not handed out again.
    fn claim<'a>(
        &'a self,
        endpoint: &'a EndpointRef,
        now: Timestamp,
        limit: usize,
    ) -> Answer<'a, Result<Vec<Claimed>, Unavailable>>;

    /// Notes what became of messages, and gives the claims back whatever happens.
    fn settle(&self, settlements: Vec<Settlement>, now: Timestamp) -> Answer<'_, Result<Vec<Settled>, Unavailable>>;

    /// Makes all held messages of an endpoint due. Tells how many.
    fn release<'a>(&'a self, endpoint: &'a EndpointRef) -> Answer<'a, Result<u64, Unavailable>>;

    /// Makes all queued messages of an endpoint dead letters: its `Webhook` is gone. Tells how many.
    fn bury<'a>(
        &'a self,
        endpoint: &'a EndpointRef,
        reason: Label,
        now: Timestamp,
    ) -> Answer<'a, Result<u64, Unavailable>>;

    /// Removes what ended too long ago, and the oldest of what ended where there is too much of it.
    fn prune(&self, now: Timestamp) -> Answer<'_, Result<Pruned, Unavailable>>;

    /// By what the messages since then would be known again, at most `limit` an endpoint, the newest first.
    fn recent(&self, since: Timestamp, limit: usize) -> Answer<'_, Result<Vec<Recent>, Unavailable>>;
}

/// What an operator may see and do. Methods that tell of a message answer `None` or `false` where there is none of that id.
pub trait Archive: Send + Sync {
    /// A page of messages: by endpoint, then by phase, then by when they are due or ended.
    fn list(&self, query: Query) -> Answer<'_, Result<Page, Unavailable>>;

    /// One message.
    fn find(&self, id: MessageId) -> Answer<'_, Result<Option<Message>, Unavailable>>;

    /// What one message sends on.
    fn content(&self, id: MessageId) -> Answer<'_, Result<Option<Content>, Unavailable>>;

    /// Delivers a message again that has ended, to the endpoint as it is today; one that is still queued becomes due at once,
    /// if no earlier one of its ordering key is before it. Quotas do not count here.
    fn replay(
        &self,
        id: MessageId,
        endpoint: EndpointRef,
        now: Timestamp,
    ) -> Answer<'_, Result<Option<Phase>, Unavailable>>;

    /// Removes a message, wherever it stands.
    fn discard(&self, id: MessageId) -> Answer<'_, Result<bool, Unavailable>>;
}

/// What one post brought.
#[derive(Debug)]
pub struct Arrival {
    /// Where.
    pub endpoint: EndpointRef,
    /// The quotas that count.
    pub limits: Limits,
    /// The messages, in their order.
    pub messages: Vec<NewMessage>,
    /// What is done once they are on disk.
    pub stored: Stored,
}

/// Done once messages are on disk, whether or not anybody still waits for that; dropped where they are not stored.
#[derive(Default)]
pub struct Stored(Option<Box<dyn FnOnce() + Send>>);

impl Stored {
    /// It takes no time, and blocks nobody.
    #[must_use]
    pub fn new(note: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(note)))
    }

    fn note(self) {
        if let Some(note) = self.0 {
            note();
        }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Stored")
    }
}

/// Why messages were not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// There are too many already.
    #[error("the queue is full: {0}")]
    Full(Quota),
    /// The queue cannot store anything now.
    #[error("the queue is not available")]
    Unavailable,
}

/// A limit on what may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quota {
    /// [`Limits::messages`].
    Messages,
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::namespace_messages`].
    NamespaceMessages,
    /// [`Limits::namespace_bytes`].
    NamespaceBytes,
}

impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Messages => "messages of this Webhook",
            Self::Bytes => "bytes of this Webhook",
            Self::NamespaceMessages => "messages of this namespace",
            Self::NamespaceBytes => "bytes of this namespace",
        })
    }
}

/// The queue does not work now. The cause is in its health and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is not available")]
pub struct Unavailable;

impl From<Unavailable> for EnqueueError {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// A number of messages and the sum of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// What there is of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFigures {
    /// The endpoint.
    pub endpoint: EndpointRef,
    /// Messages that have not ended.
    pub queued: Amount,
    /// Dead letters that are kept.
    pub dead_letters: Amount,
    /// Delivered messages that are kept.
    pub delivered: Amount,
    /// Since when the oldest queued message is queued.
    pub oldest: Option<Timestamp>,
}

/// A message that is handed out.
#[derive(Debug)]
pub struct Claimed {
    /// Keeps others from it.
    pub claim: Claim,
    /// The message as it stands.
    pub message: Message,
    /// What is sent on.
    pub content: Content,
}

/// What became of a message that was handed out.
#[derive(Debug)]
pub struct Settlement {
    /// Which one.
    pub claim: Claim,
    /// The call, if there was one; it counts.
    pub attempt: Option<Attempt>,
    /// What follows.
    pub outcome: Outcome,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Delivered,
    /// It is due again.
    Retry {
        /// Not before that time.
        at: Timestamp,
    },
    /// It ends, for that reason.
    DeadLetter(Label),
    /// It stays until it is released.
    Hold,
}

/// Whether a settlement counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is on disk.
    Applied,
    /// The message was dropped, replayed or ended otherwise in the meantime.
    Superseded,
}

/// What [`Queue::prune`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Messages that had been kept long enough.
    pub expired: u64,
    /// Delivered messages for which there was no room.
    pub delivered_early: u64,
    /// Dead letters for which there was no room.
    pub dead_letters_early: u64,
}

/// By what a message would be known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The message.
    pub id: MessageId,
    /// Where it came in.
    pub endpoint: EndpointRef,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The sender's id and the hash of the body.
    pub duplicate: DuplicateKey,
}

/// Which messages to list. The default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Of one namespace.
    pub namespace: Option<Box<str>>,
    /// Of endpoints of that name, earlier ones of the same name too.
    pub name: Option<Box<str>>,
    /// In one phase.
    pub phase: Option<Phase>,
    /// After the last one of another page.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
}

/// Some messages of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Where the next page begins. Absent: this was the last one.
    pub next: Option<Cursor>,
}
