//! Flow 3, pure: rows as bytes. Written by hand, as they are few, small, and written for each message.
//!
//! Numbers are little-endian, texts have their length before them (LEB128), what is optional has a byte before it.

mod content;
mod endpoint;
mod head;

pub(super) use self::{
    content::{read_content, read_ticket, write_content},
    endpoint::{Amounts, read_endpoint, write_endpoint},
    head::{Head, read_head, write_head},
};

use jiff::Timestamp;

/// The version of all rows. A file says which one it has; this program reads no other.
pub(super) const VERSION: u64 = 3;

/// A row is not what this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the queue is damaged")]
pub(super) struct Damaged;

/// Milliseconds since 1970; earlier times are 1970.
pub(super) fn milliseconds(time: Timestamp) -> u64 {
    time.as_millisecond().try_into().unwrap_or(0)
}

/// The time that is so many milliseconds after 1970.
pub(super) fn timestamp(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or(Timestamp::MAX)
}

/// Writes into a buffer that is used again and again.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    fn length(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.u8((value & 0x7f) as u8);
    }

    fn text(&mut self, text: &str) {
        self.sized(text.as_bytes());
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.length(bytes.len() as u64);
        self.bytes(bytes);
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Reads what [`Writer`] wrote, and is content with nothing else.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N)?.try_into().map_err(|_| Damaged)
    }

    fn u8(&mut self) -> Result<u8, Damaged> {
        Ok(self.array::<1>()?[0])
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn length(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    fn size(&mut self) -> Result<usize, Damaged> {
        self.length()?.try_into().map_err(|_| Damaged)
    }

    fn sized(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.size()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        str::from_utf8(self.sized()?).map_err(|_| Damaged)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Damaged>) -> Result<Option<T>, Damaged> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Damaged),
        }
    }

    fn time(&mut self) -> Result<Timestamp, Damaged> {
        self.u64().map(timestamp)
    }

    fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

#[cfg(test)]
mod tests;
