//! Flow 2: the one place where a refusal becomes an HTTP answer (RFC 6749, section 5.2).

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::reply;
use crate::{
    telemetry::metrics::server::Reason,
    token::{BearerError, Code, IssueError, Refusal},
};

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"snaphook\"");

/// Why a request gets no answer of the kind that it asked for.
#[derive(Debug)]
pub(super) enum HttpError {
    /// In the words of the protocol.
    Refused(Refusal),
    /// A request that somebody sent to an application does not pass.
    Bearer(BearerError),
    /// No such policy of forward-auth.
    UnknownPolicy,
    /// The body is over the limit.
    TooLarge,
    /// The body did not come in time.
    Slow,
    /// Too many requests from one address; there is room for another after this time.
    RateLimited(Duration),
    /// Nothing true can be said: the records are too old, or there are no keys yet.
    Stale,
    /// A fault of this program, already in the log.
    Internal,
    /// No such path.
    NotFound,
    /// Another method than these.
    Method(&'static str),
}

impl HttpError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Refused(refusal) => match refusal.code {
                Code::InvalidRequest => Reason::InvalidRequest,
                Code::InvalidClient => Reason::InvalidClient,
                Code::UnsupportedGrantType => Reason::UnsupportedGrantType,
                Code::InvalidScope => Reason::InvalidScope,
                Code::InvalidTarget => Reason::InvalidTarget,
            },
            Self::TooLarge => Reason::TooLarge,
            Self::Slow => Reason::Slow,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::Stale => Reason::Stale,
            Self::Internal => Reason::Internal,
            Self::Bearer(_) | Self::UnknownPolicy | Self::NotFound | Self::Method(_) => Reason::InvalidRequest,
        }
    }

    fn parts(&self) -> (StatusCode, &'static str, Cow<'static, str>) {
        let invalid_request = Code::InvalidRequest.as_str();
        let (status, error, description) = match self {
            Self::Refused(Refusal { code, description }) => {
                let unauthorized = *code == Code::InvalidClient;
                let status = if unauthorized { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
                return (status, code.as_str(), description.clone());
            }
            Self::Bearer(error) => {
                let status = match error {
                    BearerError::Missing | BearerError::InvalidToken => StatusCode::UNAUTHORIZED,
                    BearerError::Malformed(_) => StatusCode::BAD_REQUEST,
                    BearerError::InsufficientScope(_) => StatusCode::FORBIDDEN,
                };
                (status, error.code().unwrap_or_default(), error.description())
            }
            Self::UnknownPolicy => (
                StatusCode::NOT_FOUND,
                "not_found",
                "no such policy: they stand under forwardAuth.policies in the configuration of the operator",
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, invalid_request, "the body is larger than 64 KiB"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, invalid_request, "the body did not arrive within 10 seconds"),
            Self::RateLimited(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "too many requests from this address: keep a token until it expires",
            ),
            Self::Stale => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "the records of this server are not up to date, try again shortly",
            ),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "server_error", "a fault of this server, see its log")
            }
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "no such path: /.well-known/oauth-authorization-server lists those that are served",
            ),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, invalid_request, "use a method that Allow names"),
        };
        (status, error, Cow::Borrowed(description))
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Refused(refusal) if refusal.code == Code::InvalidClient => Some((header::WWW_AUTHENTICATE, BASIC)),
            Self::Bearer(error) => {
                // A scope that is no header is none by its RFC either, and the configuration refuses it.
                HeaderValue::try_from(error.challenge()).ok().map(|challenge| (header::WWW_AUTHENTICATE, challenge))
            }
            Self::RateLimited(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Some((header::RETRY_AFTER, seconds.max(1).into()))
            }
            Self::Stale => Some((header::RETRY_AFTER, 5.into())),
            Self::Slow => Some((header::CONNECTION, HeaderValue::from_static("close"))),
            Self::Method(allow) => Some((header::ALLOW, HeaderValue::from_static(allow))),
            Self::Refused(_) | Self::UnknownPolicy | Self::TooLarge | Self::Internal | Self::NotFound => None,
        }
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<BearerError> for HttpError {
    fn from(error: BearerError) -> Self {
        Self::Bearer(error)
    }
}

impl From<IssueError> for HttpError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Refused(refusal) => Self::Refused(refusal),
            IssueError::NoKey => Self::Stale,
            IssueError::Keys(error) => {
                tracing::error!(%error, "a token could not be signed");
                Self::Internal
            }
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let (status, error, description) = self.parts();
        let error = if error.is_empty() { String::new() } else { format!(r#""error":"{error}","#) };
        // Neither has a character that JSON would escape: `Refusal` sees to it.
        let body = format!(r#"{{{error}"error_description":"{description}"}}"#);
        let mut response = reply::private(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().extend(self.header());
        response
    }
}

/// For routes that only POST reaches.
pub(super) async fn only_post() -> HttpError {
    HttpError::Method("POST")
}

/// For routes that only GET and HEAD reach.
pub(super) async fn only_get() -> HttpError {
    HttpError::Method("GET, HEAD")
}

/// For all other paths.
pub(super) async fn not_found() -> HttpError {
    HttpError::NotFound
}
