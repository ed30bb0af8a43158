//! Flow 3: what an operator does to single messages.

use jiff::Timestamp;
use redb::ReadableTable as _;

use super::{Change, Found};
use crate::delivery::{
    message::{EndpointRef, MessageId, Phase, State},
    queue::{claims::Ticket, fault::Fault, tables::ticket},
};

impl Change<'_> {
    /// Tells where the message stands now.
    pub(in crate::delivery::queue) fn replay(
        &mut self,
        id: MessageId,
        endpoint: &EndpointRef,
        now: Timestamp,
    ) -> Result<Option<Phase>, Fault> {
        let Some(found) = self.find_id(id)? else { return Ok(None) };
        if found.head.state.phase().is_end() {
            return self.queue_again(found, endpoint, now).map(Some);
        }
        let ticket = found.ticket;
        self.make_due(found, Some(now))?;
        Ok(self.find(ticket)?.map(|found| found.head.state.phase()))
    }

    /// As if it had just been posted, to an endpoint that may be another one by now. A claim from before does not count.
    fn queue_again(&mut self, mut found: Found, endpoint: &EndpointRef, now: Timestamp) -> Result<Phase, Fault> {
        self.take(&found)?;
        let ticket = Ticket { endpoint: self.ledger.enrol(endpoint), number: self.ledger.take_number() };
        let due = self.link(ticket, found.head.key)?;
        found.head.state = if due { State::Due { at: now } } else { State::Waiting };
        found.head.replayed_at = Some(now);
        found.head.attempts = 0;
        self.put(ticket, &found.head)?;
        self.tables.moved.insert(found.head.id.as_bytes(), (ticket.endpoint, ticket.number))?;
        Ok(found.head.state.phase())
    }

    /// Tells whether there was such a message.
    pub(in crate::delivery::queue) fn discard(&mut self, id: MessageId) -> Result<bool, Fault> {
        let Some(found) = self.find_id(id)? else { return Ok(false) };
        self.remove(&found)?;
        if let Some(key) = found.head.key {
            self.advance(found.ticket.endpoint, key)?;
        }
        Ok(true)
    }

    /// Removes all that there is of a message.
    pub(super) fn remove(&mut self, found: &Found) -> Result<(), Fault> {
        self.take(found)?;
        self.tables.contents.remove(found.head.id.as_bytes())?;
        if found.head.replayed_at.is_some() {
            self.tables.moved.remove(found.head.id.as_bytes())?;
        }
        Ok(())
    }

    fn find_id(&self, id: MessageId) -> Result<Option<Found>, Fault> {
        let Some(content) = self.tables.contents.get(id.as_bytes())? else { return Ok(None) };
        self.find(ticket(&self.tables.moved, id.as_bytes(), content.value())?)
    }
}
