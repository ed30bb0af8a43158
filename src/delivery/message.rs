//! Flow 3, pure: a message, from acceptance to its end.

mod id;

use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use jiff::Timestamp;

pub use self::id::MessageId;
use crate::record::Source;

/// How many of the latest attempts a message remembers.
pub const LOGGED_ATTEMPTS: usize = 8;
/// The most characters of a reason or an outcome that are kept.
const LONGEST_LABEL: usize = 160;

/// The `Webhook` that a message came in by. One deleted and made anew under the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointRef {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
}

impl From<&Source> for EndpointRef {
    fn from(source: &Source) -> Self {
        let Source { kind: _, namespace, name, uid } = source;
        Self { namespace: namespace.as_str().into(), name: name.as_str().into(), uid: uid.as_str().into() }
    }
}

/// A message that was just accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id, new for each message. One that the queue has already is not stored twice.
    pub id: MessageId,
    /// When it was accepted, to the millisecond.
    pub accepted_at: Timestamp,
    /// What is sent on.
    pub content: Content,
    /// Messages of one key are delivered one after the other, in the order in which they were stored.
    pub key: Option<OrderingKey>,
    /// How its sender would repeat it.
    pub duplicate: Option<DuplicateKey>,
    /// Where it starts.
    pub entry: Entry,
}

/// What is sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    headers: Vec<Header>,
    body: Bytes,
}

/// A header: its name as it was posted, and its raw value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: Box<str>,
    /// The value.
    pub value: Bytes,
}

impl Content {
    /// Headers that go through, the content type among them, and the body.
    ///
    /// # Caveats
    /// The sender's credentials must be gone already: the handler drops them ([`crate::inbound::handler`]).
    #[must_use]
    pub fn new(headers: Vec<Header>, body: Bytes) -> Self {
        Self { headers, body }
    }

    /// The headers, in their order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The raw body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// A hash of what `spec.handler.key` made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderingKey(pub(super) [u8; 16]);

impl OrderingKey {
    /// The key of a text of any length. Two texts that hash alike would share an order, and nothing else.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut key = [0; 16];
        for (byte, hashed) in key.iter_mut().zip(digest::digest(&SHA256, text.as_bytes()).as_ref()) {
            *byte = *hashed;
        }
        Self(key)
    }
}

/// By what a message is known again when its sender repeats it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DuplicateKey {
    /// The provider's delivery id.
    pub id: Box<str>,
    /// SHA-256 of the body.
    pub hash: [u8; 32],
}

/// Where a new message starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// It is delivered.
    #[default]
    Due,
    /// It waits until it is released.
    Held,
    /// It cannot be delivered: its end is its beginning.
    DeadLetter(Label),
}

/// A reason or an outcome: short text such as `Expired` or `Rejected: 422`. Longer text is cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label(Box<str>);

impl Label {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Self(text.chars().take(LONGEST_LABEL).collect())
    }
}

/// What became of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended, to the millisecond.
    pub at: Timestamp,
    /// Its outcome.
    pub outcome: Label,
    /// The status code of the answer, if there was one.
    pub status: Option<u16>,
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is to be delivered.
    Due {
        /// Not before that time.
        at: Timestamp,
    },
    /// It is to be delivered once the earlier messages of its ordering key have ended.
    Waiting,
    /// It stays where it is until it is released.
    Held,
    /// It was not delivered, and is not tried again by itself.
    DeadLetter {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: Label,
    },
    /// It was delivered.
    Delivered {
        /// When.
        at: Timestamp,
    },
}

/// A [`State`] without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// [`State::Due`].
    Due,
    /// [`State::Waiting`].
    Waiting,
    /// [`State::Held`].
    Held,
    /// [`State::DeadLetter`].
    DeadLetter,
    /// [`State::Delivered`].
    Delivered,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Due, Self::Waiting, Self::Held, Self::DeadLetter, Self::Delivered];

    /// Whether messages end there: they are kept for a while, and count for no quota.
    #[must_use]
    pub fn is_end(self) -> bool {
        match self {
            Self::Due | Self::Waiting | Self::Held => false,
            Self::DeadLetter | Self::Delivered => true,
        }
    }
}

impl State {
    /// Which one it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Due { .. } => Phase::Due,
            Self::Waiting => Phase::Waiting,
            Self::Held => Phase::Held,
            Self::DeadLetter { .. } => Phase::DeadLetter,
            Self::Delivered { .. } => Phase::Delivered,
        }
    }
}

/// A message in the queue, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Where it came in.
    pub endpoint: EndpointRef,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When an operator sent it once more, if one did.
    pub replayed_at: Option<Timestamp>,
    /// Length of its body.
    pub body_bytes: u64,
    /// How its sender would repeat it.
    pub duplicate: Option<DuplicateKey>,
    /// Where it stands.
    pub state: State,
    /// Attempts since it was accepted, or since the last replay.
    pub attempts: u32,
    /// The latest attempts, at most [`LOGGED_ATTEMPTS`], oldest first; those before a replay too.
    pub log: Vec<Attempt>,
}

impl Message {
    /// From when `expireAfter` counts.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.replayed_at.unwrap_or(self.accepted_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_between_characters() {
        assert_eq!(Label::from("é".repeat(200).as_str()).as_str(), "é".repeat(LONGEST_LABEL));
    }
}
