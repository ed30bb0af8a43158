//! Flow 3: one attempt to deliver a message, as `prepare ▶ send ▶ settle`. Only `send` does IO.

mod mask;
mod prepare;
mod send;
mod settle;

use core::fmt;

use bytes::Bytes;
use hyper::HeaderMap;
use jiff::Timestamp;

pub(crate) use mask::Mask;
pub use prepare::{Destination, Prepared, prepare};
pub use send::{Answer, Failure, Sent};
pub use settle::{Attempt, Settled, settle};

/// A stored message, as far as a call needs it.
#[derive(Clone)]
pub struct Outgoing {
    /// Its id, the same for all attempts: the value of `webhook-id`.
    pub id: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Calls that were made for it so far.
    pub attempts: u32,
    /// What the sender or the handler set.
    pub headers: HeaderMap,
    /// What is delivered.
    pub body: Bytes,
}

/// Content is the users' business.
impl fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, accepted_at, attempts, headers: _, body } = self;
        let mut shown = formatter.debug_struct("Outgoing");
        shown.field("id", id).field("accepted_at", accepted_at).field("attempts", attempts);
        shown.field("bytes", &body.len()).finish_non_exhaustive()
    }
}

/// With which credential a call goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// The Webhook names no credential.
    NotWanted,
    /// With the one that the Webhook names.
    Sent,
    /// Without: the one that the Webhook names is missing.
    Missing,
}

impl Auth {
    /// For the delivery list.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotWanted => "",
            Self::Sent => "Sent",
            Self::Missing => "No Auth",
        }
    }
}
