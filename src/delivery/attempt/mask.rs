//! Flow 3, pure: hides what a call was made with in what its receiver answers. Some receivers echo the request.

use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

const MASK: &str = "***";
/// `#x0000002b;` is the longest that makes sense.
const LONGEST_ENTITY: usize = 12;
/// Shorter words of a credential, and shorter headers and paths, are no secrets of their own.
const SHORTEST: usize = 8;

/// What must not be kept of an answer.
#[derive(Default)]
pub(crate) struct Mask(Vec<Zeroizing<Vec<u8>>>);

impl fmt::Debug for Mask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mask({} secrets)", self.0.len())
    }
}

impl Mask {
    /// A credential, however short: as a whole, each longer word of it (a receiver may know `Bearer` apart from the token), and
    /// what these are the Base64 of.
    pub(crate) fn credential(&mut self, value: &str) {
        self.hide(value.as_bytes());
        let words = value.split_ascii_whitespace().filter(|word| word.len() >= SHORTEST);
        words.clone().for_each(|word| self.hide(word.as_bytes()));
        for text in words.chain([value]) {
            let decoded = Zeroizing::new(STANDARD.decode(text).unwrap_or_default());
            if decoded.len() >= SHORTEST / 2 && decoded.iter().all(|byte| matches!(byte, b' '..=b'~')) {
                self.hide(&decoded);
            }
        }
    }

    /// Something that could be secret: a configured header, a signature, a path with a token in it.
    pub(super) fn rather_long(&mut self, value: &str) {
        if value.len() >= SHORTEST {
            self.credential(value);
        }
    }

    fn hide(&mut self, secret: &[u8]) {
        let known = self.0.iter().any(|known| known.as_slice() == secret);
        if !secret.is_empty() && !known {
            self.0.push(Zeroizing::new(secret.to_owned()));
            // The longest first: a part of it must not be hidden alone.
            self.0.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
        }
    }

    /// The text with every secret hidden, however it is escaped. `cut` says that the text goes on: a secret may begin at its end.
    pub(crate) fn apply(&self, text: &[u8], cut: bool) -> Vec<u8> {
        let (mut rest, mut shown) = (text, Vec::with_capacity(text.len()));
        while let Some((&first, after)) = rest.split_first() {
            if let Some(length) = self.0.iter().find_map(|secret| found(rest, secret, cut)) {
                shown.extend_from_slice(MASK.as_bytes());
                rest = rest.get(length..).unwrap_or_default();
            } else {
                shown.push(first);
                rest = after;
            }
        }
        shown
    }
}

/// How many bytes of `text` are `secret`.
fn found(text: &[u8], secret: &[u8], cut: bool) -> Option<usize> {
    if text.starts_with(secret) { Some(secret.len()) } else { found_escaped(text, secret, cut) }
}

fn found_escaped(text: &[u8], secret: &[u8], cut: bool) -> Option<usize> {
    let mut length = 0;
    for &byte in secret {
        let rest = text.get(length..).unwrap_or_default();
        if cut && length > 0 && may_become_escape(rest) {
            return Some(text.len());
        }
        length += escape(rest, byte).or_else(|| (rest.first() == Some(&byte)).then_some(1))?;
    }
    Some(length)
}

/// How many bytes of `text` are an escape for `byte`: percent-encoding, JSON, JavaScript, HTML.
fn escape(text: &[u8], byte: u8) -> Option<usize> {
    let (lead, rest) = text.split_first()?;
    match lead {
        b'+' if byte == b' ' => Some(1),
        b'%' => hex(rest, 2, byte).then_some(3),
        b'\\' => match rest.split_first()? {
            (b'u', digits) => hex(digits, 4, byte).then_some(6),
            (b'x', digits) => hex(digits, 2, byte).then_some(4),
            (&escaped, _) => (escaped == byte && !byte.is_ascii_alphanumeric()).then_some(2),
        },
        b'&' => entity(rest, byte).map(|length| length + 1),
        _ => None,
    }
}

/// Whether a text that is cut off may go on as an escape: it is the beginning of one, or empty.
fn may_become_escape(text: &[u8]) -> bool {
    let all_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match text {
        [] | [b'\\'] => true,
        [b'%', digits @ ..] | [b'\\', b'x', digits @ ..] => digits.len() < 2 && all_hex(digits),
        [b'\\', b'u', digits @ ..] => digits.len() < 4 && all_hex(digits),
        [b'&', rest @ ..] => rest.len() < LONGEST_ENTITY && !rest.contains(&b';'),
        _ => false,
    }
}

fn hex(digits: &[u8], count: usize, byte: u8) -> bool {
    let digits = digits.get(..count).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.is_some_and(|digits| u32::from_str_radix(digits, 16) == Ok(byte.into()))
}

/// What follows `&` in HTML.
fn entity(text: &[u8], byte: u8) -> Option<usize> {
    let end = text.iter().take(LONGEST_ENTITY).position(|&byte| byte == b';')?;
    let name = std::str::from_utf8(text.get(..end)?).ok()?;
    let number = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => digits.parse().ok(),
        },
        None => [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')]
            .into_iter()
            .find_map(|(known, character)| (known == name).then_some(character.into())),
    };
    (number == Some(byte.into())).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(credential: &str, text: &str) -> String {
        let mut mask = Mask::default();
        mask.credential(credential);
        String::from_utf8(mask.apply(text.as_bytes(), false)).unwrap()
    }

    #[test]
    fn a_credential_is_hidden_wherever_it_stands() {
        assert_eq!(masked("hush", "hush, they said: hush"), "***, they said: ***");
        assert_eq!(masked("hush", "hus h hUsh"), "hus h hUsh");
        assert_eq!(masked("hush", ""), "");
    }

    #[test]
    fn escapes_do_not_show_it() {
        for text in [
            "a+/=\"b c",
            "a%2B%2F%3D%22b%20c",
            "a%2b%2f%3d%22b+c",
            "%61%2B/=%22b%20c",
            r#"a+\/=\"b c"#,
            r"a\u002b\u002F\u003d\u0022b c",
            r"a\x2b/=\x22b c",
            "a&#43;/=&quot;b c",
            "a&#x2B;&#x2f;=&#34;b&#32;c",
        ] {
            assert_eq!(masked("a+/=\"b c", &format!("<{text}>")), "<***>", "{text}");
        }
        assert_eq!(masked("50%25off", "x50%25offx 50%2525off"), "x***x ***", "what looks like an escape is found raw");
    }

    #[test]
    fn its_words_and_what_it_encodes_do_not_show_either() {
        assert_eq!(masked("Bearer abcdefgh", "Bearer: abcdefgh is wrong"), "Bearer: *** is wrong");
        assert_eq!(masked("bGlua2Vwb25h", "got linkepona from bGlua2Vwb25h"), "got *** from ***");
        assert_eq!(masked("Basic bGluazplcG9uYQ==", "link:epona is not bGluazplcG9uYQ=="), "*** is not ***");
        assert_eq!(masked("emVsZGFlcG9uYQ==", "zeldaepona, emVsZGFlcG9uYQ\\u003d\\u003d"), "***, ***");
    }

    #[test]
    fn what_may_begin_at_a_cut_end_is_hidden() {
        let mut mask = Mask::default();
        mask.credential("hush-hush");
        assert_eq!(mask.apply(b"it is hush-hu", true), b"it is ***");
        assert_eq!(mask.apply(b"it is %68ush-hu", true), b"it is ***");
        assert_eq!(mask.apply(b"it is hush-hu", false), b"it is hush-hu");
        for begun in ["%", "%7", "\\", "\\u", "\\u00", "\\u007", "\\x", "\\x7", "&", "&#11", "&#x0000007"] {
            let text = format!("it is hush-hus{begun}");
            assert_eq!(mask.apply(text.as_bytes(), true), b"it is ***", "{text}");
            assert_ne!(mask.apply(text.as_bytes(), false), b"it is ***", "{text}");
        }
        assert_eq!(mask.apply(b"it is hush-hus%6", true), b"it is ***", "rather too much");
        assert_eq!(mask.apply(b"it is hush-hus%zz", true), b"it is hush-hus%zz");
    }

    #[test]
    fn escapes_that_are_none_do_no_harm() {
        for text in ["%", "%2", "%zz", "\\", "\\u", "\\u00", "&", "&#", "&#x;", "&#99999999999;", "&;", "&amp", "a%"] {
            assert_eq!(masked("hush", text), text);
        }
        assert_eq!(masked("a\u{e9}", "a\u{e9}"), "***");
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut mask = Mask::default();
        mask.credential("hush-hush");
        assert_eq!(format!("{mask:?}"), "Mask(1 secrets)");
    }
}
