//! Flow 3, pure: how senders of one sort prove who they are: declared as data, compiled once, judged for every request.

use axum::http::{HeaderMap, HeaderName};
use jiff::Timestamp;

use super::{
    Incoming, Rejection,
    check::SpecError,
    delivery_id::{IdPlace, IdSource},
    key::{Key, Method},
    place::{Encoding, Place, only},
    template::{Part, Template, Values},
};
use crate::record::endpoint::HmacAlgorithm;

/// One way to prove who one is. Everything that is known about a provider is one value of this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declaration<'a> {
    /// The header with the signature.
    pub(super) header: &'a str,
    /// What stands between several signatures. Absent: there is one.
    pub(super) separator: Option<u8>,
    /// What stands before a signature.
    pub(super) prefix: &'a str,
    /// How it is written.
    pub(super) encoding: Encoding,
    /// What it is.
    pub(super) method: Method<'a>,
    /// What is signed: `{body}`, `{timestamp}`, `{id}` and text.
    pub(super) signed: &'a str,
    /// Where the time is.
    pub(super) time: Option<TimeSource<'a>>,
    /// How many seconds the time may be from now, both ways.
    pub(super) tolerance: u32,
    /// Where the delivery's id is.
    pub(super) id: IdSource<'a>,
}

/// Where the time of a request is: Unix seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum TimeSource<'a> {
    /// In a header of its own.
    Header(&'a str),
    /// Among the signatures, after this prefix.
    Element(&'a str),
}

impl Declaration<'_> {
    /// What most providers do: one signature in hexadecimal over the body, the key is the secret's text.
    pub(super) const HMAC_OF_BODY: Self = Self {
        header: "",
        separator: None,
        prefix: "",
        encoding: Encoding::Hex,
        method: Method::Hmac(HmacAlgorithm::SHA256),
        signed: "{body}",
        time: None,
        tolerance: 300,
        id: IdSource::None,
    };
    /// The secret itself in a header.
    pub(super) const SECRET: Self =
        Self { encoding: Encoding::Plain, method: Method::Secret { user: None }, signed: "", ..Self::HMAC_OF_BODY };
}

/// A [`Declaration`], compiled.
#[derive(Debug)]
pub(super) struct Scheme {
    place: Place,
    content: Template,
    time: Option<Time>,
    id: IdPlace,
}

#[derive(Debug)]
struct Time {
    place: TimePlace,
    tolerance: u32,
}

#[derive(Debug)]
enum TimePlace {
    Header(HeaderName),
    Element(Box<str>),
}

impl Scheme {
    /// Compiles a declaration.
    ///
    /// # Errors
    /// What does not fit together in it.
    pub(super) fn new(declaration: &Declaration<'_>) -> Result<Self, SpecError> {
        let Declaration { header, separator, prefix, encoding, method, signed, time, tolerance, id } = *declaration;
        // Values of headers never begin with a space.
        if prefix.starts_with(' ') || !prefix.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(SpecError::Prefix);
        }
        let scheme = Self {
            place: Place { header: header_name(header, "header")?, separator, prefix: prefix.into(), encoding },
            content: Template::parse(signed)?,
            time: time.map(|source| Time::new(source, tolerance)).transpose()?,
            id: IdPlace::new(id)?,
        };
        match method {
            Method::Secret { user: _ } => Ok(scheme),
            _ => scheme.check_content().map(|()| scheme),
        }
    }

    fn check_content(&self) -> Result<(), SpecError> {
        let has = |part| self.content.has(&part);
        match (has(Part::Timestamp), self.time.is_some()) {
            _ if !has(Part::Body) => Err(SpecError::NoBody),
            (true, false) => Err(SpecError::NoTimestampHeader),
            (false, true) => Err(SpecError::UnsignedTimestamp),
            _ if has(Part::Id) && self.id.header().is_none() => Err(SpecError::NoIdHeader),
            _ if !self.content.is_unambiguous() => Err(SpecError::Ambiguous),
            _ => Ok(()),
        }
    }

    /// The header that the proof is in.
    pub(super) fn header(&self) -> &HeaderName {
        &self.place.header
    }

    /// What a bearer token is made of, unjudged.
    pub(super) fn text<'h>(&self, headers: &'h HeaderMap) -> Result<&'h str, Rejection> {
        let mut elements = self.place.elements(headers, &self.place.prefix)?;
        let text = elements.next().and_then(|text| std::str::from_utf8(text).ok());
        text.filter(|text| !text.is_empty()).ok_or(Rejection::Malformed)
    }

    /// Judges a request by all keys; the delivery's id, if it has one.
    ///
    /// The age is judged last, so that [`Rejection::StaleTimestamp`] speaks of the sender's clock or of a replay, and of nobody's guess.
    pub(super) fn verify(
        &self,
        keys: &[&Key],
        incoming: &Incoming<'_>,
        now: Timestamp,
    ) -> Result<Option<String>, Rejection> {
        let signatures = self.place.signatures(incoming.headers)?;
        let time = self.time.as_ref().map(|time| time.read(&self.place, incoming.headers)).transpose()?;
        let id = self.signed_id(incoming.headers)?;
        let values = Values { body: incoming.body, timestamp: time.unwrap_or_default(), id };
        if !keys.iter().fold(false, |found, key| found | key.proves(&signatures, &self.content, values)) {
            return Err(Rejection::BadSignature);
        }
        if let (Some(time), Some(text)) = (&self.time, time) {
            time.judge(text, now)?;
        }
        Ok(self.id.read(incoming))
    }

    fn signed_id<'h>(&self, headers: &'h HeaderMap) -> Result<&'h [u8], Rejection> {
        let Some(header) = self.id.header().filter(|_| self.content.has(&Part::Id)) else { return Ok(b"") };
        let id = only(headers, header)?.ok_or(Rejection::Malformed)?;
        if self.content.cuts(id) { Ok(id) } else { Err(Rejection::Malformed) }
    }
}

impl Time {
    fn new(source: TimeSource<'_>, tolerance: u32) -> Result<Self, SpecError> {
        let place = match source {
            TimeSource::Header(name) => TimePlace::Header(header_name(name, "timestampHeader")?),
            TimeSource::Element(prefix) => TimePlace::Element(prefix.into()),
        };
        Ok(Self { place, tolerance })
    }

    /// The time as the sender wrote it, which is what he signed.
    fn read<'h>(&self, place: &Place, headers: &'h HeaderMap) -> Result<&'h [u8], Rejection> {
        match &self.place {
            TimePlace::Header(name) => only(headers, name)?.ok_or(Rejection::Malformed),
            TimePlace::Element(prefix) => {
                let mut elements = place.elements(headers, prefix)?;
                elements.next().filter(|_| elements.next().is_none()).ok_or(Rejection::Malformed)
            }
        }
    }

    fn judge(&self, text: &[u8], now: Timestamp) -> Result<(), Rejection> {
        let time = seconds(text).ok_or(Rejection::Malformed)?;
        let distance = now.as_second().abs_diff(time);
        if distance <= u64::from(self.tolerance) { Ok(()) } else { Err(Rejection::StaleTimestamp) }
    }
}

/// Nothing but digits: `parse` alone would take a sign.
fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A header's name, or which field of the resource has none.
pub(super) fn header_name(name: &str, field: &'static str) -> Result<HeaderName, SpecError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| SpecError::HeaderName { field })
}
