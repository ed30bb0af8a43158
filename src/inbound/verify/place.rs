//! Flow 3, pure: where in the headers of a request signatures, times and ids are. Whatever a sender puts there, nothing here fails
//! but the request.

use axum::http::{HeaderMap, HeaderName};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::Rejection;

/// Every signature costs work, and who sends the header is not known yet. While a secret is changed there are two.
const MAX_SIGNATURES: usize = 8;
/// An id is kept; nobody's is longer.
const MAX_ID_BYTES: usize = 256;

/// Where signatures are.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) header: HeaderName,
    /// Between several signatures. Without one there is one signature, and one header.
    pub(super) separator: Option<u8>,
    /// Before each of them, in any case.
    pub(super) prefix: Box<str>,
    pub(super) encoding: Encoding,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Hexadecimal, either case.
    Hex,
    /// Standard Base64 with padding.
    Base64,
    /// As it is.
    Plain,
}

impl Place {
    /// The signatures, decoded; at least one. What has another prefix or does not decode is passed over.
    pub(super) fn signatures(&self, headers: &HeaderMap) -> Result<Vec<Zeroizing<Vec<u8>>>, Rejection> {
        let texts = self.elements(headers, &self.prefix)?;
        let decoded = texts.filter_map(|text| self.encoding.decode(text));
        let signatures: Vec<_> = decoded.take(MAX_SIGNATURES).collect();
        if signatures.is_empty() { Err(Rejection::Malformed) } else { Ok(signatures) }
    }

    /// What comes after this prefix, wherever it stands in the header.
    pub(super) fn elements<'h>(
        &self,
        headers: &'h HeaderMap,
        prefix: &str,
    ) -> Result<impl Iterator<Item = &'h [u8]>, Rejection> {
        let values = headers.get_all(&self.header).iter();
        match (headers.get_all(&self.header).iter().count(), self.separator) {
            (0, _) => return Err(Rejection::NoSignature),
            // A receiver behind this server could take another one for the signature than was looked at here.
            (2.., None) => return Err(Rejection::Malformed),
            _ => {}
        }
        let separator = self.separator;
        let elements = values.flat_map(move |value| value.as_bytes().split(move |byte| separator == Some(*byte)));
        Ok(elements.filter_map(move |element| after(element.trim_ascii(), prefix)))
    }
}

/// What comes after a prefix, whose case does not matter: the schemes of `Authorization` have none (RFC 9110, section 11.1).
fn after<'h>(element: &'h [u8], prefix: &str) -> Option<&'h [u8]> {
    let (start, rest) = element.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim_ascii())
}

/// The value of a header that must not be there twice: the server and the receiver might read different ones.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes().trim_ascii())),
        (_, Some(_)) => Err(Rejection::Malformed),
    }
}

/// An id of characters that can stand anywhere; none has a space, so several can be joined by one.
pub(super) fn id(text: &[u8]) -> Option<&str> {
    let fits = (1..=MAX_ID_BYTES).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(text).ok().filter(|_| fits)
}

impl Encoding {
    fn decode(self, text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
        match self {
            Self::Hex => decode_hex(text, &mut decoded)?,
            Self::Base64 => STANDARD.decode_vec(text, &mut decoded).ok()?,
            Self::Plain => decoded.extend_from_slice(text),
        }
        (!decoded.is_empty()).then_some(decoded)
    }
}

fn decode_hex(text: &[u8], decoded: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = text.as_chunks::<2>();
    for [high, low] in pairs {
        decoded.push(digit(*high)? << 4 | digit(*low)?);
    }
    rest.is_empty().then_some(())
}

fn digit(byte: u8) -> Option<u8> {
    // At most 15.
    char::from(byte).to_digit(16).and_then(|digit| digit.try_into().ok())
}
