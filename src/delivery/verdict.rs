//! Flow 3, pure: what may become of a message, and what an attempt may end with. Every word here is bounded: it is a metric's label, a
//! word in the delivery list, and a dead letter's reason.

use jiff::Timestamp;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Delivered,
    /// It is tried again, not before then.
    RetryAt(Timestamp),
    /// It has not arrived, and nobody tries again unless it is replayed.
    DeadLetter(DeadReason),
    /// It waits, without an attempt, until the resource is mended or the message expires.
    Hold(HoldReason),
}

/// Why an attempt ended a message that has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// Longer ago accepted than `expireAfter`.
    Expired,
    /// An answer that no repetition would change: 3xx, or 4xx other than those below.
    Rejected,
    /// 410.
    ReceiverGone,
    /// All calls that `retry.attempts` allows have failed.
    AttemptsExhausted,
    /// The credential is missing, and the Webhook says `DeadLetter` for that.
    CredentialMissing,
}

impl DeadReason {
    /// One word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "Expired",
            Self::Rejected => "Rejected",
            Self::ReceiverGone => "ReceiverGone",
            Self::AttemptsExhausted => "AttemptsExhausted",
            Self::CredentialMissing => "CredentialMissing",
        }
    }
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// The Service is not there or cannot be called.
    TargetUnresolved,
    /// The target's URL is none that can be called.
    TargetInvalid,
    /// The credential is missing, and the Webhook says `Hold` for that.
    CredentialMissing,
    /// The credential's name or value cannot be sent.
    CredentialInvalid,
    /// A configured header cannot be sent.
    HeadersInvalid,
    /// The calls are to be signed, and no secret can sign.
    SigningSecretInvalid,
}

impl HoldReason {
    /// One word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TargetUnresolved => "TargetUnresolved",
            Self::TargetInvalid => "TargetInvalid",
            Self::CredentialMissing => "CredentialMissing",
            Self::CredentialInvalid => "CredentialInvalid",
            Self::HeadersInvalid => "HeadersInvalid",
            Self::SigningSecretInvalid => "SigningSecretInvalid",
        }
    }
}

/// What an attempt ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 2xx.
    Delivered,
    /// 401 or 403.
    CredentialRejected,
    /// 410.
    ReceiverGone,
    /// 408 or 429.
    Throttled,
    /// 5xx.
    ServerError,
    /// Any other status.
    Rejected,
    /// No answer came about.
    Failed(FailureKind),
}

/// Why no answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The time was over before an answer was there.
    TimedOut,
    /// The host's name has no address.
    NotResolved,
    /// The egress guard allows none of the host's addresses.
    EgressDenied,
    /// No connection.
    NotConnected,
    /// No TLS, or the wrong receiver.
    TlsFailed,
    /// The connection broke, or what came is no answer of HTTP.
    BrokenOff,
}

impl Outcome {
    /// What a status says. RFC 9110, section 15.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            401 | 403 => Self::CredentialRejected,
            410 => Self::ReceiverGone,
            408 | 429 => Self::Throttled,
            500..=599 => Self::ServerError,
            _ => Self::Rejected,
        }
    }

    /// One word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::CredentialRejected => "CredentialRejected",
            Self::ReceiverGone => "ReceiverGone",
            Self::Throttled => "Throttled",
            Self::ServerError => "ServerError",
            Self::Rejected => "Rejected",
            Self::Failed(kind) => kind.as_str(),
        }
    }
}

impl FailureKind {
    /// One word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "TimedOut",
            Self::NotResolved => "NotResolved",
            Self::EgressDenied => "EgressDenied",
            Self::NotConnected => "NotConnected",
            Self::TlsFailed => "TlsFailed",
            Self::BrokenOff => "BrokenOff",
        }
    }
}
