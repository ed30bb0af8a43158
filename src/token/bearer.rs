//! Flow 2, pure: a token as a request brings it, and why it does not let the request pass. RFC 6750.

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BearerError {
    /// It brings no token, or proof of another kind.
    Missing,
    /// It brings something that could be understood in more than one way, or in none.
    Malformed(&'static str),
    /// It brings a token that does not count, or not here.
    InvalidToken,
    /// It brings a token that lacks one of these scopes, which are separated by spaces.
    InsufficientScope(String),
}

impl BearerError {
    /// The `error` of section 3.1. Who brings no token is told none.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Malformed(_) => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope(_) => Some("insufficient_scope"),
        }
    }

    /// What helps the client's developer. Nothing of what the client sent.
    #[must_use]
    pub fn description(&self) -> &'static str {
        match self {
            Self::Missing => "send an access token as Authorization: Bearer TOKEN",
            Self::Malformed(why) => why,
            Self::InvalidToken => "the token is expired, revoked, for another audience, or not of this issuer",
            Self::InsufficientScope(_) => "the token lacks a scope: WWW-Authenticate names all that are needed",
        }
    }

    /// The value of `WWW-Authenticate`, section 3.
    #[must_use]
    pub fn challenge(&self) -> String {
        let error = self.code().map(|code| format!(r#", error="{code}""#)).unwrap_or_default();
        let scope = match self {
            Self::InsufficientScope(scopes) => format!(r#", scope="{scopes}""#),
            Self::Missing | Self::Malformed(_) | Self::InvalidToken => String::new(),
        };
        format!(r#"Bearer realm="snaphook"{error}{scope}"#)
    }
}

/// The token among the values of all `Authorization` headers (section 2.1): the only place where one is looked for.
///
/// # Errors
/// [`BearerError::Missing`], also for another scheme; [`BearerError::Malformed`], also for two headers: the application behind might read the
/// other one.
pub fn bearer<'r>(mut authorization: impl Iterator<Item = &'r [u8]>) -> Result<&'r str, BearerError> {
    let value = authorization.next().ok_or(BearerError::Missing)?;
    if authorization.next().is_some() {
        return Err(BearerError::Malformed("two Authorization headers: send one"));
    }
    let value = value.trim_ascii();
    let end = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(BearerError::Missing);
    }
    let malformed = BearerError::Malformed("one token of the characters A-Z a-z 0-9 - . _ ~ + / must follow Bearer");
    let token = std::str::from_utf8(token.trim_ascii_start()).ok().filter(|token| is_b64token(token));
    token.ok_or(malformed)
}

fn is_b64token(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[&str]) -> Result<String, Option<&'static str>> {
        bearer(values.iter().map(|value| value.as_bytes())).map(str::to_owned).map_err(|error| error.code())
    }

    #[test]
    fn one_token_in_one_header_is_found() {
        for value in ["Bearer a.b-c_d~e+f/g==", "bEARER a.b-c_d~e+f/g==", " Bearer   a.b-c_d~e+f/g== "] {
            assert_eq!(found(&[value]).unwrap(), "a.b-c_d~e+f/g==", "{value:?}");
        }
    }

    #[test]
    fn no_token_and_another_scheme_are_no_error_in_the_words_of_the_rfc() {
        for values in [&[][..], &[""], &["Basic YTpi"], &["Bearera.b.c"], &["a.b.c"], &["DPoP a.b.c"]] {
            assert_eq!(found(values), Err(None), "{values:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_in_none_is_malformed() {
        for values in [
            &["Bearer a", "Bearer b"][..],
            &["Basic YTpi", "Bearer b"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
            &["Bearer a,b"],
            &["Bearer \"a\""],
            &["Bearer =="],
            &["Bearer a=b"],
            &["Bearer \u{e9}"],
            &["Bearer a\tb"],
        ] {
            assert_eq!(found(values), Err(Some("invalid_request")), "{values:?}");
        }
        assert!(bearer([&b"Bearer \xff"[..]].into_iter()).is_err());
    }

    #[test]
    fn challenges_are_those_of_the_rfc() {
        let scopes = "orders:read orders:write".to_owned();
        for (error, challenge) in [
            (BearerError::Missing, r#"Bearer realm="snaphook""#),
            (BearerError::Malformed("x"), r#"Bearer realm="snaphook", error="invalid_request""#),
            (BearerError::InvalidToken, r#"Bearer realm="snaphook", error="invalid_token""#),
            (
                BearerError::InsufficientScope(scopes),
                r#"Bearer realm="snaphook", error="insufficient_scope", scope="orders:read orders:write""#,
            ),
        ] {
            assert_eq!(error.challenge(), challenge);
        }
    }
}
