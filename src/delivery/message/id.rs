//! Flow 3, pure: the id of a message, which is its `webhook-id` over all attempts.

use std::fmt;

use jiff::Timestamp;

const PREFIX: &str = "msg_";
const DIGITS: &[u8; 16] = b"0123456789abcdef";
const TIME: usize = 8;
const RANDOM: usize = 14;
const LENGTH: usize = TIME + RANDOM;

/// The id of a message: milliseconds of its acceptance (48 bits) with their fraction (16 bits), then 112 random bits. Ids sort by
/// time, as bytes and as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; LENGTH]);

impl MessageId {
    /// The id of a message that is accepted at `now`.
    #[must_use]
    pub fn new(now: Timestamp, random: [u8; RANDOM]) -> Self {
        let time = ((now.as_nanosecond().max(0) << 16) / 1_000_000).to_be_bytes();
        let mut bytes = [0; LENGTH];
        bytes[..TIME].copy_from_slice(&time[time.len() - TIME..]);
        bytes[TIME..].copy_from_slice(&random);
        Self(bytes)
    }

    /// Reads `msg_` and 44 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?.as_bytes();
        if digits.len() != 2 * LENGTH {
            return None;
        }
        let mut bytes = [0; LENGTH];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    pub(in crate::delivery) fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    pub(in crate::delivery) fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 2 * LENGTH];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
        }
        formatter.write_str(PREFIX)?;
        formatter.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(milliseconds: i64, random: u8) -> MessageId {
        MessageId::new(Timestamp::from_millisecond(milliseconds).unwrap(), [random; RANDOM])
    }

    #[test]
    fn it_survives_text() {
        let id = id(1_700_000_000_123, 0xa7);
        assert_eq!(id.to_string(), "msg_018bcfe5687b0000a7a7a7a7a7a7a7a7a7a7a7a7a7a7");
        assert_eq!(MessageId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn ids_sort_by_time_as_bytes_and_as_text() {
        let (earlier, later) = (id(1_700_000_000_000, 0xff), id(1_700_000_000_001, 0));
        assert!(earlier < later);
        assert!(earlier.to_string() < later.to_string());
        assert!(id(-1, 0) < earlier);
        let within = |nanosecond: i128| {
            MessageId::new(Timestamp::from_nanosecond(1_700_000_000_000_000_000 + nanosecond).unwrap(), [0; RANDOM])
        };
        assert!(earlier < within(16) && within(999_980) < within(999_999) && within(999_999) < later);
    }

    #[test]
    fn other_text_is_no_id() {
        let good = id(1, 1).to_string();
        for bad in ["", "msg_", "018b", &good[..47], &good.to_uppercase(), &format!("{good}0"), &good.replace('0', "é")]
        {
            assert_eq!(MessageId::parse(bad), None, "{bad}");
        }
    }
}
