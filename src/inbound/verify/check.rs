//! Flows 1 and 3, pure: what can be known to be wrong with a verification before anything is posted.

use super::{key::Key, presets, scheme::Scheme};
use crate::record::endpoint::Verification;

/// What is wrong with `spec.verification`: the field, and what to do.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// A header's name has other characters than letters, digits and a few signs (RFC 9110, section 5.1).
    #[error("spec.verification.{field} is no header name: use letters, digits and hyphens, such as X-Signature")]
    HeaderName {
        /// Which name.
        field: &'static str,
    },
    /// No header could have it.
    #[error(
        "spec.verification.prefix is nothing that a header could begin with: use printable ASCII, and no space in front"
    )]
    Prefix,
    /// Something else in braces.
    #[error(
        "spec.verification.signedContent has {text}: the placeholders are {{body}}, {{timestamp}} and {{id}}, and there are no other braces"
    )]
    UnknownPlaceholder {
        /// The beginning of it.
        text: String,
    },
    /// Anybody could put another body to the signature.
    #[error("spec.verification.signedContent lacks {{body}}: a signature must cover the body")]
    NoBody,
    /// Where to take the time from is not said.
    #[error(
        "spec.verification.signedContent has {{timestamp}}: say in spec.verification.timestampHeader which header has it"
    )]
    NoTimestampHeader,
    /// The age would be judged by what anybody can change.
    #[error(
        "spec.verification.timestampHeader names a time that is not signed, so it proves nothing: put {{timestamp}} into spec.verification.signedContent, or leave timestampHeader out"
    )]
    UnsignedTimestamp,
    /// Where to take the id from is not said.
    #[error("spec.verification.signedContent has {{id}}: say in spec.verification.idHeader which header has it")]
    NoIdHeader,
    /// Bytes could be moved from one value to the next under the same signature.
    #[error(
        "spec.verification.signedContent can be cut in more than one way, so that another body would have the same signature: put fixed text between two placeholders, no digit next to {{timestamp}}, and after {{body}} nothing but fixed text and {{timestamp}}"
    )]
    Ambiguous,
    /// RFC 7617, section 2: the first colon ends the name.
    #[error("spec.verification.username has a colon or a control character: no sender could send it")]
    Username,
    /// Every token of this server would do.
    #[error("spec.verification.scopes is empty: name at least one scope, or every AppCredential could post")]
    NoScope,
}

/// What is wrong with a secret: never quotes it.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// Anybody could sign.
    #[error("the secret is empty: put the provider's secret there")]
    Empty,
    /// Hardly ever what the provider has.
    #[error(
        "the secret begins or ends with a space or a line break, or holds a control character: put it there exactly as the provider shows it"
    )]
    Blank,
    /// Not as Standard Webhooks writes secrets.
    #[error(
        "the secret is not one of Standard Webhooks: it is whsec_ and the key in Base64, or whpk_ and an Ed25519 public key in Base64"
    )]
    NotStandard,
}

/// Checks what a `Webhook` says about verification.
///
/// # Errors
/// The first thing that is wrong: the field and the fix.
pub fn check(verification: &Verification) -> Result<(), SpecError> {
    match verification {
        Verification::Basic { username } if username.contains(|char: char| char == ':' || char.is_control()) => {
            return Err(SpecError::Username);
        }
        Verification::AppCredential(required) if required.scopes.is_empty() => return Err(SpecError::NoScope),
        _ => {}
    }
    presets::declarations(verification).iter().try_for_each(|declaration| Scheme::new(declaration).map(drop))
}

/// Checks a secret for a verification, one that is not needed too.
///
/// # Errors
/// What is wrong with it; never quotes it.
pub fn check_secret(verification: &Verification, secret: &str) -> Result<(), SecretError> {
    if secret.is_empty() {
        return Err(SecretError::Empty);
    }
    if secret.trim() != secret || secret.chars().any(char::is_control) {
        return Err(SecretError::Blank);
    }
    let declarations = presets::declarations(verification);
    let usable = declarations.iter().any(|declaration| Key::new(declaration.method, secret, None).is_some());
    if usable || declarations.is_empty() { Ok(()) } else { Err(SecretError::NotStandard) }
}
