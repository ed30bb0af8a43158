//! Flow 2: a complete list of the record Secrets, in pages of one and the same moment.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    Follower, Position, SourceError,
    wire::{Page, Version},
};
/// Secrets in one answer: each answer is in memory as a whole, here and there.
const PAGE: u32 = 500;
/// A stopped API server holds connections open and says nothing. For each page:
const LIST: Duration = Duration::from_secs(15);
const CONFIRMATION: Duration = Duration::from_secs(5);

impl Follower {
    /// Replaces everything known. Without a version in the request, the answer is no older than the request.
    pub(super) async fn list(&mut self) -> Result<(), SourceError> {
        let started = Instant::now();
        self.followed.take_over(|records| self.scope.begin_list(records));
        let mut found = false;
        let mut page = self.page(None).await?;
        let version = page.version().clone();
        loop {
            for object in page.objects() {
                found = true;
                self.followed.take_over(|records| self.scope.take_over(records, object));
            }
            let Some(next) = page.next() else { break };
            page = self.page(Some(next)).await?;
        }
        self.followed.take_over(|records| self.scope.finish_list(records, found));
        self.prove(started);
        self.position = Some(Position { version, listed: started });
        Ok(())
    }

    /// Asks for next to nothing, in the only way that an API server cannot answer without its store, to learn that
    /// `known` is not ahead of it: cut off from its store it goes on granting watches, and so does one whose store was
    /// restored from a backup, and both would never tell of a change.
    pub(super) async fn confirm(&self, known: &Version) -> Result<(), SourceError> {
        let request = self.secrets.list_metadata(&self.scope.probe()).map_err(kube::Error::BuildRequest)?;
        let page = parse(self.client.request_text(request), CONFIRMATION).await?;
        if page.version().is_before(known) { Err(SourceError::Older) } else { Ok(()) }
    }

    async fn page(&self, token: Option<&str>) -> Result<Page, SourceError> {
        let mut params = self.scope.list().limit(PAGE);
        params.continue_token = token.map(str::to_owned);
        let request = self.secrets.list(&params).map_err(kube::Error::BuildRequest)?;
        parse(self.client.request_text(request), LIST).await
    }
}

/// Takes text: the client logs answers of other kinds that do not parse, and these hold secrets.
async fn parse(text: impl Future<Output = kube::Result<String>>, within: Duration) -> Result<Page, SourceError> {
    let text = Zeroizing::new(timeout(within, text).await??);
    Ok(serde_json::from_str(&text)?)
}
