//! Flow 2: a complete list of the record Secrets, in pages of one and the same moment.

use std::time::{Duration, Instant};

use kube::core::params::ListParams;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Follower, Position, SourceError, wire::Page};
use crate::record;

/// Secrets in one answer: each answer is in memory as a whole, here and there.
const PAGE: u32 = 500;
/// A stopped API server holds connections open and says nothing.
const DEADLINE: Duration = Duration::from_secs(15);

impl Follower {
    /// Replaces everything known. Without a version in the request, the answer is no older than the request.
    pub(super) async fn list(&mut self) -> Result<(), SourceError> {
        let started = Instant::now();
        self.records.begin_list();
        let mut page = self.page(None).await?;
        let version = page.version().clone();
        loop {
            page.objects().for_each(|object| self.take_over(object));
            let Some(next) = page.next() else { break };
            page = self.page(Some(next)).await?;
        }
        self.records.finish_list();
        self.prove(started);
        self.position = Some(Position { version, listed: started });
        Ok(())
    }

    async fn page(&self, token: Option<&str>) -> Result<Page, SourceError> {
        let mut params = ListParams::default().labels(record::LABEL).limit(PAGE);
        params.continue_token = token.map(str::to_owned);
        let request = self.secrets.list(&params).map_err(kube::Error::BuildRequest)?;
        // As text: the client logs answers of other kinds that do not parse, and these hold secrets.
        let text = Zeroizing::new(timeout(DEADLINE, self.client.request_text(request)).await??);
        Ok(serde_json::from_str(&text)?)
    }
}
