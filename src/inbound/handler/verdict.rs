//! Flow 3, pure: what becomes of an event, for those who store it.

use std::{borrow::Cow, sync::Arc};

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;

/// What a post came to.
#[derive(Debug)]
pub struct Outcome {
    /// In the order of the post; one, but for a batch of `CloudEvents`.
    pub events: Vec<Event>,
}

/// One message, or what would have been one.
pub struct Event {
    /// What is delivered: what the transform made, else the bytes that were posted. Those of a failed one are the latter.
    pub body: Bytes,
    /// Of the body.
    pub content_type: Option<HeaderValue>,
    /// What else goes to the receiver: without a transform all headers of the post, less credentials; with one only its trace
    /// ([`crate::inbound::trace`]) and the attributes of a `CloudEvent` in binary mode. Never a `Content-Type`.
    pub headers: Arc<HeaderMap>,
    /// Deliveries of one key keep their order. At most 256 bytes: a longer one is represented by its SHA-256.
    pub key: Option<String>,
    /// What the event itself says that tells duplicates (`CloudEvents`: source and id). As bounded as the key.
    pub dedupe_id: Option<String>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored and delivered.
    Kept,
    /// The filter says no: accepted and dropped.
    Filtered,
    /// Accepted and stored as a dead letter.
    Failed(Failure),
}

/// Why an accepted event cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.name())]
pub struct Failure {
    /// The class.
    pub reason: Reason,
    /// For people. Holds nothing of what was posted, but for names that the expression has as well.
    pub message: String,
}

/// Classes of failures: the reasons of dead letters, and labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An expression cannot be evaluated, or came to a value of the wrong type.
    CelError,
    /// A list or map of more than 10,000 elements.
    CelInputTooLarge,
    /// All expressions together would take too long over this post.
    CelTooExpensive,
}

impl Reason {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CelError => "CelError",
            Self::CelInputTooLarge => "CelInputTooLarge",
            Self::CelTooExpensive => "CelTooExpensive",
        }
    }
}

/// Why a post is refused. Quotes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// 400: it is not what it says.
    #[error("{0}")]
    Body(Cow<'static, str>),
    /// 415: it says that it is something else.
    #[error("{0}")]
    MediaType(Cow<'static, str>),
}

impl core::fmt::Debug for Event {
    /// Without content.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let bytes = self.body.len();
        formatter.debug_struct("Event").field("bytes", &bytes).field("verdict", &self.verdict).finish_non_exhaustive()
    }
}
