//! Flow 3, pure: the row of a message without its content: small, as it is written anew with each attempt.

use jiff::Timestamp;

use super::{Damaged, Reader, Writer, milliseconds};
use crate::delivery::message::{
    Attempt, DuplicateKey, EndpointRef, LOGGED_ATTEMPTS, Label, Message, MessageId, OrderingKey, State,
};

/// A message as it lies on disk. Its endpoint and its place in the order are the row's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delivery::queue) struct Head {
    pub(in crate::delivery::queue) id: MessageId,
    pub(in crate::delivery::queue) accepted_at: Timestamp,
    pub(in crate::delivery::queue) replayed_at: Option<Timestamp>,
    pub(in crate::delivery::queue) body_bytes: u64,
    pub(in crate::delivery::queue) key: Option<OrderingKey>,
    pub(in crate::delivery::queue) duplicate: Option<DuplicateKey>,
    pub(in crate::delivery::queue) state: State,
    pub(in crate::delivery::queue) attempts: u32,
    pub(in crate::delivery::queue) log: Vec<Attempt>,
}

impl Head {
    pub(in crate::delivery::queue) fn since(&self) -> Timestamp {
        self.replayed_at.unwrap_or(self.accepted_at)
    }

    /// Counts a call, and forgets the oldest one where there are too many.
    pub(in crate::delivery::queue) fn note(&mut self, attempt: Attempt) {
        self.attempts = self.attempts.saturating_add(1);
        if self.log.len() == LOGGED_ATTEMPTS {
            self.log.remove(0);
        }
        self.log.push(attempt);
    }

    pub(in crate::delivery::queue) fn into_message(self, endpoint: EndpointRef) -> Message {
        let Self { id, accepted_at, replayed_at, body_bytes, key: _, duplicate, state, attempts, log } = self;
        Message { id, endpoint, accepted_at, replayed_at, body_bytes, duplicate, state, attempts, log }
    }
}

pub(in crate::delivery::queue) fn write_head(head: &Head, row: &mut Vec<u8>) {
    let Head { id, accepted_at, replayed_at, body_bytes, key, duplicate, state, attempts, log } = head;
    row.clear();
    let mut writer = Writer(row);
    writer.bytes(id.as_bytes());
    writer.time(*accepted_at);
    writer.option(*replayed_at, Writer::time);
    writer.length(*body_bytes);
    writer.option(*key, |writer, OrderingKey(key)| writer.bytes(&key));
    writer.option(duplicate.as_ref(), |writer, DuplicateKey { id, hash }| {
        writer.text(id);
        writer.bytes(hash);
    });
    writer.state(state);
    writer.length((*attempts).into());
    writer.length(log.len() as u64);
    for Attempt { at, outcome, status } in log {
        writer.time(*at);
        writer.text(outcome.as_str());
        writer.length(status.unwrap_or(0).into());
    }
}

pub(in crate::delivery::queue) fn read_head(row: &[u8]) -> Result<Head, Damaged> {
    let mut reader = Reader(row);
    let head = Head {
        id: MessageId::from_bytes(reader.array()?),
        accepted_at: reader.time()?,
        replayed_at: reader.option(Reader::time)?,
        body_bytes: reader.length()?,
        key: reader.option(|reader| reader.array().map(OrderingKey))?,
        duplicate: reader.option(Reader::duplicate)?,
        state: reader.state()?,
        attempts: reader.length()?.try_into().map_err(|_| Damaged)?,
        log: reader.log()?,
    };
    reader.end()?;
    Ok(head)
}

impl Writer<'_> {
    fn time(&mut self, time: Timestamp) {
        self.u64(milliseconds(time));
    }

    fn state(&mut self, state: &State) {
        match state {
            State::Due { at } => {
                self.u8(0);
                self.time(*at);
            }
            State::Waiting => self.u8(1),
            State::Held => self.u8(2),
            State::DeadLetter { at, reason } => {
                self.u8(3);
                self.time(*at);
                self.text(reason.as_str());
            }
            State::Delivered { at } => {
                self.u8(4);
                self.time(*at);
            }
        }
    }
}

impl Reader<'_> {
    fn state(&mut self) -> Result<State, Damaged> {
        Ok(match self.u8()? {
            0 => State::Due { at: self.time()? },
            1 => State::Waiting,
            2 => State::Held,
            3 => State::DeadLetter { at: self.time()?, reason: Label::from(self.text()?) },
            4 => State::Delivered { at: self.time()? },
            _ => return Err(Damaged),
        })
    }

    fn duplicate(&mut self) -> Result<DuplicateKey, Damaged> {
        Ok(DuplicateKey { id: self.text()?.into(), hash: self.array()? })
    }

    fn log(&mut self) -> Result<Vec<Attempt>, Damaged> {
        let count = self.size()?;
        if count > LOGGED_ATTEMPTS {
            return Err(Damaged);
        }
        (0..count).map(|_| self.attempt()).collect()
    }

    fn attempt(&mut self) -> Result<Attempt, Damaged> {
        let (at, outcome) = (self.time()?, Label::from(self.text()?));
        let status: u16 = self.length()?.try_into().map_err(|_| Damaged)?;
        Ok(Attempt { at, outcome, status: Some(status).filter(|status| *status != 0) })
    }
}
