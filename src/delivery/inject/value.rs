//! Flows 1 and 3, pure: what is sent for a `WebhookCredential`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::field::{FieldError, check_value};
use crate::record::Confidential;

/// Which part of a credential an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `spec.clientId` or `spec.clientIdFrom`.
    ClientId,
    /// `spec.clientSecretFrom`.
    ClientSecret,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::ClientId => "the client id",
            Self::ClientSecret => "the client secret",
        })
    }
}

/// Why a credential cannot be sent. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} {problem}")]
pub struct PartError {
    /// Where the problem is.
    pub part: Part,
    /// What it is, and how to mend it.
    pub problem: FieldError,
}

/// What is sent: for type `ClientId` the id as it is; for type `ClientIdAndSecret` the standard, padded Base64 of id and secret
/// joined with nothing between them, which is not the Basic scheme of RFC 7617.
///
/// # Errors
/// Which part cannot be sent, and why.
pub fn value_of(client_id: &str, client_secret: Option<&str>) -> Result<Confidential, PartError> {
    let checked = |part, text| check_value(text).map_err(|problem| PartError { part, problem });
    let id = checked(Part::ClientId, client_id)?;
    let Some(secret) = client_secret else { return Ok(id.to_owned().into()) };
    let value = encode(id, checked(Part::ClientSecret, secret)?);
    checked(Part::ClientSecret, &value)?;
    Ok(value.into())
}

fn encode(id: &str, secret: &str) -> String {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut joined = Zeroizing::new(String::with_capacity(id.len() + secret.len()));
    joined.push_str(id);
    joined.push_str(secret);
    STANDARD.encode(joined.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: &str, secret: Option<&str>) -> Result<String, PartError> {
        value_of(id, secret).map(|value| value.expose().to_owned())
    }

    #[test]
    fn id_and_secret_are_joined_with_nothing_between_them() {
        assert_eq!(sent("link", None), Ok("link".to_owned()));
        assert_eq!(sent("link", Some("epona")), Ok("bGlua2Vwb25h".to_owned()));
        assert_eq!(sent("link\n", Some("epona\n")), Ok("bGlua2Vwb25h".to_owned()));
        assert_eq!(sent("zelda", Some("epona")), Ok("emVsZGFlcG9uYQ==".to_owned()));
        assert_eq!(sent("a", Some("??>")), Ok("YT8/Pg==".to_owned()));
    }

    #[test]
    fn an_error_names_the_part() {
        let (part, problem) = (Part::ClientId, FieldError::LineBreak);
        assert_eq!(sent("li\nnk", Some("epona")), Err(PartError { part, problem }));
        let (part, problem) = (Part::ClientSecret, FieldError::Empty);
        assert_eq!(sent("link", Some("\n")), Err(PartError { part, problem }));
        let error = PartError { part: Part::ClientSecret, problem: FieldError::OuterBlank };
        assert_eq!(
            error.to_string(),
            "the client secret begins or ends with a blank, which would get lost on the way: remove it"
        );
        let (part, problem) = (Part::ClientSecret, FieldError::ValueTooLong);
        assert_eq!(sent("link", Some(&"a".repeat(7000))), Err(PartError { part, problem }), "once it is encoded");
    }
}
