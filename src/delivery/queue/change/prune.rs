//! Flow 3: what has ended is kept for a while, and removed in small steps, so that no post waits for it.

use jiff::Timestamp;

use super::Change;
use crate::delivery::{
    message::Phase,
    queue::{Amount, Pruned, Retention, claims::Ticket, encoding::milliseconds, fault::Fault, tables::places},
};

/// The most messages that one step removes.
const REMOVED: usize = 128;
/// The most endpoints that one step looks at.
const VISITED: usize = 256;
/// How many messages of one endpoint make room before it is asked again which one keeps most.
const SHARE: usize = 16;
/// What a message takes on disk besides its body, about: an empty one takes room too.
const OVERHEAD: u64 = 512;

/// How far pruning has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery::queue) enum Step {
    /// By age, after that endpoint.
    Age(Option<u32>),
    /// By size.
    Size,
    /// There is nothing more to remove.
    Done,
}

impl Change<'_> {
    /// Takes one step, adds up what it removed, and tells the next one.
    pub(in crate::delivery::queue) fn prune(
        &mut self,
        step: Step,
        retention: Retention,
        now: Timestamp,
        pruned: &mut Pruned,
    ) -> Result<Step, Fault> {
        match step {
            Step::Age(after) => {
                let kept = retention.age.as_millis().try_into().unwrap_or(u64::MAX);
                self.prune_age(after, milliseconds(now).saturating_sub(kept), pruned)
            }
            Step::Size => self.prune_size(retention.bytes, pruned),
            Step::Done => Ok(Step::Done),
        }
    }

    fn prune_age(&mut self, after: Option<u32>, until: u64, pruned: &mut Pruned) -> Result<Step, Fault> {
        let visited: Vec<u32> =
            self.ledger.directory().after(after).take(VISITED).map(|(endpoint, _)| endpoint).collect();
        let (mut room, mut done) = (REMOVED, after);
        for &endpoint in &visited {
            for phase in [Phase::Delivered, Phase::DeadLetter] {
                let removed = self.remove_oldest(endpoint, phase, until, room)?;
                pruned.expired += removed as u64;
                room -= removed;
            }
            if room == 0 {
                // There may be more of this one.
                return Ok(Step::Age(done));
            }
            done = Some(endpoint);
        }
        Ok(if visited.len() < VISITED { Step::Size } else { Step::Age(done) })
    }

    /// Whoever keeps most gives up its oldest, and dead letters go last: nobody has had those.
    fn prune_size(&mut self, bytes: u64, pruned: &mut Pruned) -> Result<Step, Fault> {
        let mut room = REMOVED;
        while room > 0 {
            let total = self.ledger.total();
            if size(total.delivered).saturating_add(size(total.dead_letters)) <= bytes {
                return Ok(Step::Done);
            }
            let phase = if total.delivered.messages > 0 { Phase::Delivered } else { Phase::DeadLetter };
            let Some(endpoint) = self.keeps_most(phase) else { return Ok(Step::Done) };
            let removed = self.remove_oldest(endpoint, phase, u64::MAX, room.min(SHARE))?;
            if removed == 0 {
                return Ok(Step::Done);
            }
            room -= removed;
            match phase {
                Phase::Delivered => pruned.delivered_early += removed as u64,
                _ => pruned.dead_letters_early += removed as u64,
            }
        }
        Ok(Step::Size)
    }

    fn keeps_most(&self, phase: Phase) -> Option<u32> {
        let kept =
            self.ledger.directory().iter().map(|(endpoint, entry)| (size(*entry.amounts.clone().of(phase)), endpoint));
        kept.max().map(|(_, endpoint)| endpoint)
    }

    fn remove_oldest(&mut self, endpoint: u32, phase: Phase, until: u64, limit: usize) -> Result<usize, Fault> {
        let oldest = self.tables.places.range(places(endpoint, phase, until))?;
        let oldest = oldest.take(limit).map(|row| row.map(|(place, _)| place.value().3));
        let oldest = oldest.collect::<Result<Vec<u64>, _>>()?;
        for &number in &oldest {
            if let Some(found) = self.find(Ticket { endpoint, number })? {
                self.remove(&found)?;
            }
        }
        Ok(oldest.len())
    }
}

fn size(Amount { messages, bytes }: Amount) -> u64 {
    bytes.saturating_add(messages.saturating_mul(OVERHEAD))
}
