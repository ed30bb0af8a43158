//! Flow 3: POST ──▶ enqueue: what posts brought gets into the file, all of a post or nothing.
//!
//! Rows of new messages wait in memory for the end of the transaction: in the order of their keys they go into the trees many at
//! a time, not each on a way of its own.

use std::{collections::BTreeMap, mem};

use redb::{ReadableTable as _, WriteTransaction};

use super::{
    Amount, Quota,
    change::{Change, Effects},
    claims::Ticket,
    encoding::{Head, write_content, write_head},
    fault::Fault,
    ledger::Ledger,
    sorted::insert_sorted,
    tables::{HeadKey, Tables, place},
};
use crate::{
    delivery::message::{EndpointRef, Entry, MessageId, NewMessage, State},
    record::endpoint::Limits,
};

/// Room that is made for a row besides a body: most need less.
const ROW: usize = 256;

/// All that is in one commit.
pub(super) struct Batch<'a> {
    change: Change<'a>,
    arrivals: Arrivals,
}

/// Rows that are not in the tables yet. Their keys are new.
#[derive(Default)]
struct Arrivals {
    /// The latest id in the tables, once somebody asked; ids sort by time.
    latest: Option<[u8; 22]>,
    contents: BTreeMap<[u8; 22], Vec<u8>>,
    heads: BTreeMap<HeadKey, Vec<u8>>,
}

impl<'a> Batch<'a> {
    pub(super) fn begin(transaction: &'a WriteTransaction, ledger: &'a mut Ledger) -> Result<Self, Fault> {
        Ok(Self { change: Change::begin(transaction, ledger)?, arrivals: Arrivals::default() })
    }

    /// Writes all that is left. The transaction can be committed then; if nothing has changed, it need not.
    pub(super) fn finish(mut self) -> Result<Option<Effects>, Fault> {
        self.change()?;
        self.change.finish()
    }

    /// For everything else than new messages: it finds those that came before in the tables.
    pub(super) fn change(&mut self) -> Result<&mut Change<'a>, Fault> {
        mem::take(&mut self.arrivals).write(&mut self.change.tables)?;
        Ok(&mut self.change)
    }

    pub(super) fn enqueue(
        &mut self,
        endpoint: &EndpointRef,
        limits: &Limits,
        messages: Vec<NewMessage>,
    ) -> Result<Result<(), Quota>, Fault> {
        if let Err(quota) = self.change.ledger.check(endpoint, limits, room(&messages)) {
            return Ok(Err(quota));
        }
        if !messages.is_empty() {
            let endpoint = self.change.ledger.enrol(endpoint);
            messages.into_iter().try_for_each(|message| self.store(endpoint, message))?;
        }
        Ok(Ok(()))
    }

    fn store(&mut self, endpoint: u32, message: NewMessage) -> Result<(), Fault> {
        let Self { change, arrivals } = self;
        let NewMessage { id, accepted_at, content, key, duplicate, entry } = message;
        // A caller whose write seemed to fail may come again with the same messages.
        if arrivals.has(id, &change.tables)? {
            return Ok(());
        }
        let ticket = Ticket { endpoint, number: change.ledger.take_number() };
        let state = match entry {
            Entry::DeadLetter(reason) => State::DeadLetter { at: accepted_at, reason },
            Entry::Held => {
                change.link(ticket, key)?;
                State::Held
            }
            Entry::Due if change.link(ticket, key)? => State::Due { at: accepted_at },
            Entry::Due => State::Waiting,
        };
        let body_bytes = content.body().len() as u64;
        let (replayed_at, attempts, log) = (None, 0, Vec::new());
        let head = Head { id, accepted_at, replayed_at, body_bytes, key, duplicate, state, attempts, log };
        change.count_in(endpoint, &head);
        let (mut content_row, mut head_row) = (Vec::with_capacity(ROW + content.body().len()), Vec::with_capacity(ROW));
        write_content(ticket, &content, &mut content_row);
        write_head(&head, &mut head_row);
        arrivals.contents.insert(*id.as_bytes(), content_row);
        arrivals.heads.insert((endpoint, ticket.number), head_row);
        change.tables.places.insert(place(endpoint, &head.state, ticket.number));
        Ok(())
    }
}

impl Arrivals {
    /// Whether a message is there or came just before.
    fn has(&mut self, id: MessageId, tables: &Tables<'_>) -> Result<bool, Fault> {
        let id = id.as_bytes();
        let latest = match self.latest {
            Some(latest) => latest,
            None => *self.latest.insert(tables.contents.last()?.map_or([0; 22], |(latest, _)| *latest.value())),
        };
        Ok(self.contents.contains_key(id) || *id <= latest && tables.contents.get(id)?.is_some())
    }

    fn write(self, tables: &mut Tables<'_>) -> Result<(), Fault> {
        let contents: Vec<_> = self.contents.iter().map(|(id, row)| (id, row.as_slice())).collect();
        insert_sorted(&mut tables.contents, &contents, |_, _| true)?;
        let heads: Vec<_> = self.heads.iter().map(|(key, row)| (*key, row.as_slice())).collect();
        insert_sorted(&mut tables.heads, &heads, |one, next| one.0 == next.0)
    }
}

/// How much messages would add to what is queued.
fn room(messages: &[NewMessage]) -> Amount {
    let queued = messages.iter().filter(|message| !matches!(message.entry, Entry::DeadLetter(_)));
    queued.fold(Amount::default(), |sum, message| Amount {
        messages: sum.messages + 1,
        bytes: sum.bytes + message.content.body().len() as u64,
    })
}
