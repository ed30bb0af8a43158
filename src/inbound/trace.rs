//! Flow 3, pure: the trace that a post belongs to (W3C Trace Context, Level 2), as its sender says it.
//!
//! This server has no spans of its own to tell of: what comes goes on as it came, so that the receiver's spans hang on the sender's.

use axum::http::{HeaderMap, HeaderName};

/// Says which trace, and which span of the sender called.
pub(super) const PARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors have to add, which means nothing without the other.
pub(super) const STATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of the trace: 32 hexadecimal digits. None: the headers tell none, or not as section 3.2 wants it; then neither of the two
/// means anything.
#[must_use]
pub fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(PARENT).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    parse(only.to_str().ok()?)
}

/// Whether a header is about a trace.
pub(super) fn is_about(name: &HeaderName) -> bool {
    *name == PARENT || *name == STATE
}

/// `00-<trace>-<span>-<flags>`. A later version may have more behind that.
fn parse(value: &str) -> Option<&str> {
    let (known, more) = value.split_at_checked(55)?;
    let mut parts = known.splitn(4, '-');
    let mut part = |length: usize| parts.next().filter(|part| part.len() == length && part.bytes().all(is_digit));
    let (version, trace, span, _flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_nothing = |id: &str| id.bytes().all(|digit| digit == b'0');
    let is_whole = match version {
        "ff" => false,
        "00" => more.is_empty(),
        _ => more.is_empty() || more.starts_with('-'),
    };
    (is_whole && !is_nothing(trace) && !is_nothing(span)).then_some(trace)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn told(values: &[&str]) -> Option<String> {
        let headers: HeaderMap = values.iter().map(|value| (PARENT, value.parse().unwrap())).collect();
        trace_id(&headers).map(str::to_owned)
    }

    #[test]
    fn a_trace_is_told_by_what_is_whole() {
        for value in [
            format!("00-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-00"),
            format!("cc-{TRACE}-b7ad6b7169203331-01"),
            format!("cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like"),
        ] {
            assert_eq!(told(&[&value]).as_deref(), Some(TRACE), "{value}");
        }
    }

    #[test]
    fn anything_else_tells_none() {
        let nothing = "0".repeat(32);
        for value in [
            "",
            "00",
            &format!("00-{TRACE}-b7ad6b7169203331"),
            &format!("00-{TRACE}-b7ad6b7169203331-1"),
            &format!("00-{TRACE}-b7ad6b7169203331-01-"),
            &format!("00-{TRACE}-b7ad6b7169203331-01.what"),
            &format!("cc-{TRACE}-b7ad6b7169203331-01.what"),
            &format!("ff-{TRACE}-b7ad6b7169203331-01"),
            &format!("0g-{TRACE}-b7ad6b7169203331-01"),
            &format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            &format!("00-{nothing}-b7ad6b7169203331-01"),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{TRACE}0-b7ad6b716920333-01"),
            &format!("00-{TRACE}-b7ad6b7169203331-0x"),
            &format!("00_{TRACE}_b7ad6b7169203331_01"),
        ] {
            assert_eq!(told(&[value]), None, "{value}");
        }
        let twice = format!("00-{TRACE}-b7ad6b7169203331-01");
        assert_eq!(told(&[&twice, &twice]), None);
        assert_eq!(told(&[]), None);
        let headers: HeaderMap =
            [(PARENT, axum::http::HeaderValue::from_bytes(b"00-\xff").unwrap())].into_iter().collect();
        assert_eq!(trace_id(&headers), None);
    }
}
