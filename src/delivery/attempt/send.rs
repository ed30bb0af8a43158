//! Flow 3: the call itself.

use core::{error::Error as _, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, header::RETRY_AFTER};
use hyper_util::client::legacy;
use tokio::time::{Instant, timeout_at};

use super::{
    mask::Mask,
    prepare::{Prepared, Terms},
};
use crate::delivery::{
    egress::{ConnectError, Egress},
    retry::RetryAfter,
    verdict::FailureKind,
};

/// So much of an answer is read. With more to come, the connection is closed.
const MAX_READ: usize = 64 * 1024;
/// So much of an answer is kept.
const MAX_KEPT: usize = 1024;

/// What came of a call.
#[derive(Debug)]
pub struct Sent {
    /// The receiver's answer, or why there is none.
    pub answer: Result<Answer, Failure>,
    /// How long it took.
    pub duration: Duration,
    pub(super) terms: Terms,
}

/// What the receiver said.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When it wants to be called again.
    pub retry_after: Option<RetryAfter>,
    /// The beginning of the body as text, with what the call was made with hidden.
    pub snippet: String,
}

/// Bodies are shown to those who ask for them.
impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, retry_after, snippet: _ } = self;
        let mut shown = formatter.debug_struct("Answer");
        shown.field("status", status).field("retry_after", retry_after).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one word.
    pub kind: FailureKind,
    /// In words for those who look after the receiver. Of the URL it has the host at most.
    pub detail: String,
}

impl Egress {
    /// Makes one call. The time limit covers everything from the resolution of the name to the end of the answer.
    ///
    /// An answer whose status has come in time counts, also where its body goes on beyond the limits of time or size.
    pub async fn send(&self, prepared: Prepared) -> Sent {
        let Prepared { receiver, method, uri, headers, body, timeout, mask, terms } = prepared;
        let started = Instant::now();
        let deadline = started + timeout;
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        let answer = match timeout_at(deadline, self.request(receiver, request)).await {
            Ok(Ok(response)) => Ok(read(response, deadline, &mask).await),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => {
                Err(Failure { kind: FailureKind::TimedOut, detail: format!("no answer in {} s", timeout.as_secs()) })
            }
        };
        Sent { answer, duration: started.elapsed(), terms }
    }
}

async fn read(response: Response<Incoming>, deadline: Instant, mask: &Mask) -> Answer {
    let (parts, body) = response.into_parts();
    let (text, cut) = beginning(body, deadline).await;
    Answer {
        status: parts.status.as_u16(),
        retry_after: retry_after(&parts.headers),
        snippet: snippet(&mask.apply(&text, cut)),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(RetryAfter::parse)
}

/// The beginning of a body, and whether it goes on. A body that ends early is as good as one that ends.
async fn beginning(mut body: Incoming, deadline: Instant) -> (BytesMut, bool) {
    let mut read = BytesMut::new();
    while let Ok(frame) = timeout_at(deadline, body.frame()).await {
        let Some(Ok(frame)) = frame else { return (read, false) };
        let data: Bytes = frame.into_data().unwrap_or_default();
        read.extend_from_slice(data.get(..MAX_READ - read.len()).unwrap_or(&data));
        if read.len() >= MAX_READ {
            break;
        }
    }
    (read, true)
}

/// Text that a terminal can show: no control characters but line breaks and tabs.
fn snippet(text: &[u8]) -> String {
    let kept = String::from_utf8_lossy(text.get(..MAX_KEPT).unwrap_or(text));
    let printable = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    kept.chars().map(printable).collect()
}

fn failure(error: &legacy::Error) -> Failure {
    let cause = error.source().and_then(|source| source.downcast_ref::<ConnectError>());
    let Some(cause) = cause else {
        return Failure { kind: FailureKind::BrokenOff, detail: chain(error) };
    };
    let kind = match cause {
        ConnectError::NoHost | ConnectError::NotResolved { .. } => FailureKind::NotResolved,
        ConnectError::Denied { .. } => FailureKind::EgressDenied,
        ConnectError::NotConnected { .. } => FailureKind::NotConnected,
        ConnectError::NoTls { .. } => FailureKind::TlsFailed,
        ConnectError::TooLate { .. } => FailureKind::TimedOut,
    };
    Failure { kind, detail: chain(cause) }
}

/// An error with all its causes.
fn chain(error: &dyn core::error::Error) -> String {
    let causes = core::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_can_be_shown_on_a_terminal() {
        assert_eq!(snippet(b"a\tb\nc\x1b[31m\x07\r\xff"), "a\tb\nc\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(snippet(&[b'x'; 5000]).len(), MAX_KEPT);
    }
}
