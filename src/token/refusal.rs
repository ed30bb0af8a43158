//! Flow 2, pure: why a request is refused, in the words of RFC 6749, section 5.2, and RFC 8707, section 2.

use std::borrow::Cow;

/// The `error` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is not of the protocol's form.
    InvalidRequest,
    /// The client did not prove who it is. Also for a client that is revoked, suspended or expired.
    InvalidClient,
    /// Another grant than client credentials.
    UnsupportedGrantType,
    /// A scope that the client does not have.
    InvalidScope,
    /// A resource that the client does not have.
    InvalidTarget,
}

impl Code {
    /// As it stands in the answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
        }
    }
}

/// A refusal, with a description that helps the client's developer: which parameter, and what to do. It quotes what
/// the server knows, never what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The `error`.
    pub code: Code,
    /// The `error_description`, of the characters that RFC 6749 allows there.
    pub description: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with fixed words.
    #[must_use]
    pub const fn new(code: Code, description: &'static str) -> Self {
        Self { code, description: Cow::Borrowed(description) }
    }

    /// A refusal that ends in a list of what would be accepted.
    pub(super) fn with_choices<'a>(code: Code, words: &str, choices: impl IntoIterator<Item = &'a str>) -> Self {
        let choices: Vec<_> = choices.into_iter().collect();
        let choices = if choices.is_empty() { "none".to_owned() } else { choices.join(" ") };
        let description = format!("{words}{choices}").replace(|c: char| !is_allowed(c), "?");
        Self { code, description: Cow::Owned(description) }
    }

    /// The one answer to every client that did not prove itself, whatever the cause.
    pub(super) const INVALID_CLIENT: Self = Self::new(
        Code::InvalidClient,
        "client authentication failed: send the client id and secret in an Authorization header of the Basic scheme, \
         or as client_id and client_secret in the body",
    );
}

/// RFC 6749, appendix A.8.
fn is_allowed(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_keep_to_the_characters_of_the_rfc() {
        let refusal = Refusal::with_choices(Code::InvalidScope, "one of: ", ["a", "b\"\\é\n"]);
        assert_eq!(refusal.description, "one of: a b????");
        assert!(Refusal::INVALID_CLIENT.description.chars().all(is_allowed));
    }
}
