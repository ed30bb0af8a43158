//! Flow 3: who works on what. In memory alone: after a restart nobody does.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::changed::Changed;
use crate::delivery::message::MessageId;

/// Keeps a message from being handed out again. Dropped without a settlement it gives the message back, due as it was.
#[derive(Debug)]
pub struct Claim {
    id: MessageId,
    ticket: Ticket,
    _mark: Mark,
}

/// Where a message stands in the queue. Its number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    pub(super) endpoint: u32,
    pub(super) number: u64,
}

impl From<(u32, u64)> for Ticket {
    fn from((endpoint, number): (u32, u64)) -> Self {
        Self { endpoint, number }
    }
}

impl Claim {
    /// The message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }
}

/// The numbers that are claimed.
#[derive(Debug)]
pub(super) struct Claims {
    numbers: Mutex<HashSet<u64>>,
    changed: Arc<Changed>,
}

impl Claims {
    pub(super) fn new(changed: Arc<Changed>) -> Self {
        Self { numbers: Mutex::default(), changed }
    }

    /// Nothing is claimed or given back meanwhile. Who looks for messages reads the file as it is after this call: a
    /// message that was settled before is settled there, and one that is settled later is still claimed.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wraps a number that the caller has put among those of [`Self::lock`].
    pub(super) fn mark(self: &Arc<Self>, ticket: Ticket) -> Mark {
        Mark { ticket, claims: self.clone() }
    }
}

/// Takes a number back when it is dropped, and says that the endpoint has something to deliver.
#[derive(Debug)]
pub(super) struct Mark {
    ticket: Ticket,
    claims: Arc<Claims>,
}

impl Mark {
    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }

    pub(super) fn claim(self, id: MessageId) -> Claim {
        Claim { id, ticket: self.ticket, _mark: self }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.ticket.number);
        self.claims.changed.note([self.ticket.endpoint]);
    }
}
