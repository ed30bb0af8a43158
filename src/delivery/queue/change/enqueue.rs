//! Flow 3: POST ──▶ enqueue: what a post brought gets into the file, all of it or nothing.

use super::Change;
use crate::{
    delivery::{
        message::{EndpointRef, Entry, NewMessage, State},
        queue::{
            Amount, Quota,
            claims::Ticket,
            encoding::{Head, write_content},
            fault::Fault,
        },
    },
    record::endpoint::Limits,
};

impl Change<'_> {
    pub(in crate::delivery::queue) fn enqueue(
        &mut self,
        endpoint: &EndpointRef,
        limits: &Limits,
        messages: Vec<NewMessage>,
    ) -> Result<Result<(), Quota>, Fault> {
        if let Err(quota) = self.ledger.check(endpoint, limits, room(&messages)) {
            return Ok(Err(quota));
        }
        if !messages.is_empty() {
            let endpoint = self.ledger.enrol(endpoint);
            messages.into_iter().try_for_each(|message| self.store(endpoint, message))?;
        }
        Ok(Ok(()))
    }

    fn store(&mut self, endpoint: u32, message: NewMessage) -> Result<(), Fault> {
        let NewMessage { id, accepted_at, content, key, duplicate, entry } = message;
        let ticket = Ticket { endpoint, number: self.ledger.take_number() };
        write_content(ticket, &content, &mut self.row);
        let known = self.tables.contents.insert(id.as_bytes(), &*self.row)?.map(|known| known.value().to_vec());
        // A caller whose write seemed to fail may come again with the same messages.
        if let Some(known) = known {
            self.tables.contents.insert(id.as_bytes(), &*known)?;
            return Ok(());
        }
        let state = match entry {
            Entry::DeadLetter(reason) => State::DeadLetter { at: accepted_at, reason },
            Entry::Held => {
                self.link(ticket, key)?;
                State::Held
            }
            Entry::Due if self.link(ticket, key)? => State::Due { at: accepted_at },
            Entry::Due => State::Waiting,
        };
        let body_bytes = content.body().len() as u64;
        let (replayed_at, attempts, log) = (None, 0, Vec::new());
        let head = Head { id, accepted_at, replayed_at, body_bytes, key, duplicate, state, attempts, log };
        self.put(ticket, &head)
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
