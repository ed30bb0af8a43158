//! Flow 3, pure: a secret, made once into what signatures are judged by.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{self, SHA256},
    hmac,
    signature::{ED25519, ParsedPublicKey},
};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::template::{Template, Values};
use crate::record::endpoint::HmacAlgorithm;

/// What stands before a symmetric key and a public key: Standard Webhooks 1.0.0, "Signature scheme".
pub(super) const SYMMETRIC_KEY: &str = "whsec_";
pub(super) const PUBLIC_KEY: &str = "whpk_";
/// Some providers leave the padding of their keys out.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a sender shows that he knows the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method<'a> {
    /// An HMAC whose key is the secret's text.
    Hmac(HmacAlgorithm),
    /// HMAC-SHA-256 whose key is in Base64 in the secret, after `whsec_` or without it.
    StandardHmac,
    /// An Ed25519 signature; the secret is the public key in Base64 after `whpk_`.
    StandardEd25519,
    /// The secret itself, after the user's name and a colon where there is one.
    Secret {
        /// The name.
        user: Option<&'a str>,
    },
}

/// A secret that is ready for use.
#[derive(Debug)]
pub(super) struct Key {
    material: Material,
    not_after: Option<Timestamp>,
}

enum Material {
    Hmac(Box<hmac::Key>),
    Ed25519(ParsedPublicKey),
    /// Of equal length whatever the secret is, so that comparing tells nothing of its length.
    Digest([u8; 32]),
}

impl Key {
    /// None where the method has no use for such a secret.
    pub(super) fn new(method: Method<'_>, secret: &str, not_after: Option<Timestamp>) -> Option<Self> {
        Some(Self { material: Material::new(method, secret)?, not_after })
    }

    /// Whether the secret still counts.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now < end)
    }

    /// Whether one of the signatures is this key's. Looks at all of them, whichever it is.
    pub(super) fn proves(&self, signatures: &[Zeroizing<Vec<u8>>], content: &Template, values: Values<'_>) -> bool {
        let any = |judge: &dyn Fn(&[u8]) -> bool| signatures.iter().fold(false, |found, one| found | judge(one));
        match &self.material {
            Material::Hmac(key) => {
                let mut signing = hmac::Context::with_key(key);
                content.pieces(values).for_each(|piece| signing.update(piece));
                let tag = signing.sign();
                any(&|signature| verify_slices_are_equal(tag.as_ref(), signature).is_ok())
            }
            Material::Ed25519(key) => {
                let message = content.pieces(values).collect::<Vec<_>>().concat();
                any(&|signature| key.verify_sig(&message, signature).is_ok())
            }
            Material::Digest(expected) => {
                any(&|secret| verify_slices_are_equal(expected, digest::digest(&SHA256, secret).as_ref()).is_ok())
            }
        }
    }
}

impl Material {
    fn new(method: Method<'_>, secret: &str) -> Option<Self> {
        match method {
            Method::Hmac(algorithm) => Some(Self::hmac(hash(algorithm), secret.as_bytes())),
            Method::StandardHmac => {
                let key = decode(secret.strip_prefix(SYMMETRIC_KEY).unwrap_or(secret))?;
                Some(Self::hmac(hmac::HMAC_SHA256, &key))
            }
            Method::StandardEd25519 => {
                let key = decode(secret.strip_prefix(PUBLIC_KEY)?)?;
                // The library would take a key with a DER frame as well.
                let key = <[u8; 32]>::try_from(key.as_slice()).ok()?;
                ParsedPublicKey::new(&ED25519, key).ok().map(Self::Ed25519)
            }
            Method::Secret { user } => Some(Self::digest(user, secret)),
        }
    }

    fn hmac(algorithm: hmac::Algorithm, key: &[u8]) -> Self {
        Self::Hmac(Box::new(hmac::Key::new(algorithm, key)))
    }

    fn digest(user: Option<&str>, secret: &str) -> Self {
        let mut context = digest::Context::new(&SHA256);
        if let Some(user) = user {
            context.update(user.as_bytes());
            context.update(b":");
        }
        context.update(secret.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self::Digest(hash)
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even the digest: whoever has it can try secrets at leisure.
        formatter.write_str("Material(…)")
    }
}

fn hash(algorithm: HmacAlgorithm) -> hmac::Algorithm {
    match algorithm {
        HmacAlgorithm::SHA256 => hmac::HMAC_SHA256,
        HmacAlgorithm::SHA512 => hmac::HMAC_SHA512,
        HmacAlgorithm::SHA1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    }
}

/// None for a key of no bytes: anyone could sign with it.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut key = Zeroizing::new(Vec::with_capacity(text.len()));
    KEY_BASE64.decode_vec(text, &mut key).ok()?;
    (!key.is_empty()).then_some(key)
}
