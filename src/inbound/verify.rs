//! Flow 3, step 1, pure: whether a post comes from who may post, judged by its raw bytes before anything parses them.
//!
//! How a sender proves himself is declared as data (`presets`), from which a [`Verifier`] is prepared once per endpoint. All
//! signatures in a request are tried with all secrets that still count, in constant time.

mod check;
mod delivery_id;
mod key;
mod place;
mod presets;
mod scheme;
mod template;

use axum::http::{HeaderMap, HeaderName};
use jiff::Timestamp;

pub use check::{SecretError, SpecError, check, check_secret};
use key::Key;
use scheme::Scheme;

use crate::record::endpoint::{EndpointSecret, TokenRequirements, Verification};

/// A request as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The raw body.
    pub body: &'a [u8],
}

/// Judges posts to one endpoint. Holds secrets and shows none.
#[derive(Debug)]
pub struct Verifier(Kind);

#[derive(Debug)]
enum Kind {
    Open,
    Proven(Vec<Way>),
    Token { bearer: Box<Scheme>, required: TokenRequirements },
}

/// One way to prove who one is, with the secrets that it can use.
#[derive(Debug)]
struct Way {
    scheme: Scheme,
    keys: Vec<Key>,
    challenge: Option<&'static str>,
}

/// What a verifier says of a request that it does not refuse.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The sender may post.
    Verified(Verified),
    /// Nobody knows yet: the sender may post if the server's token check says that this token is good and has what is required.
    CheckToken {
        /// What came as the bearer token.
        token: &'a str,
        /// What the token needs.
        required: &'a TokenRequirements,
    },
}

/// A request whose sender may post.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// By this the provider's repeats of one delivery can be told, if it sends one: printable ASCII, at most 513 bytes. Only
    /// together with the body's hash ([`super::dedupe::Key`]), since many providers do not sign it.
    pub delivery_id: Option<String>,
}

/// Why a request is refused: answered with 401 and nothing more. Later ones came further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Rejection {
    /// The endpoint has no secret that still counts.
    #[error("the endpoint has no secret that still counts")]
    NoSecret,
    /// No signature, token or password was sent.
    #[error("no signature")]
    NoSignature,
    /// What was sent is not of the form that the verification wants.
    #[error("the signature, or what belongs to it, is malformed")]
    Malformed,
    /// No signature is right: another secret, or the body was changed.
    #[error("wrong signature")]
    BadSignature,
    /// The signature is right, but too old or from the future.
    #[error("the timestamp is too far from now")]
    StaleTimestamp,
}

impl Rejection {
    /// The label in metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoSecret => "NoSecret",
            Self::NoSignature => "NoSignature",
            Self::Malformed => "Malformed",
            Self::BadSignature => "BadSignature",
            Self::StaleTimestamp => "StaleTimestamp",
        }
    }
}

/// Why no verifier can be prepared. Never quotes a secret.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifierError {
    /// The declaration is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A secret is wrong.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl Verifier {
    /// Prepares the judge of one endpoint. Without secrets, where some are needed, it refuses everything.
    ///
    /// # Errors
    /// What [`check`] and [`check_secret`] say.
    pub fn new(verification: &Verification, secrets: &[EndpointSecret]) -> Result<Self, VerifierError> {
        check(verification)?;
        Ok(Self(match verification {
            Verification::None => Kind::Open,
            Verification::AppCredential(required) => {
                Kind::Token { bearer: Box::new(Scheme::new(&presets::BEARER)?), required: required.clone() }
            }
            _ => Kind::Proven(ways(verification, secrets)?),
        }))
    }

    /// Judges a request.
    ///
    /// # Errors
    /// Why it is refused. Of several ways that fail, what the furthest says.
    pub fn verify<'a>(&'a self, incoming: &Incoming<'a>, now: Timestamp) -> Result<Verdict<'a>, Rejection> {
        match &self.0 {
            Kind::Open => Ok(Verdict::Verified(Verified::default())),
            Kind::Token { bearer, required } => {
                Ok(Verdict::CheckToken { token: bearer.text(incoming.headers)?, required })
            }
            Kind::Proven(ways) => {
                let mut furthest = Rejection::NoSecret;
                for way in ways {
                    match way.verify(incoming, now) {
                        Ok(delivery_id) => return Ok(Verdict::Verified(Verified { delivery_id })),
                        Err(rejection) => furthest = furthest.max(rejection),
                    }
                }
                Err(furthest)
            }
        }
    }

    /// The headers in which a sender proves who he is. They are meant for this server alone: some hold the secret itself, so they
    /// must neither be stored nor go on to the receiver.
    pub fn proof_headers(&self) -> impl Iterator<Item = &HeaderName> {
        let (token, ways) = match &self.0 {
            Kind::Open => (None, &[][..]),
            Kind::Token { bearer, required: _ } => (Some(bearer.header()), &[][..]),
            Kind::Proven(ways) => (None, ways.as_slice()),
        };
        token.into_iter().chain(ways.iter().map(|way| way.scheme.header()))
    }

    /// The `WWW-Authenticate` that belongs to a 401 (RFC 9110, section 11.6.1). Signatures have none.
    #[must_use]
    pub fn challenge(&self) -> Option<&'static str> {
        match &self.0 {
            Kind::Open => None,
            Kind::Token { .. } => Some(presets::BEARER_CHALLENGE),
            Kind::Proven(ways) => ways.iter().find_map(|way| way.challenge),
        }
    }
}

fn ways(verification: &Verification, secrets: &[EndpointSecret]) -> Result<Vec<Way>, VerifierError> {
    secrets.iter().try_for_each(|secret| check_secret(verification, secret.value.expose()))?;
    let way = |declaration: &scheme::Declaration<'_>| {
        let key = |secret: &EndpointSecret| Key::new(declaration.method, secret.value.expose(), secret.not_after);
        Ok(Way {
            scheme: Scheme::new(declaration)?,
            keys: secrets.iter().filter_map(key).collect(),
            challenge: presets::challenge(declaration),
        })
    };
    presets::declarations(verification).iter().map(way).collect()
}

impl Way {
    fn verify(&self, incoming: &Incoming<'_>, now: Timestamp) -> Result<Option<String>, Rejection> {
        let live: Vec<&Key> = self.keys.iter().filter(|key| key.is_live(now)).collect();
        if live.is_empty() { Err(Rejection::NoSecret) } else { self.scheme.verify(&live, incoming, now) }
    }
}

#[cfg(test)]
mod tests;
