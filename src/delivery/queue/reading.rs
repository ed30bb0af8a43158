//! Flow 3: claim, and everything else that only reads. Each call sees the file as it is after one commit.

mod archive;

pub use self::archive::Cursor;

use std::sync::PoisonError;

use jiff::Timestamp;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase as _};

use super::{
    Claimed, EndpointFigures, Recent,
    claims::{Mark, Ticket},
    encoding::{Damaged, Head, milliseconds, read_content, read_head, timestamp},
    fault::Fault,
    ledger::Entry,
    shared::Shared,
    tables::{CONTENTS, HEADS, HeadKey, PLACES, heads, places},
};
use crate::delivery::message::{EndpointRef, Phase};

impl Shared {
    pub(super) fn claim(&self, endpoint: &EndpointRef, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Fault> {
        let Some(number) = self.directory().number(endpoint) else { return Ok(Vec::new()) };
        self.with_database(|database| {
            let (transaction, marks) = self.mark(database, number, now, limit)?;
            let rows = Rows::open(&transaction)?;
            let claimed = marks.into_iter().map(|mark| rows.claimed(mark, endpoint));
            claimed.filter_map(Result::transpose).collect()
        })
    }

    /// Claims what is due, in the transaction that it is to be read in.
    fn mark(
        &self,
        database: &Database,
        endpoint: u32,
        now: Timestamp,
        limit: usize,
    ) -> Result<(ReadTransaction, Vec<Mark>), Fault> {
        let mut claimed = self.claims.lock();
        // Not before the lock: see there.
        let transaction = database.begin_read()?;
        let mut marks = Vec::new();
        for row in transaction.open_table(PLACES)?.range(places(endpoint, Phase::Due, milliseconds(now)))? {
            if marks.len() == limit {
                break;
            }
            let number = row?.0.value().3;
            if claimed.insert(number) {
                marks.push(self.claims.mark(Ticket { endpoint, number }));
            }
        }
        drop(claimed);
        Ok((transaction, marks))
    }

    pub(super) fn next_due(&self, endpoint: &EndpointRef) -> Result<Option<Timestamp>, Fault> {
        let Some(number) = self.directory().number(endpoint) else { return Ok(None) };
        self.with_database(|database| {
            let claimed = self.claims.lock();
            let due = database.begin_read()?.open_table(PLACES)?.range(places(number, Phase::Due, u64::MAX))?;
            for row in due {
                let (_, _, at, number) = row?.0.value();
                if !claimed.contains(&number) {
                    return Ok(Some(timestamp(at)));
                }
            }
            Ok(None)
        })
    }

    pub(super) fn figures(&self) -> Result<Vec<EndpointFigures>, Fault> {
        let entries: Vec<(u32, Entry)> =
            self.directory().iter().map(|(number, entry)| (number, entry.clone())).collect();
        self.with_database(|database| {
            let rows = Rows::open(&database.begin_read()?)?;
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            passed.retain(|number, _| entries.binary_search_by_key(number, |(number, _)| *number).is_ok());
            let figures = entries.into_iter().map(|(number, Entry { endpoint, amounts })| {
                let from = passed.entry(number).or_default();
                let oldest = if amounts.queued.messages > 0 { rows.oldest(number, from)? } else { None };
                Ok(EndpointFigures {
                    endpoint,
                    queued: amounts.queued,
                    dead_letters: amounts.dead_letters,
                    delivered: amounts.delivered,
                    oldest,
                })
            });
            figures.collect()
        })
    }

    pub(super) fn recent(&self, since: Timestamp, limit: usize) -> Result<Vec<Recent>, Fault> {
        let endpoints: Vec<(u32, EndpointRef)> =
            self.directory().iter().map(|(number, entry)| (number, entry.endpoint.clone())).collect();
        self.with_database(|database| {
            let rows = Rows::open(&database.begin_read()?)?;
            let recent = endpoints.iter().map(|(number, endpoint)| rows.recent(*number, endpoint, since, limit));
            Ok(recent.collect::<Result<Vec<_>, Fault>>()?.concat())
        })
    }
}

/// The tables that messages are read from.
struct Rows {
    heads: ReadOnlyTable<HeadKey, &'static [u8]>,
    contents: ReadOnlyTable<&'static [u8; 22], &'static [u8]>,
}

impl Rows {
    fn open(transaction: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self { heads: transaction.open_table(HEADS)?, contents: transaction.open_table(CONTENTS)? })
    }

    fn head(&self, Ticket { endpoint, number }: Ticket) -> Result<Option<Head>, Fault> {
        let row = self.heads.get((endpoint, number))?;
        Ok(row.map(|row| read_head(row.value())).transpose()?)
    }

    /// Since when the oldest message of an endpoint is queued. What has ended stays so under its number, and is passed over once: the
    /// first look after a start reads what is kept from before that message.
    fn oldest(&self, endpoint: u32, from: &mut u64) -> Result<Option<Timestamp>, Fault> {
        for row in self.heads.range(heads(endpoint, *from))? {
            let (key, row) = row?;
            let head = read_head(row.value())?;
            if !head.state.phase().is_end() {
                return Ok(Some(head.since()));
            }
            *from = key.value().1 + 1;
        }
        Ok(None)
    }

    fn claimed(&self, mark: Mark, endpoint: &EndpointRef) -> Result<Option<Claimed>, Fault> {
        let Some(head) = self.head(mark.ticket())? else { return Ok(None) };
        let content = read_content(self.contents.get(head.id.as_bytes())?.ok_or(Damaged)?.value())?;
        Ok(Some(Claimed { claim: mark.claim(head.id), content, message: head.into_message(endpoint.clone()) }))
    }

    /// Of the latest messages of an endpoint, those that a sender might repeat.
    fn recent(
        &self,
        number: u32,
        endpoint: &EndpointRef,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Recent>, Fault> {
        let mut recent = Vec::new();
        for row in self.heads.range(heads(number, 0))?.rev() {
            let head = read_head(row?.1.value())?;
            if head.since() < since || recent.len() == limit {
                break;
            }
            // What was replayed may have come long ago.
            if head.accepted_at >= since {
                recent.push(head);
            }
        }
        recent.sort_by_key(|head| std::cmp::Reverse(head.accepted_at));
        let recent = recent.into_iter().filter_map(|head| {
            let Head { id, accepted_at, duplicate, .. } = head;
            duplicate.map(|duplicate| Recent { id, endpoint: endpoint.clone(), accepted_at, duplicate })
        });
        Ok(recent.collect())
    }
}
