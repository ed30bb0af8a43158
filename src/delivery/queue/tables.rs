//! Flow 3: the tables of the queue's file, and the order of their keys.
//!
//! A message has a *number*, which says when it was queued and is never used again. Its content is written once, under its id.
//! Its head is small and written with each change, so it lies apart; its place says where it stands among the messages of its
//! endpoint and is what due times, lists and pruning go by. Nothing here has to be read as a whole, ever.

use redb::{ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::{
    claims::Ticket,
    encoding::{milliseconds, read_ticket},
    fault::Fault,
    sorted::Places,
};
use crate::delivery::message::{OrderingKey, Phase, State};

/// Id ▶ where the head is, and the content. Ids sort by time, so most come at the end.
pub(super) const CONTENTS: TableDefinition<'_, &[u8; 22], &[u8]> = TableDefinition::new("contents");
/// Endpoint, number ▶ head.
pub(super) const HEADS: TableDefinition<'_, HeadKey, &[u8]> = TableDefinition::new("heads");
/// Endpoint, phase, time, number. Messages that are due have their due time, those that ended the time of their end.
pub(super) const PLACES: TableDefinition<'_, Place, ()> = TableDefinition::new("places");
/// Id ▶ endpoint, number: where the heads of messages are that were replayed.
pub(super) const MOVED: TableDefinition<'_, &[u8; 22], (u32, u64)> = TableDefinition::new("moved");
/// Endpoint, ordering key, number: the messages with a key that have not ended. Only the first of a key is ever due.
pub(super) const CHAINS: TableDefinition<'_, Link, ()> = TableDefinition::new("chains");
/// Endpoint ▶ who it is, and how much there is of it.
pub(super) const ENDPOINTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("endpoints");
/// Name ▶ value: one of the names below.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// In [`META`]: the version of all rows.
pub(super) const VERSION: &str = "version";
/// In [`META`]: the number of the next message.
pub(super) const NEXT_NUMBER: &str = "next number";
/// In [`META`]: the number of the next endpoint.
pub(super) const NEXT_ENDPOINT: &str = "next endpoint";

pub(super) type HeadKey = (u32, u64);
pub(super) type Place = (u32, u8, u64, u64);
pub(super) type Link = (u32, u128, u64);

/// All tables, in a transaction that writes.
pub(super) struct Tables<'txn> {
    pub(super) contents: redb::Table<'txn, &'static [u8; 22], &'static [u8]>,
    pub(super) heads: redb::Table<'txn, HeadKey, &'static [u8]>,
    pub(super) places: Places<'txn>,
    pub(super) moved: redb::Table<'txn, &'static [u8; 22], (u32, u64)>,
    pub(super) chains: redb::Table<'txn, Link, ()>,
    pub(super) endpoints: redb::Table<'txn, u32, &'static [u8]>,
    pub(super) meta: redb::Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    /// Opens the tables, and makes those that are not there.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            contents: transaction.open_table(CONTENTS)?,
            heads: transaction.open_table(HEADS)?,
            places: Places::new(transaction.open_table(PLACES)?),
            moved: transaction.open_table(MOVED)?,
            chains: transaction.open_table(CHAINS)?,
            endpoints: transaction.open_table(ENDPOINTS)?,
            meta: transaction.open_table(META)?,
        })
    }
}

/// Where the head of a message is: as its content says, unless it was replayed.
pub(super) fn ticket(
    moved: &impl ReadableTable<&'static [u8; 22], (u32, u64)>,
    id: &[u8; 22],
    content: &[u8],
) -> Result<Ticket, Fault> {
    match moved.get(id)? {
        Some(row) => Ok(row.value().into()),
        None => Ok(read_ticket(content)?),
    }
}

pub(super) fn phase_code(phase: Phase) -> u8 {
    match phase {
        Phase::Due => 0,
        Phase::Waiting => 1,
        Phase::Held => 2,
        Phase::DeadLetter => 3,
        Phase::Delivered => 4,
    }
}

pub(super) fn place(endpoint: u32, state: &State, number: u64) -> Place {
    let at = match state {
        State::Due { at } | State::DeadLetter { at, .. } | State::Delivered { at } => milliseconds(*at),
        // These keep the order in which they came.
        State::Waiting | State::Held => 0,
    };
    (endpoint, phase_code(state.phase()), at, number)
}

/// The places of an endpoint's messages in one phase, up to a time.
pub(super) fn places(endpoint: u32, phase: Phase, until: u64) -> std::ops::RangeInclusive<Place> {
    let code = phase_code(phase);
    (endpoint, code, 0, 0)..=(endpoint, code, until, u64::MAX)
}

/// The heads of an endpoint's messages, from a number on.
pub(super) fn heads(endpoint: u32, from: u64) -> std::ops::RangeInclusive<HeadKey> {
    (endpoint, from)..=(endpoint, u64::MAX)
}

pub(super) fn link(endpoint: u32, OrderingKey(key): OrderingKey, number: u64) -> Link {
    (endpoint, u128::from_be_bytes(key), number)
}

/// The messages of one key that have not ended.
pub(super) fn chain(endpoint: u32, key: OrderingKey) -> std::ops::RangeInclusive<Link> {
    link(endpoint, key, 0)..=link(endpoint, key, u64::MAX)
}
