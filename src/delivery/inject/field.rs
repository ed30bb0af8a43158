//! Flow 3, pure: which names and values a configured header or parameter of an outgoing call may have.

use std::{borrow::Cow, collections::BTreeMap};

use crate::record::Location;

/// Names are bounded as in the resources.
const MAX_NAME: usize = 256;
/// Many receivers refuse longer headers.
const MAX_VALUE: usize = 8 * 1024;

/// Headers that belong to the protocol or to Snaphook, and what begins like one of those. The CRDs refuse them as well.
pub const RESERVED: [&str; 22] = [
    "accept-encoding",
    "connection",
    "content-*",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-*",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "webhook-*",
    "x-forwarded",
    "x-forwarded-*",
];

/// What is wrong with a name or a value, as the predicate of a sentence, and how to mend it. Never quotes either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Nothing there.
    #[error("is empty: write a text of at least one character")]
    Empty,
    /// A name over 256 bytes.
    #[error("is too long for a name: write at most {MAX_NAME} characters")]
    NameTooLong,
    /// A value over 8 KiB.
    #[error("is too long: receivers take at most {MAX_VALUE} bytes")]
    ValueTooLong,
    /// RFC 9110, section 5.1.
    #[error("is not the name of a header: write letters, digits and - _ . ! # $ % & ' * + ^ ` | ~ only")]
    NotAHeaderName,
    /// One of [`RESERVED`].
    #[error(
        "is taken: {0} belongs to HTTP or is set by Snaphook itself; choose another one, such as Authorization or X-Api-Key"
    )]
    Reserved(&'static str),
    /// A blank, a control character, something that is not ASCII, or a character that separates parameters.
    #[error(
        "is not the name of a query parameter: write it decoded, in visible ASCII characters, without any of % & = # ? +"
    )]
    NotAParameterName,
    /// CR or LF, other than one LF at the end.
    #[error("has a line break: write it in one line, and in a file with Unix line endings")]
    LineBreak,
    /// NUL or another control character.
    #[error("has a control character: write printable characters only")]
    ControlCharacter,
    /// Beyond ASCII: RFC 9110, section 5.5, leaves open what that would mean.
    #[error("has a character that is not ASCII: receivers disagree on what it means, so write ASCII only")]
    NotAscii,
    /// HTTP would remove it.
    #[error("begins or ends with a blank, which would get lost on the way: remove it")]
    OuterBlank,
}

/// Whether a credential or a configured header may have this name.
///
/// # Errors
/// Why not.
pub fn check_field_name(location: Location, name: &str) -> Result<(), FieldError> {
    match name.len() {
        0 => return Err(FieldError::Empty),
        1..=MAX_NAME => {}
        _ => return Err(FieldError::NameTooLong),
    }
    match location {
        Location::Header if !name.bytes().all(is_token) => Err(FieldError::NotAHeaderName),
        Location::Header => reserved(name).map_or(Ok(()), |rule| Err(FieldError::Reserved(rule))),
        Location::QueryParam if !name.bytes().all(is_parameter) => Err(FieldError::NotAParameterName),
        Location::QueryParam => Ok(()),
    }
}

/// What is sent for a value as it was written: without the newline that editors and `echo` put at the end of a file.
///
/// # Errors
/// Why it cannot be sent.
pub fn check_value(value: &str) -> Result<&str, FieldError> {
    let value = value.strip_suffix('\n').unwrap_or(value);
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    match value.as_bytes() {
        [] => Err(FieldError::Empty),
        bytes if bytes.len() > MAX_VALUE => Err(FieldError::ValueTooLong),
        bytes if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')) => Err(FieldError::LineBreak),
        bytes if !bytes.is_ascii() => Err(FieldError::NotAscii),
        bytes if blank(bytes.first()) || blank(bytes.last()) => Err(FieldError::OuterBlank),
        bytes if bytes.iter().any(u8::is_ascii_control) => Err(FieldError::ControlCharacter),
        _ => Ok(value),
    }
}

/// Checks the headers that a Webhook sets on each call; the error comes with the name of the offending one.
///
/// # Errors
/// The first offence.
pub fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), (&str, FieldError)> {
    headers.iter().try_for_each(|(name, value)| {
        check_field_name(Location::Header, name).map_err(|error| (name.as_str(), error))?;
        check_value(value).map(drop).map_err(|error| (name.as_str(), error))
    })
}

/// One form for all spellings that some receiver takes for the same header: CGI makes an underscore of each hyphen (RFC 3875, section
/// 4.1.18), and some servers of everything else that is no letter and no digit.
pub(in crate::delivery) fn folded(name: &str) -> Cow<'_, str> {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    if name.bytes().all(|byte| fold(byte) == byte) {
        return Cow::Borrowed(name);
    }
    name.bytes().map(fold).map(char::from).collect()
}

/// The rule that reserves a name.
pub(in crate::delivery) fn reserved(name: &str) -> Option<&'static str> {
    let name = folded(name);
    RESERVED.into_iter().find(|rule| match rule.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == **rule,
    })
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Names that survive every receiver's decoding as they are.
fn is_parameter(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"%&=#?+".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_that_the_protocol_owns_are_refused_in_any_case() {
        for name in [
            "Host",
            "Content-Type",
            "content-length",
            "CONTENT-ENCODING",
            "Content-Anything",
            "Transfer-Encoding",
            "transfer_encoding",
            "TE",
            "Trailer",
            "Connection",
            "Keep-Alive",
            "Upgrade",
            "Expect",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Via",
            "Forwarded",
            "X-Forwarded-For",
            "x_forwarded_proto",
            "Cookie",
            "Set-Cookie",
            "webhook-id",
            "Webhook-Signature",
            "Accept-Encoding",
        ] {
            let verdict = check_field_name(Location::Header, name);
            assert!(matches!(verdict, Err(FieldError::Reserved(_))), "{name}: {verdict:?}");
            assert_eq!(check_field_name(Location::QueryParam, name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_users_choose_are_taken() {
        for name in [
            "clientid",
            "Authorization",
            "X-Api-Key",
            "api_key",
            "apikey",
            "Hosts",
            "Contents",
            "X-Via",
            "User-Agent",
            "tea",
        ] {
            assert_eq!(check_field_name(Location::Header, name), Ok(()), "{name}");
        }
        for name in ["clientid", "api_key", "client-id", "a.b", "filter[key]", "$top", "~x", "a/b:c@d!(e)*,;'"] {
            assert_eq!(check_field_name(Location::QueryParam, name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["a b", "a:", "a\r\nb", "a\0", "é", "a,b", "(a)", "a/b", "{a}", "\"a\"", "a=b", " a", "a@b"] {
            assert_eq!(check_field_name(Location::Header, name), Err(FieldError::NotAHeaderName), "{name:?}");
        }
        for name in ["a b", "a=", "a&b", "a#", "?a", "a+b", "%61", "a\n", "a\0", "é", "a\u{7f}"] {
            assert_eq!(check_field_name(Location::QueryParam, name), Err(FieldError::NotAParameterName), "{name:?}");
        }
        for location in [Location::Header, Location::QueryParam] {
            assert_eq!(check_field_name(location, ""), Err(FieldError::Empty));
            assert_eq!(check_field_name(location, &"a".repeat(256)), Ok(()));
            assert_eq!(check_field_name(location, &"a".repeat(257)), Err(FieldError::NameTooLong));
        }
    }

    #[test]
    fn a_value_loses_one_newline_at_its_end_and_nothing_else() {
        for (value, sent) in [("link", "link"), ("link\n", "link"), ("a b", "a b"), ("+/=%&;\"", "+/=%&;\"")] {
            assert_eq!(check_value(value), Ok(sent));
        }
    }

    #[test]
    fn values_that_would_break_a_header_are_refused() {
        for (value, problem) in [
            ("", FieldError::Empty),
            ("\n", FieldError::Empty),
            ("a\n\n", FieldError::LineBreak),
            ("a\r\n", FieldError::LineBreak),
            ("a\r", FieldError::LineBreak),
            ("a\nb", FieldError::LineBreak),
            ("a\r\nX-Evil: 1", FieldError::LineBreak),
            ("a\0", FieldError::ControlCharacter),
            ("a\tb", FieldError::ControlCharacter),
            ("a\u{1b}[0m", FieldError::ControlCharacter),
            ("a\u{7f}", FieldError::ControlCharacter),
            ("é", FieldError::NotAscii),
            ("a\u{2028}b", FieldError::NotAscii),
            ("a\u{85}", FieldError::NotAscii),
            (" a", FieldError::OuterBlank),
            ("a ", FieldError::OuterBlank),
            ("a \n", FieldError::OuterBlank),
            ("\ta", FieldError::OuterBlank),
            (" ", FieldError::OuterBlank),
        ] {
            assert_eq!(check_value(value), Err(problem), "{value:?}");
        }
        assert_eq!(check_value(&"a".repeat(MAX_VALUE)).map(str::len), Ok(MAX_VALUE));
        assert_eq!(check_value(&"a".repeat(MAX_VALUE + 1)), Err(FieldError::ValueTooLong));
    }

    #[test]
    fn the_offending_header_of_a_webhook_is_named() {
        let headers = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(check_headers(&headers("X-Team", "a")), Ok(()));
        assert_eq!(check_headers(&headers("Host", "a")), Err(("Host", FieldError::Reserved("host"))));
        assert_eq!(check_headers(&headers("X-Team", "a\nb")), Err(("X-Team", FieldError::LineBreak)));
    }

    #[test]
    fn messages_are_predicates_that_say_what_to_do() {
        assert_eq!(
            format!("spec.fieldName {}", FieldError::Reserved("content-*")),
            "spec.fieldName is taken: content-* belongs to HTTP or is set by Snaphook itself; choose another one, such as \
             Authorization or X-Api-Key"
        );
    }
}
