//! Flow 2: reads the body of a form request, within bounds of size and time.

use std::{pin::pin, task::Poll, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header, request::Parts},
};
use futures::poll;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::error::HttpError;
use crate::token::{Code, Refusal};

/// Ten times what the longest honest request has.
const MAX_BODY: usize = 64 * 1024;
/// A body that is refused is read up to here and thrown away: a client that is still writing would otherwise see a
/// reset connection instead of the answer.
const MAX_DISCARDED: usize = 2 * 1024 * 1024;
const TIME: Duration = Duration::from_secs(10);

/// The body of a request whose media type is that of a form.
pub(super) async fn read(parts: &Parts, body: Body) -> Result<Bytes, HttpError> {
    let is_form = is_form(&parts.headers);
    let limit = if is_form { MAX_BODY } else { 0 };
    let read = if refused_before_sent(&parts.headers, limit) {
        Err(HttpError::TooLarge)
    } else {
        in_time(collect(body, limit)).await
    };
    if is_form { read } else { Err(not_a_form()) }
}

/// Most bodies come with their headers: no timer is set for those.
async fn in_time(read: impl Future<Output = Result<Bytes, HttpError>>) -> Result<Bytes, HttpError> {
    let mut read = pin!(read);
    match poll!(read.as_mut()) {
        Poll::Ready(result) => result,
        Poll::Pending => timeout(TIME, read).await.unwrap_or(Err(HttpError::Slow)),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let value = value.as_bytes();
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    value[..end].trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

fn not_a_form() -> HttpError {
    let description = "send the parameters as Content-Type: application/x-www-form-urlencoded";
    HttpError::Refused(Refusal::new(Code::InvalidRequest, description))
}

/// Whether the client waits for a word before it sends what would be refused, or would send too much to throw away.
fn refused_before_sent(headers: &HeaderMap, limit: usize) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length: usize = length.unwrap_or(0);
    length > MAX_DISCARDED || (length > limit && headers.contains_key(header::EXPECT))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, HttpError> {
    let (mut first, mut joined, mut total) = (Bytes::new(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| broken())?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total > MAX_DISCARDED {
            break;
        }
        if total > limit {
            (first, joined) = (Bytes::new(), Vec::new());
        } else if total == data.len() {
            // Nearly always the only one, and then it is not copied.
            first = data;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&data);
        }
    }
    match total {
        total if total > limit => Err(HttpError::TooLarge),
        _ if joined.is_empty() => Ok(first),
        _ => Ok(joined.into()),
    }
}

fn broken() -> HttpError {
    HttpError::Refused(Refusal::new(Code::InvalidRequest, "the body ended before its time, or is badly framed"))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read_chunks(chunks: Vec<usize>) -> Result<usize, HttpError> {
        let chunks = chunks.into_iter().map(|length| Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; length])));
        let request = Request::post("/").header("content-type", "Application/X-WWW-Form-Urlencoded ; charset=UTF-8");
        let (parts, body) = request.body(Body::from_stream(futures::stream::iter(chunks))).unwrap().into_parts();
        read(&parts, body).await.map(|body| body.len())
    }

    #[tokio::test]
    async fn chunks_are_joined_up_to_the_limit() {
        assert_eq!(read_chunks(vec![]).await.unwrap(), 0);
        assert_eq!(read_chunks(vec![7]).await.unwrap(), 7);
        assert_eq!(read_chunks(vec![0, 1, 0, 2, 3]).await.unwrap(), 6);
        assert_eq!(read_chunks(vec![MAX_BODY - 1, 1]).await.unwrap(), MAX_BODY);
        assert!(matches!(read_chunks(vec![MAX_BODY, 1, 1]).await, Err(HttpError::TooLarge)));
        assert!(matches!(read_chunks(vec![MAX_DISCARDED; 2]).await, Err(HttpError::TooLarge)));
    }
}
