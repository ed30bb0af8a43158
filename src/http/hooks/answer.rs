//! Flow 3: the one place where what became of a post turns into an HTTP answer. Never a redirect.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    delivery::{message::MessageId, queue::EnqueueError},
    http::{body::BodyError, reply},
    inbound::{handler::Invalid, handshake},
};

/// Seconds after which a sender may try again when it is told no time of its own.
const RETRY_AFTER: u64 = 5;

/// What became of a post.
#[derive(Debug)]
pub(in crate::http) enum Answer {
    /// On disk.
    Stored(Vec<MessageId>),
    /// On disk already, as this one.
    Duplicate(MessageId),
    /// Dropped as the filter says.
    Filtered,
    /// No message, but a question.
    Handshake(handshake::Answer),
    /// No such id.
    Unknown,
    /// Another method than POST.
    Method,
    /// The sender has not proved itself.
    Unauthorized {
        /// For metrics alone.
        reason: &'static str,
        /// `WWW-Authenticate`.
        challenge: Option<&'static str>,
    },
    /// The token is good and lacks a scope.
    Forbidden,
    /// The token is good, and of a credential that the endpoint does not accept.
    OtherClient,
    /// The body is over the limit.
    TooLarge,
    /// The body did not come in time.
    Slow,
    /// The body is badly framed.
    Broken,
    /// The body is not what the handler needs.
    Invalid(Invalid),
    /// Too many posts to this endpoint.
    RateLimited {
        /// Until there is room.
        wait: Duration,
        /// The sender gives up on a 429.
        drops_429: bool,
    },
    /// Not active, and nothing is kept.
    Gone,
    /// Nothing can be stored now; the reason is for metrics alone.
    Unavailable(&'static str),
}

impl Answer {
    /// The metric's label.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Stored(_) => "stored",
            Self::Duplicate(_) => "duplicate",
            Self::Filtered => "filtered",
            Self::Handshake(_) => "handshake",
            Self::Unknown => "unknown",
            Self::Method => "method",
            Self::Forbidden => "forbidden",
            Self::OtherClient => "other_client",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Invalid(Invalid::Body(_)) => "invalid_body",
            Self::Invalid(Invalid::MediaType(_)) => "invalid_media_type",
            Self::RateLimited { .. } => "rate_limited",
            Self::Gone => "inactive",
            Self::Unauthorized { reason, challenge: _ } | Self::Unavailable(reason) => reason,
        }
    }

    pub(in crate::http) fn status(&self) -> StatusCode {
        match self {
            Self::Stored(_) | Self::Duplicate(_) | Self::Filtered => StatusCode::OK,
            Self::Handshake(answer) => answer.status,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::OtherClient => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::Invalid(Invalid::Body(_)) => StatusCode::BAD_REQUEST,
            Self::Invalid(Invalid::MediaType(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited { drops_429: false, .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Gone => StatusCode::GONE,
            Self::RateLimited { drops_429: true, .. } | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The error of a refusal and its description. Neither quotes anything that was sent.
    pub(in crate::http) fn problem(&self) -> (&'static str, Cow<'static, str>) {
        let (error, description) = match self {
            Self::Unknown => ("not_found", "there is no such webhook"),
            Self::Method => ("invalid_request", "use POST"),
            Self::Unauthorized { .. } => ("unauthorized", "the sender could not be verified"),
            Self::Forbidden => ("insufficient_scope", "the token lacks a scope that this webhook asks for"),
            Self::OtherClient => {
                ("access_denied", "this webhook does not accept tokens of this client: see spec.verification.clients")
            }
            Self::TooLarge => ("too_large", "the body is larger than this webhook takes"),
            Self::Slow => ("invalid_request", "the body did not arrive within 10 seconds"),
            Self::Broken => ("invalid_request", "the body ended before its time, or is badly framed"),
            Self::RateLimited { .. } => ("too_many_requests", "too many posts to this webhook: try again later"),
            Self::Gone => ("inactive", "this webhook is not active"),
            Self::Unavailable(_) => ("temporarily_unavailable", "nothing can be stored now: try again shortly"),
            Self::Invalid(Invalid::Body(text) | Invalid::MediaType(text)) => return ("invalid_request", text.clone()),
            Self::Stored(_) | Self::Duplicate(_) | Self::Filtered | Self::Handshake(_) => ("", ""),
        };
        (error, Cow::Borrowed(description))
    }

    fn body(&self) -> String {
        match self {
            Self::Stored(ids) => match ids.as_slice() {
                [id] => format!(r#"{{"id":"{id}"}}"#),
                ids => {
                    serde_json::json!({ "ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>() }).to_string()
                }
            },
            Self::Duplicate(id) => format!(r#"{{"id":"{id}"}}"#),
            Self::Filtered => r#"{"id":null}"#.to_owned(),
            _ => {
                let (error, description) = self.problem();
                serde_json::json!({ "error": error, "error_description": description }).to_string()
            }
        }
    }

    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            Self::Method => Some((header::ALLOW, HeaderValue::from_static("POST"))),
            Self::Unauthorized { challenge: Some(challenge), .. } => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
            }
            Self::RateLimited { wait, .. } => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Some((header::RETRY_AFTER, seconds.max(1).into()))
            }
            Self::Unavailable(_) => Some((header::RETRY_AFTER, RETRY_AFTER.into())),
            Self::Slow => Some((header::CONNECTION, HeaderValue::from_static("close"))),
            _ => None,
        }
    }
}

impl From<BodyError> for Answer {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Slow => Self::Slow,
            BodyError::Broken => Self::Broken,
        }
    }
}

impl From<EnqueueError> for Answer {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Full(_) => Self::Unavailable("queue_full"),
            EnqueueError::Unavailable => Self::Unavailable("queue_unavailable"),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        if let Self::Handshake(handshake::Answer { status, headers, body }) = self {
            let mut response = (status, body).into_response();
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().extend(headers);
            return response;
        }
        let mut response = reply::private(Body::from(self.body()));
        *response.status_mut() = self.status();
        response.headers_mut().extend(self.header());
        response
    }
}
