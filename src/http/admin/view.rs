//! Flow 3, pure: what administration tells, as JSON: the server writes it and the commands read it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::delivery::{
    message::{self, Phase},
    queue::{self, EndpointFigures},
};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// To be delivered, now or later
    Due,
    /// Behind an earlier message of its ordering key
    Waiting,
    /// Kept until its Webhook is active or its credential is there
    Held,
    /// Not delivered, and not tried again by itself
    DeadLetter,
    /// Delivered
    Delivered,
}

impl State {
    const ALL: [Self; 5] = [Self::Due, Self::Waiting, Self::Held, Self::DeadLetter, Self::Delivered];

    /// Its name in JSON, in queries and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::DeadLetter => "dead-letter",
            Self::Delivered => "delivered",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl From<State> for Phase {
    fn from(state: State) -> Self {
        match state {
            State::Due => Self::Due,
            State::Waiting => Self::Waiting,
            State::Held => Self::Held,
            State::DeadLetter => Self::DeadLetter,
            State::Delivered => Self::Delivered,
        }
    }
}

impl From<Phase> for State {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Due => Self::Due,
            Phase::Waiting => Self::Waiting,
            Phase::Held => Self::Held,
            Phase::DeadLetter => Self::DeadLetter,
            Phase::Delivered => Self::Delivered,
        }
    }
}

/// A page of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The messages, without their log.
    pub messages: Vec<Message>,
    /// `cursor` of the next page. Absent: this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id, which is the `webhook-id` of its deliveries.
    pub id: String,
    /// The namespace of its `Webhook`.
    pub namespace: String,
    /// The name of its `Webhook`.
    pub webhook: String,
    /// The uid of its `Webhook`.
    pub uid: String,
    /// Where it stands.
    pub state: State,
    /// Not delivered before then, or dead letter or delivered since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Why it is a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it was last replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_at: Option<Timestamp>,
    /// Length of its body.
    pub body_bytes: u64,
    /// Calls since it was accepted or last replayed.
    pub attempts: u32,
    /// The last call, also one before a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<Attempt>,
    /// The sender's id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<String>,
    /// The latest calls, oldest first. Only of a message that is shown alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<Attempt>>,
    /// What is sent on. Only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

impl Message {
    /// One of several.
    #[must_use]
    pub fn listed(message: message::Message) -> Self {
        Self { log: None, ..Self::alone(message) }
    }

    /// With its log.
    #[must_use]
    pub fn alone(message: message::Message) -> Self {
        let message::Message {
            id,
            endpoint: message::EndpointRef { namespace, name, uid },
            accepted_at,
            replayed_at,
            body_bytes,
            duplicate,
            state,
            attempts,
            log,
        } = message;
        let log: Vec<Attempt> = log.into_iter().map(Attempt::from).collect();
        let phase = state.phase();
        let (at, reason) = match state {
            message::State::Due { at } | message::State::Delivered { at } => (Some(at), None),
            message::State::DeadLetter { at, reason } => (Some(at), Some(reason.as_str().to_owned())),
            message::State::Waiting | message::State::Held => (None, None),
        };
        Self {
            id: id.to_string(),
            namespace: namespace.to_string(),
            webhook: name.to_string(),
            uid: uid.to_string(),
            state: phase.into(),
            at,
            reason,
            accepted_at,
            replayed_at,
            body_bytes,
            attempts,
            last_attempt: log.last().cloned(),
            sender_id: duplicate.map(|duplicate| duplicate.id.into()),
            log: Some(log),
            content: None,
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: String,
    /// The status code of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl From<message::Attempt> for Attempt {
    fn from(message::Attempt { at, outcome, status }: message::Attempt) -> Self {
        Self { at, outcome: outcome.as_str().to_owned(), status }
    }
}

/// What is sent on. The credential is not in it: it is looked up for each call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// UTF-8.
    Text(String),
    /// Other bytes, in Base64.
    Base64(String),
}

impl From<&message::Content> for Content {
    fn from(content: &message::Content) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let headers = content.headers().iter().map(|header| (header.name.to_string(), text(&header.value)));
        let body = match std::str::from_utf8(content.body()) {
            Ok(text) => Body::Text(text.to_owned()),
            Err(_) => Body::Base64(STANDARD.encode(content.body())),
        };
        Self { headers: headers.collect(), body }
    }
}

/// A message that was replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Its id.
    pub id: String,
    /// Where it stands now.
    pub state: State,
}

/// A message that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Its id.
    pub id: String,
}

/// The dead letters of a `Webhook` that were replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllReplayed {
    /// How many.
    pub replayed: u64,
}

/// What became of a message that an operator sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Which it was.
    pub outcome: SentOutcome,
    /// The messages that were stored, or were there before.
    pub ids: Vec<String>,
}

/// What became of a message that an operator sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentOutcome {
    /// It is in the queue.
    Stored,
    /// It was there before: nothing was stored.
    Duplicate,
    /// The filter of the `Webhook` dropped it.
    Filtered,
}

/// What there is of each endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The endpoints.
    pub endpoints: Vec<Figures>,
}

/// What there is of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The namespace of the `Webhook`.
    pub namespace: String,
    /// Its name.
    pub webhook: String,
    /// Its uid.
    pub uid: String,
    /// Whether this server serves it now.
    pub served: bool,
    /// What has not ended.
    pub queued: Amount,
    /// Dead letters that are kept.
    pub dead_letters: Amount,
    /// Delivered messages that are kept.
    pub delivered: Amount,
    /// Since when the oldest queued message is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
}

impl Figures {
    /// The figures of an endpoint.
    #[must_use]
    pub fn new(figures: EndpointFigures, served: bool) -> Self {
        let EndpointFigures { endpoint, queued, dead_letters, delivered, oldest } = figures;
        Self {
            namespace: endpoint.namespace.to_string(),
            webhook: endpoint.name.to_string(),
            uid: endpoint.uid.to_string(),
            served,
            queued: queued.into(),
            dead_letters: dead_letters.into(),
            delivered: delivered.into(),
            oldest,
        }
    }
}

/// A number of messages and the sum of their bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

impl From<queue::Amount> for Amount {
    fn from(queue::Amount { messages, bytes }: queue::Amount) -> Self {
        Self { messages, bytes }
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// One word, for programs.
    pub error: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}
