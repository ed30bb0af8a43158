//! Flows 2 and 3: reads the body of a request, within bounds of size and time.

use std::{pin::pin, task::Poll, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use futures::poll;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// A body that is refused is read up to here beyond its limit and thrown away: a client that is still writing would
/// otherwise see a reset connection instead of the answer.
const MAX_DISCARDED: usize = 2 * 1024 * 1024;
const TIME: Duration = Duration::from_secs(10);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is over the limit.
    TooLarge,
    /// It did not come in time.
    Slow,
    /// It ended before its time, or is badly framed.
    Broken,
}

/// The body, if it has no more than `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, BodyError> {
    if refused_before_sent(headers, limit) {
        return Err(BodyError::TooLarge);
    }
    in_time(collect(body, limit)).await
}

/// Most bodies come with their headers: no timer is set for those.
async fn in_time(read: impl Future<Output = Result<Bytes, BodyError>>) -> Result<Bytes, BodyError> {
    let mut read = pin!(read);
    match poll!(read.as_mut()) {
        Poll::Ready(result) => result,
        Poll::Pending => timeout(TIME, read).await.unwrap_or(Err(BodyError::Slow)),
    }
}

/// Whether the client waits for a word before it sends what would be refused, or would send too much to throw away.
fn refused_before_sent(headers: &HeaderMap, limit: usize) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length: usize = length.unwrap_or(0);
    length > limit.saturating_add(MAX_DISCARDED) || (length > limit && headers.contains_key(header::EXPECT))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let (mut first, mut joined, mut total) = (Bytes::new(), Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total > limit.saturating_add(MAX_DISCARDED) {
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
        total if total > limit => Err(BodyError::TooLarge),
        _ if joined.is_empty() => Ok(first),
        _ => Ok(joined.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64 * 1024;

    async fn read_chunks(chunks: Vec<usize>) -> Result<usize, BodyError> {
        let chunks = chunks.into_iter().map(|length| Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; length])));
        let body = Body::from_stream(futures::stream::iter(chunks));
        read(&HeaderMap::new(), body, LIMIT).await.map(|body| body.len())
    }

    #[tokio::test]
    async fn chunks_are_joined_up_to_the_limit() {
        assert_eq!(read_chunks(vec![]).await, Ok(0));
        assert_eq!(read_chunks(vec![7]).await, Ok(7));
        assert_eq!(read_chunks(vec![0, 1, 0, 2, 3]).await, Ok(6));
        assert_eq!(read_chunks(vec![LIMIT - 1, 1]).await, Ok(LIMIT));
        assert_eq!(read_chunks(vec![LIMIT, 1, 1]).await, Err(BodyError::TooLarge));
        assert_eq!(read_chunks(vec![MAX_DISCARDED; 2]).await, Err(BodyError::TooLarge));
    }
}
