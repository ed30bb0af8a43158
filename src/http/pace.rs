//! Flow 2: ends connections that say nothing for too long, or too slowly.
//!
//! hyper has a time-out for headers, which counts the wait between requests as part of it and takes a timer for every
//! request. Here a connection notes when it must have gone on, and looks at that every few seconds.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// From a request's first byte to the end of its headers; also from the connection to its first request.
const HEAD: Duration = Duration::from_secs(10);
/// Between requests. Longer than the pools of common clients keep a connection, so that they rarely find it closed.
const IDLE: Duration = Duration::from_mins(2);
const TICK: Duration = Duration::from_secs(2);

/// The low bit of a deadline that stands between two requests, and ends with the first byte of the next.
const IDLE_BIT: u64 = 1;
const NEVER: u64 = !IDLE_BIT;

/// When a connection must have gone on.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Microseconds since `start`, and the bit.
    deadline: AtomicU64,
}

impl Pace {
    pub(super) fn start() -> Arc<Self> {
        let pace = Self { start: Instant::now(), deadline: AtomicU64::new(0) };
        pace.set(HEAD, 0);
        Arc::new(pace)
    }

    /// A request's headers are complete: its handler sees to its time from here.
    pub(super) fn request(&self) {
        self.deadline.store(NEVER, Relaxed);
    }

    /// Its answer is on the way.
    pub(super) fn answered(&self) {
        self.set(IDLE, IDLE_BIT);
    }

    fn read(&self) {
        if self.deadline.load(Relaxed) & IDLE_BIT != 0 {
            self.set(HEAD, 0);
        }
    }

    /// Returns when the deadline has passed.
    pub(super) async fn lost(&self) {
        while self.now() < self.deadline.load(Relaxed) {
            tokio::time::sleep(TICK).await;
        }
    }

    fn set(&self, from_now: Duration, bit: u64) {
        let deadline = self.now().saturating_add(micros(from_now));
        self.deadline.store(deadline & !IDLE_BIT | bit, Relaxed);
    }

    fn now(&self) -> u64 {
        micros(self.start.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A stream that tells its [`Pace`] when something was read.
#[derive(Debug)]
pub(super) struct Paced<S> {
    pub(super) stream: S,
    pub(super) pace: Arc<Pace>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pace.read();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_bytes_after_an_answer_start_the_clock_for_headers() {
        let pace = Pace::start();
        let left = |pace: &Pace| Duration::from_micros(pace.deadline.load(Relaxed).saturating_sub(pace.now()));
        pace.read();
        assert!(left(&pace) <= HEAD, "bytes do not prolong the time for headers");
        pace.request();
        pace.read();
        assert!(left(&pace) > IDLE, "a body has its own time");
        pace.answered();
        assert!(left(&pace) > HEAD);
        pace.read();
        assert!(left(&pace) <= HEAD);
    }
}
