//! Flow 2, pure: which of its scopes a client gets.

use std::borrow::Cow;

use super::refusal::{Code, Refusal};

/// Allows the introspection of tokens.
pub const INTROSPECT: &str = "snaphook:introspect";

/// A client's scopes, prepared for the answer that most requests get.
#[derive(Debug)]
pub(super) struct ScopeSet {
    scopes: Vec<String>,
    /// All of them, separated by spaces, as a JSON string with its quotes.
    all: String,
}

impl ScopeSet {
    pub(super) fn new(scopes: &[String]) -> Self {
        // What is no scope by the RFC's grammar could not be asked for, and a space in it would make two of one.
        let scopes: Vec<String> = scopes.iter().filter(|scope| is_scope(scope)).cloned().collect();
        Self { all: format!("\"{}\"", scopes.join(" ")), scopes }
    }

    pub(super) fn contains(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }

    /// The scopes that a token gets, as a JSON string with its quotes: those asked for, or all.
    pub(super) fn grant(&self, asked: Option<&str>) -> Result<Cow<'_, str>, Refusal> {
        let Some(asked) = asked else { return Ok(Cow::Borrowed(&self.all)) };
        let mut granted: Vec<&str> = Vec::new();
        for scope in asked.split(' ') {
            if !is_scope(scope) {
                return Err(Refusal::new(
                    Code::InvalidScope,
                    "scope is malformed: send scopes separated by single spaces, without quotes or commas around them",
                ));
            }
            if !self.contains(scope) {
                let words = "scope asks for what this client does not have, its scopes are: ";
                return Err(Refusal::with_choices(Code::InvalidScope, words, self.scopes.iter().map(String::as_str)));
            }
            if !granted.contains(&scope) {
                granted.push(scope);
            }
        }
        // Nothing to escape: `is_scope` has neither quote nor backslash.
        Ok(Cow::Owned(format!("\"{}\"", granted.join(" "))))
    }
}

/// Whether a text is one scope: RFC 6749, section 3.3.
#[must_use]
pub fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(asked: Option<&str>) -> Result<String, Code> {
        let own = ["orders:read", "invoices:write"].map(str::to_owned);
        ScopeSet::new(&own).grant(asked).map(Cow::into_owned).map_err(|refusal| refusal.code)
    }

    #[test]
    fn without_a_wish_all_scopes_are_granted() {
        assert_eq!(grant(None).unwrap(), r#""orders:read invoices:write""#);
        assert_eq!(ScopeSet::new(&[]).grant(None).unwrap(), r#""""#);
    }

    #[test]
    fn a_wish_is_granted_in_its_order_and_once() {
        assert_eq!(
            grant(Some("invoices:write orders:read invoices:write")).unwrap(),
            r#""invoices:write orders:read""#
        );
    }

    #[test]
    fn a_scope_of_others_or_a_malformed_one_is_refused() {
        for asked in [
            "admin",
            "orders:read admin",
            "orders",
            "Orders:read",
            " ",
            "orders:read ",
            "a  b",
            "a\"b",
            "a\\",
            "é",
            "\0",
        ] {
            assert_eq!(grant(Some(asked)), Err(Code::InvalidScope), "{asked:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_could_be_asked_for() {
        let own = ["orders:read".to_owned()];
        let refusal = ScopeSet::new(&own).grant(Some("s3cret")).unwrap_err();
        assert!(refusal.description.ends_with("its scopes are: orders:read"), "{}", refusal.description);
        assert!(!refusal.description.contains("s3cret"));
    }
}
