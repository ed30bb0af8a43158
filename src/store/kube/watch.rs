//! Flow 2: one watch of the record Secrets, from where the last list or watch ended.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, Stream, TryStreamExt as _};
use kube::core::WatchEvent;
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::{
    Follower, SourceError,
    wire::{Object, Version},
};

/// Until the watch is granted, its connection included.
const OPENING: Duration = Duration::from_secs(10);
/// Within it a new watch tells what it has missed. Also one from a version that is gone is granted, and then ended.
const SETTLING: Duration = Duration::from_millis(250);
/// How long after its time a watch may take to end. A stopped API server never ends it.
const GRACE: Duration = Duration::from_secs(3);
/// Events in one snapshot at most, so that a burst without end is published too.
const BURST: usize = 1_000;

impl Follower {
    /// Takes over changes until the API server ends the watch, as it is asked to after `watch_time`.
    pub(super) async fn watch(&mut self, from: Version) -> Result<(), SourceError> {
        let asked = Instant::now();
        self.confirm(&from).await?;
        let started = Instant::now();
        let deadline = Deadline::from_std(started + self.watch_time + GRACE);
        let mut events = pin!(self.open(&from).await?);
        let mut next = self.first(&mut events, asked, deadline).await?;
        while let Some(event) = next {
            let received = Instant::now();
            self.apply(event)?;
            // What is ready now goes into the same snapshot; what came before an error is published all the same.
            let rest = self.apply_ready(&mut events);
            self.prove(received);
            rest?;
            next = timeout_at(deadline, events.try_next()).await??;
        }
        // A proxy that ends every watch at once would otherwise be asked without a pause.
        if started.elapsed() * 2 < self.watch_time { Err(SourceError::CutOff) } else { Ok(()) }
    }

    async fn open(
        &self,
        from: &Version,
    ) -> Result<impl Stream<Item = kube::Result<WatchEvent<Object>>> + use<>, SourceError> {
        let seconds = u32::try_from(self.watch_time.as_secs()).unwrap_or(u32::MAX);
        let params = self.scope.watch().timeout(seconds);
        let request = self.secrets.watch(&params, from.as_str()).map_err(kube::Error::BuildRequest)?;
        Ok(timeout(OPENING, self.client.request_events(request)).await??)
    }

    /// The first event of a watch. If there is none at once, nothing has changed since `from` until `asked`, which proves
    /// as much as an event: where nothing changes, there are no bookmarks either.
    async fn first<S>(
        &mut self,
        events: &mut S,
        asked: Instant,
        deadline: Deadline,
    ) -> Result<Option<WatchEvent<Object>>, SourceError>
    where
        S: Stream<Item = kube::Result<WatchEvent<Object>>> + Unpin,
    {
        if let Ok(event) = timeout(SETTLING, events.try_next()).await {
            return Ok(event?);
        }
        self.prove(asked);
        Ok(timeout_at(deadline, events.try_next()).await??)
    }

    fn apply_ready<S>(&mut self, events: &mut S) -> Result<(), SourceError>
    where
        S: Stream<Item = kube::Result<WatchEvent<Object>>> + Unpin,
    {
        for _ in 1..BURST {
            let Some(Some(event)) = events.try_next().now_or_never().transpose()? else { break };
            self.apply(event)?;
        }
        Ok(())
    }

    fn apply(&mut self, event: WatchEvent<Object>) -> Result<(), SourceError> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.followed.take_over(|records| self.scope.take_over(records, &object));
                object.version().map_or(Ok(()), |version| self.advance(version.clone()))
            }
            // By its name alone: also one that no longer parses is gone.
            WatchEvent::Deleted(object) => {
                self.followed.take_over(|records| records.remove(object.name()));
                object.version().map_or(Ok(()), |version| self.advance(version.clone()))
            }
            WatchEvent::Bookmark(bookmark) => self.advance(bookmark.metadata.resource_version.into()),
            WatchEvent::Error(status) => Err(SourceError::Ended { reason: status.reason, code: status.code }),
        }
    }

    /// The next watch begins after `version`.
    fn advance(&mut self, version: Version) -> Result<(), SourceError> {
        let Some(position) = &mut self.position else { return Ok(()) };
        if version.is_before(&position.version) {
            return Err(SourceError::Older);
        }
        position.version = version;
        Ok(())
    }
}
