//! Flow 3: the transitions of messages, inside one transaction. All that is here is in one commit with all that waits with it.

mod archive;
mod prune;
mod settle;

use std::collections::BTreeSet;

use redb::{ReadableTable as _, WriteTransaction};

pub(super) use self::prune::Step;
use super::{
    claims::Ticket,
    encoding::{Head, read_head, write_endpoint, write_head},
    fault::Fault,
    ledger::{Entry, Ledger},
    tables::{self, Tables, chain, link, place},
};
use crate::delivery::message::{OrderingKey, Phase, State};

/// A transaction under way.
pub(super) struct Change<'a> {
    pub(super) tables: Tables<'a>,
    pub(super) ledger: &'a mut Ledger,
    /// Endpoints that have something new to deliver.
    woken: BTreeSet<u32>,
    /// For rows, so that not each has an allocation of its own.
    row: Vec<u8>,
}

/// What a committed change means for those who read.
pub(super) struct Effects {
    pub(super) endpoints: Vec<(u32, Option<Entry>)>,
    pub(super) woken: BTreeSet<u32>,
}

/// A message and its number.
struct Found {
    ticket: Ticket,
    head: Head,
}

impl<'a> Change<'a> {
    pub(super) fn begin(transaction: &'a WriteTransaction, ledger: &'a mut Ledger) -> Result<Self, Fault> {
        Ok(Self { tables: Tables::open(transaction)?, ledger, woken: BTreeSet::new(), row: Vec::new() })
    }

    /// Writes what waits and what was counted. The transaction can be committed then; if nothing has changed, it need not.
    pub(super) fn finish(mut self) -> Result<Option<Effects>, Fault> {
        self.tables.places.write()?;
        let endpoints = self.ledger.take_dirty();
        if endpoints.is_empty() {
            return Ok(None);
        }
        for (number, entry) in &endpoints {
            if let Some(Entry { endpoint, amounts }) = entry {
                write_endpoint(endpoint, amounts, &mut self.row);
                self.tables.endpoints.insert(number, &*self.row)?;
            } else {
                self.tables.endpoints.remove(number)?;
            }
        }
        self.tables.meta.insert(tables::NEXT_NUMBER, self.ledger.next_number)?;
        self.tables.meta.insert(tables::NEXT_ENDPOINT, u64::from(self.ledger.next_endpoint))?;
        Ok(Some(Effects { endpoints, woken: self.woken }))
    }

    fn find(&self, ticket: Ticket) -> Result<Option<Found>, Fault> {
        let row = self.tables.heads.get((ticket.endpoint, ticket.number))?;
        let head = row.map(|row| read_head(row.value())).transpose()?;
        Ok(head.map(|head| Found { ticket, head }))
    }

    /// Writes a message where its state says.
    fn put(&mut self, ticket: Ticket, head: &Head) -> Result<(), Fault> {
        let Ticket { endpoint, number } = ticket;
        write_head(head, &mut self.row);
        self.tables.heads.insert((endpoint, number), &*self.row)?;
        self.tables.places.insert(place(endpoint, &head.state, number));
        self.count_in(endpoint, head);
        Ok(())
    }

    pub(super) fn count_in(&mut self, endpoint: u32, head: &Head) {
        let phase = head.state.phase();
        self.ledger.count_in(endpoint, phase, head.body_bytes);
        if phase == Phase::Due {
            self.woken.insert(endpoint);
        }
    }

    /// Takes a message away from where its state says. Its content stays.
    fn take(&mut self, Found { ticket, head }: &Found) -> Result<(), Fault> {
        let phase = head.state.phase();
        self.tables.heads.remove((ticket.endpoint, ticket.number))?;
        self.tables.places.remove(place(ticket.endpoint, &head.state, ticket.number))?;
        self.ledger.count_out(ticket.endpoint, phase, head.body_bytes);
        if let Some(key) = head.key
            && !phase.is_end()
        {
            self.tables.chains.remove(link(ticket.endpoint, key, ticket.number))?;
        }
        Ok(())
    }

    /// Moves a message on, and the next one of its key if that one waited for it.
    fn move_to(&mut self, mut found: Found, state: State) -> Result<(), Fault> {
        let (was, is) = (found.head.state.phase(), state.phase());
        self.tables.places.remove(place(found.ticket.endpoint, &found.head.state, found.ticket.number))?;
        self.ledger.count_out(found.ticket.endpoint, was, found.head.body_bytes);
        found.head.state = state;
        self.put(found.ticket, &found.head)?;
        match found.head.key {
            Some(key) if !was.is_end() && is.is_end() => self.unlink(found.ticket, key),
            _ => Ok(()),
        }
    }

    fn unlink(&mut self, Ticket { endpoint, number }: Ticket, key: OrderingKey) -> Result<(), Fault> {
        self.tables.chains.remove(link(endpoint, key, number))?;
        self.advance(endpoint, key)
    }

    /// Makes the first message of a key due, if it waited for an earlier one.
    fn advance(&mut self, endpoint: u32, key: OrderingKey) -> Result<(), Fault> {
        let Some(number) = self.first(endpoint, key)? else { return Ok(()) };
        match self.find(Ticket { endpoint, number })? {
            Some(first) if first.head.state == State::Waiting => {
                let at = first.head.since();
                self.move_to(first, State::Due { at })
            }
            _ => Ok(()),
        }
    }

    /// The first message of a key that has not ended.
    fn first(&self, endpoint: u32, key: OrderingKey) -> Result<Option<u64>, Fault> {
        let first = self.tables.chains.range(chain(endpoint, key))?.next().transpose()?;
        Ok(first.map(|(link, _)| link.value().2))
    }

    /// Puts a message at the end of its key's messages, and tells whether it is due: whether none is before it.
    pub(super) fn link(
        &mut self,
        Ticket { endpoint, number }: Ticket,
        key: Option<OrderingKey>,
    ) -> Result<bool, Fault> {
        let Some(key) = key else { return Ok(true) };
        let alone = self.first(endpoint, key)?.is_none();
        self.tables.chains.insert(link(endpoint, key, number), ())?;
        Ok(alone)
    }
}
