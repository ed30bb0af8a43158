//! Flow 3: send ──▶ settle: what became of messages that were handed out, and of those that nobody hands out.

use jiff::Timestamp;

use super::{Change, Found};
use crate::delivery::{
    message::{Attempt, EndpointRef, Label, Phase, State},
    queue::{Outcome, Settled, claims::Ticket, fault::Fault, tables::places},
};

impl Change<'_> {
    pub(in crate::delivery::queue) fn settle(
        &mut self,
        ticket: Ticket,
        attempt: Option<Attempt>,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Settled, Fault> {
        let Some(mut found) = self.find(ticket)? else { return Ok(Settled::Superseded) };
        let phase = found.head.state.phase();
        // A call that was under way when its Webhook was deleted may have arrived, and nobody should replay it then.
        let counts = !phase.is_end() || (outcome == Outcome::Delivered && phase == Phase::DeadLetter);
        if !counts {
            return Ok(Settled::Superseded);
        }
        if let Some(attempt) = attempt {
            found.head.note(attempt);
        }
        let state = match outcome {
            Outcome::Delivered => State::Delivered { at: now },
            Outcome::Retry { at } => State::Due { at },
            Outcome::DeadLetter(reason) => State::DeadLetter { at: now, reason },
            Outcome::Hold => State::Held,
        };
        self.move_to(found, state)?;
        Ok(Settled::Applied)
    }

    /// Makes some held messages of an endpoint due, or lets them wait for an earlier one of their key. Tells how many; none: done.
    pub(in crate::delivery::queue) fn release(&mut self, endpoint: &EndpointRef, limit: usize) -> Result<usize, Fault> {
        let Some(endpoint) = self.ledger.directory().number(endpoint) else { return Ok(0) };
        let held = self.tables.places.range(places(endpoint, Phase::Held, u64::MAX))?;
        let held = held.take(limit).map(|row| row.map(|(place, _)| place.value().3));
        let held = held.collect::<Result<Vec<u64>, _>>()?;
        for &number in &held {
            if let Some(found) = self.find(Ticket { endpoint, number })? {
                self.make_due(found, None)?;
            }
        }
        Ok(held.len())
    }

    /// Makes a queued message due, at its own time where none is given, unless an earlier one of its key is before it.
    pub(super) fn make_due(&mut self, found: Found, at: Option<Timestamp>) -> Result<(), Fault> {
        let at = at.unwrap_or_else(|| found.head.since());
        let first = match found.head.key {
            Some(key) => self.first(found.ticket.endpoint, key)? == Some(found.ticket.number),
            None => true,
        };
        self.move_to(found, if first { State::Due { at } } else { State::Waiting })
    }

    /// Makes some queued messages of an endpoint dead letters. Tells how many; none: done.
    pub(in crate::delivery::queue) fn bury(
        &mut self,
        endpoint: &EndpointRef,
        reason: &Label,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, Fault> {
        let Some(endpoint) = self.ledger.directory().number(endpoint) else { return Ok(0) };
        // Those that wait for an earlier one of their key go first: none gets its turn on the way.
        let mut queued = Vec::new();
        for phase in [Phase::Waiting, Phase::Held, Phase::Due] {
            let places = self.tables.places.range(places(endpoint, phase, u64::MAX))?.take(limit - queued.len());
            for place in places {
                queued.push(place?.0.value().3);
            }
        }
        for &number in &queued {
            if let Some(found) = self.find(Ticket { endpoint, number })? {
                self.move_to(found, State::DeadLetter { at: now, reason: reason.clone() })?;
            }
        }
        Ok(queued.len())
    }
}
