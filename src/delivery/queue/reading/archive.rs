//! Flow 3: what an operator sees of messages.

use std::{fmt, ops::Bound};

use redb::{ReadTransaction, ReadableDatabase as _};

use super::Rows;
use crate::delivery::{
    message::{Content, EndpointRef, Message, MessageId, Phase},
    queue::{
        Page, Query,
        claims::Ticket,
        encoding::{Damaged, Head, read_content},
        fault::Fault,
        shared::Shared,
        tables::{MOVED, PLACES, Place, places, ticket},
    },
};

/// The most messages on a page.
const LARGEST_PAGE: usize = 1_000;

/// A place in a list. Its text is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(Place);

impl Cursor {
    /// Reads what [`fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 42 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = |range| u64::from_str_radix(text.get(range)?, 16).ok();
        let endpoint = number(0..8)?.try_into().ok()?;
        let phase = number(8..10)?.try_into().ok()?;
        Some(Self((endpoint, phase, number(10..26)?, number(26..42)?)))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self((endpoint, phase, at, number)) = self;
        write!(formatter, "{endpoint:08x}{phase:02x}{at:016x}{number:016x}")
    }
}

impl Shared {
    pub(in crate::delivery::queue) fn list(&self, query: &Query) -> Result<Page, Fault> {
        let endpoints = self.listed(query);
        self.with_database(|database| {
            let transaction = database.begin_read()?;
            let limit = query.limit.clamp(1, LARGEST_PAGE);
            // One more than fits tells whether there is another page.
            let mut found = find(&transaction, query, &endpoints, limit + 1)?;
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|(place, _)| Cursor(*place));
            let rows = Rows::open(&transaction)?;
            let messages = found.into_iter().map(|((number, _, _, message), endpoint)| {
                let head = rows.head(Ticket { endpoint: number, number: message })?.ok_or(Damaged)?;
                Ok(head.into_message(endpoint.clone()))
            });
            Ok(Page { messages: messages.collect::<Result<_, Fault>>()?, next })
        })
    }

    /// The endpoints that a list may name.
    fn listed(&self, query: &Query) -> Vec<(u32, EndpointRef)> {
        let Query { namespace, name, phase: _, after, limit: _ } = query;
        let first = after.map_or(0, |Cursor((endpoint, ..))| endpoint);
        let directory = self.directory();
        let listed = directory.iter().filter(|(number, entry)| {
            *number >= first
                && namespace.as_ref().is_none_or(|namespace| **namespace == *entry.endpoint.namespace)
                && name.as_ref().is_none_or(|name| **name == *entry.endpoint.name)
        });
        listed.map(|(number, entry)| (number, entry.endpoint.clone())).collect()
    }

    pub(in crate::delivery::queue) fn find(&self, id: MessageId) -> Result<Option<Message>, Fault> {
        self.with_id(id, |endpoint, head, _| Ok(head.into_message(endpoint)))
    }

    pub(in crate::delivery::queue) fn content(&self, id: MessageId) -> Result<Option<Content>, Fault> {
        self.with_id(id, |_, _, row| Ok(read_content(row)?))
    }

    fn with_id<T>(
        &self,
        id: MessageId,
        read: impl FnOnce(EndpointRef, Head, &[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.with_database(|database| {
            let transaction = database.begin_read()?;
            let rows = Rows::open(&transaction)?;
            let Some(row) = rows.contents.get(id.as_bytes())? else { return Ok(None) };
            let ticket = ticket(&transaction.open_table(MOVED)?, id.as_bytes(), row.value())?;
            let head = rows.head(ticket)?.ok_or(Damaged)?;
            // An endpoint that came with this very commit is not in the directory yet, and one that went is no longer.
            let endpoint = self.directory().get(ticket.endpoint).map(|entry| entry.endpoint.clone());
            endpoint.map(|endpoint| read(endpoint, head, row.value())).transpose()
        })
    }
}

/// The places of the messages that a query asks for, with their endpoints.
fn find<'a>(
    transaction: &ReadTransaction,
    query: &Query,
    endpoints: &'a [(u32, EndpointRef)],
    limit: usize,
) -> Result<Vec<(Place, &'a EndpointRef)>, Fault> {
    let table = transaction.open_table(PLACES)?;
    let mut found = Vec::new();
    let ranges = endpoints.iter().flat_map(|(number, endpoint)| {
        let phases = Phase::ALL.into_iter().filter(|phase| query.phase.is_none_or(|asked| asked == *phase));
        phases.map(move |phase| (endpoint, places(*number, phase, u64::MAX)))
    });
    for (endpoint, range) in ranges {
        let (first, last) = range.into_inner();
        let start = match query.after {
            Some(Cursor(after)) if after >= last => continue,
            Some(Cursor(after)) if after >= first => Bound::Excluded(after),
            _ => Bound::Included(first),
        };
        for row in table.range((start, Bound::Included(last)))?.take(limit - found.len()) {
            found.push((row?.0.value(), endpoint));
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}
