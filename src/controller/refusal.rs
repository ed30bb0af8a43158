//! Flow 1, step 2, pure: why a resource is not built.

use serde::Deserialize;

/// Why a resource is not built: condition reason, event reason and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Reason {
    /// The operator's policy does not allow it.
    NotAllowedByPolicy,
    /// An older resource has the client id.
    ClientIdTaken,
    /// An older resource has the Secret's name.
    SecretNameTaken,
    /// A Secret of the wanted name is not ours.
    SecretExists,
    /// Our Secret cannot be changed.
    SecretImmutable,
    /// Our Secret has another type.
    SecretTypeMismatch,
    /// Somebody keeps rewriting our Secret.
    SecretContested,
    /// A Secret that is referred to is not there, or its owner has not allowed references to it.
    ReferenceNotAvailable,
    /// A key that is referred to is not there.
    SecretKeyNotFound,
    /// The secret could be guessed.
    SecretTooShort,
    /// The secret has characters that OAuth does not allow.
    SecretNotPrintable,
    /// No call can have a header or query parameter of that name.
    FieldNotAllowed,
    /// No call can have that value.
    ValueNotAllowed,
    /// The secret is none for the kind of verification.
    SecretNotUsable,
    /// `spec.verification` is not what the server can judge by.
    VerificationNotAllowed,
    /// An expression of the handler is not CEL, or beyond its bounds.
    ExpressionNotAllowed,
    /// Messages may not be delivered to that URL.
    TargetNotAllowed,
    /// Another Webhook has the URL.
    UrlTaken,
    /// Too many secrets work at the same time.
    TooManyVersions,
    /// The API server refused the write for good.
    WriteRefused,
    /// The resource is not of the CRD's shape.
    InvalidResource,
}

impl Reason {
    /// In `PascalCase`, as conditions want it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowedByPolicy => "NotAllowedByPolicy",
            Self::ClientIdTaken => "ClientIdTaken",
            Self::SecretNameTaken => "SecretNameTaken",
            Self::SecretExists => "SecretExists",
            Self::SecretImmutable => "SecretImmutable",
            Self::SecretTypeMismatch => "SecretTypeMismatch",
            Self::SecretContested => "SecretContested",
            Self::ReferenceNotAvailable => "ReferenceNotAvailable",
            Self::SecretKeyNotFound => "SecretKeyNotFound",
            Self::SecretTooShort => "SecretTooShort",
            Self::SecretNotPrintable => "SecretNotPrintable",
            Self::FieldNotAllowed => "FieldNotAllowed",
            Self::ValueNotAllowed => "ValueNotAllowed",
            Self::SecretNotUsable => "SecretNotUsable",
            Self::VerificationNotAllowed => "VerificationNotAllowed",
            Self::ExpressionNotAllowed => "ExpressionNotAllowed",
            Self::TargetNotAllowed => "TargetNotAllowed",
            Self::UrlTaken => "UrlTaken",
            Self::TooManyVersions => "TooManyVersions",
            Self::WriteRefused => "WriteRefused",
            Self::InvalidResource => "InvalidResource",
        }
    }

    /// Waiting ends by itself when something else appears; everything else needs a person.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::ReferenceNotAvailable | Self::SecretKeyNotFound | Self::TooManyVersions)
    }
}

/// Why a resource is not built, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: the object, the field, the other party and the fix.
    pub message: String,
}

/// A refusal, as the result of a check.
///
/// # Errors
/// Always.
pub fn refuse<T>(reason: Reason, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason, message: message.into() })
}
