//! Flow 3, pure: a post as it came, and what of it expressions and receivers may see.

use axum::http::{HeaderMap, HeaderName, header};
use bytes::Bytes;
use cel::common::types::CelString;

use super::{
    Invalid,
    value::{self, Value},
};

/// A post that was verified.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its query, without the question mark; empty where there is none.
    pub query: &'a str,
    /// Its body, as it was signed.
    pub body: &'a Bytes,
}

/// Attributes of `CloudEvents` in binary mode (HTTP Protocol Binding 1.0.2, section 3.1.3.1).
pub(super) const ATTRIBUTE_PREFIX: &str = "ce-";

/// Words in the names of headers that hold a credential or a signature, at every provider that we know.
const CREDENTIAL_WORDS: [&str; 10] =
    ["authorization", "cookie", "signature", "hmac", "token", "secret", "api-key", "api_key", "apikey", "password"];

/// The bytes that some word begins with.
const BEGINS_A_WORD: [bool; 256] = {
    let (mut begins, mut word) = ([false; 256], 0);
    while word < CREDENTIAL_WORDS.len() {
        begins[CREDENTIAL_WORDS[word].as_bytes()[0] as usize] = true;
        word += 1;
    }
    begins
};

/// Whether a header stays behind: it proves something to this server, so neither expressions nor the queue nor receivers get it.
pub(super) fn is_credential(name: &HeaderName, proofs: &[HeaderName]) -> bool {
    let attribute = name.as_str().starts_with(ATTRIBUTE_PREFIX);
    proofs.contains(name) || !attribute && has_credential_word(name.as_str().as_bytes())
}

/// One walk over the name, as each post has some ten: a search for each word takes nine times as long.
fn has_credential_word(name: &[u8]) -> bool {
    let words_at = |rest: &[u8]| CREDENTIAL_WORDS.iter().any(|word| rest.starts_with(word.as_bytes()));
    (0..name.len()).any(|start| BEGINS_A_WORD[usize::from(name[start])] && words_at(&name[start..]))
}

impl<'a> Incoming<'a> {
    /// `headers` in expressions: names in lower case, a header that came several times joined by `, ` (RFC 9110, section
    /// 5.3), without credentials.
    pub(super) fn headers_value(&self, hidden: &[HeaderName]) -> Value<'a> {
        let names = self.headers.keys().filter(|name| !is_credential(name, hidden));
        value::map(names.map(|name| {
            let values = self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            let joined = values.collect::<Vec<_>>().join(", ");
            (CelString::from(name.as_str()), value::text(joined))
        }))
    }

    /// `query` in expressions: each parameter decoded, the first where one came several times.
    pub(super) fn query_value(&self) -> Value<'a> {
        let pairs: Vec<_> = form_urlencoded::parse(self.query.as_bytes()).collect();
        // The last of one name stays in a map.
        value::map(pairs.into_iter().rev().map(|(name, value)| (CelString::from(name), value::text(value))))
    }

    /// An upper bound of the parameters in the query.
    pub(super) fn parameters(&self) -> usize {
        self.query.bytes().filter(|byte| *byte == b'&').count() + 1
    }

    /// The media type in lower case, without parameters. None: it says none.
    pub(super) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?;
        let text = String::from_utf8_lossy(value.as_bytes());
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        (!essence.is_empty()).then_some(essence)
    }

    /// # Errors
    /// It is compressed: what is not read cannot be checked, and unpacking has no bound.
    pub(super) fn readable(&self) -> Result<(), Invalid> {
        let coded = self.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        if coded { Err(Invalid::MediaType("send the body without Content-Encoding".into())) } else { Ok(()) }
    }
}

/// RFC 6839: the suffix says how it reads.
pub(super) fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "text/json") || media_type.ends_with("+json")
}
