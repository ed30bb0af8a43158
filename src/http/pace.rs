//! Flow 2: ends connections that say nothing for too long, or too slowly.
//!
//! hyper has a time-out for headers, which counts the wait between requests as part of it and takes a timer for every
//! request. Here a connection only notes its steps, without looking at a clock; every few seconds somebody looks whether
//! it has taken one.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep},
};

/// From a request's first byte to the end of its headers; also from the connection to its first request.
const HEAD: Duration = Duration::from_secs(10);
/// Between requests. Longer than the pools of common clients keep a connection, so that they rarely find it closed.
const IDLE: Duration = Duration::from_mins(2);
/// A connection ends at most two of these late.
const TICK: Duration = Duration::from_secs(2);

/// The phase is in the low bits of a number that counts the steps.
const PHASE: u32 = 0b11;
const STEP: u32 = PHASE + 1;

/// Headers are awaited.
const HEADERS: u32 = 0;
/// A request is with its handler, which sees to its time.
const BUSY: u32 = 1;
/// Between two requests; ends with the first byte of the next.
const WAITING: u32 = 2;

/// Where a connection is.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU32);

impl Pace {
    /// A request's headers are complete.
    pub(super) fn request(&self) {
        self.step(BUSY);
    }

    /// Its answer is on the way.
    pub(super) fn answered(&self) {
        self.step(WAITING);
    }

    fn read(&self) {
        if self.0.load(Relaxed) & PHASE == WAITING {
            self.step(HEADERS);
        }
    }

    /// One task alone takes the steps of a connection.
    fn step(&self, phase: u32) {
        let step = self.0.load(Relaxed).wrapping_add(STEP) & !PHASE;
        self.0.store(step | phase, Relaxed);
    }

    /// Returns when the connection has stayed in one step for too long.
    pub(super) async fn lost(&self) {
        let mut stay = Stay { step: self.0.load(Relaxed), since: Instant::now() };
        loop {
            sleep(TICK).await;
            if stay.is_too_long(self.0.load(Relaxed), Instant::now()) {
                return;
            }
        }
    }
}

/// Since when a connection is in its step, as far as anybody has looked.
struct Stay {
    step: u32,
    since: Instant,
}

impl Stay {
    fn is_too_long(&mut self, step: u32, now: Instant) -> bool {
        if step != self.step {
            *self = Self { step, since: now };
        }
        limit(step).is_some_and(|limit| now.duration_since(self.since) >= limit)
    }
}

fn limit(step: u32) -> Option<Duration> {
    match step & PHASE {
        HEADERS => Some(HEAD),
        WAITING => Some(IDLE),
        _ => None,
    }
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
    fn only_the_first_bytes_after_an_answer_start_the_time_for_headers() {
        let pace = Pace::default();
        let now = |pace: &Pace| pace.0.load(Relaxed);
        let first = now(&pace);
        pace.read();
        assert_eq!(now(&pace), first, "bytes do not prolong the time for headers");
        assert_eq!(limit(first), Some(HEAD));
        pace.request();
        pace.read();
        assert_eq!(limit(now(&pace)), None, "a body has its own time");
        pace.answered();
        assert_eq!(limit(now(&pace)), Some(IDLE));
        pace.read();
        assert_eq!(limit(now(&pace)), Some(HEAD));
        assert_ne!(now(&pace), first, "another request, another time");
    }

    /// After how long it is lost, looked at every [`TICK`] for an hour, if ever.
    fn lost_after(pace: &Pace) -> Option<Duration> {
        let (start, step) = (Instant::now(), pace.0.load(Relaxed));
        let mut stay = Stay { step, since: start };
        let mut looks = (1..1800).map(|look| start + look * TICK);
        looks.find(|now| stay.is_too_long(step, *now)).map(|now| now.duration_since(start))
    }

    #[test]
    fn a_connection_that_stays_in_one_step_is_lost() {
        let pace = Pace::default();
        assert_eq!(lost_after(&pace), Some(HEAD));
        pace.answered();
        assert_eq!(lost_after(&pace), Some(IDLE));
        pace.request();
        assert_eq!(lost_after(&pace), None, "a request may take its time");
    }

    #[test]
    fn each_step_has_a_time_of_its_own() {
        let (pace, start) = (Pace::default(), Instant::now());
        let mut stay = Stay { step: pace.0.load(Relaxed), since: start };
        pace.request();
        assert!(!stay.is_too_long(pace.0.load(Relaxed), start + HEAD));
        pace.answered();
        assert!(!stay.is_too_long(pace.0.load(Relaxed), start + IDLE), "it is in this step since now");
        assert!(stay.is_too_long(pace.0.load(Relaxed), start + 2 * IDLE));
    }
}
