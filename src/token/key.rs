//! Flow 2, pure: one signing key, parsed once and kept. Signs a token, verifies one, shows its public half.

use std::fmt;

use aws_lc_rs::{
    digest,
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, Validation};

use super::keys::KeysError;
use crate::record::{Algorithm, PrivateKey, SigningKeyEntry};

/// The `typ` of RFC 9068, section 2.1.
pub(super) const TOKEN_TYPE: &str = "at+jwt";

/// A new key pair for a [`SigningKeyEntry`].
pub struct GeneratedKey {
    /// RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// The private key.
    pub pkcs8: PrivateKey,
}

/// Makes a key pair. The randomness is the cryptographic library's own: it takes no other for keys.
///
/// # Errors
/// The library could not make one.
pub fn generate(algorithm: Algorithm) -> Result<GeneratedKey, KeysError> {
    let der = match algorithm {
        Algorithm::ES256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map(|document| document.as_ref().to_vec()),
        Algorithm::EdDSA => {
            Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()).map(|document| document.as_ref().to_vec())
        }
        Algorithm::RS256 => rsa::KeyPair::generate(rsa::KeySize::Rsa2048)
            .and_then(|pair| pair.as_der())
            .map(|der: Pkcs8V1Der<'_>| der.as_ref().to_vec()),
    };
    let pkcs8 = PrivateKey::from_der(der.map_err(|_| KeysError::Generate { algorithm: algorithm.as_str() })?);
    let pair = Pair::parse(algorithm, &pkcs8).ok_or(KeysError::Generate { algorithm: algorithm.as_str() })?;
    Ok(GeneratedKey { kid: thumbprint(&pair.public().members), pkcs8 })
}

/// A key that signs and verifies.
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) sign_from: Timestamp,
    verify_until: Option<Timestamp>,
    /// The encoded header of every token that it signs, with the dot behind it.
    header: String,
    /// Its entry in the JWKS.
    jwk: String,
    pair: Pair,
    decoding: DecodingKey,
    validation: Validation,
}

impl Key {
    pub(super) fn new(entry: &SigningKeyEntry, issuer: &str) -> Result<Self, KeysError> {
        let SigningKeyEntry { kid, algorithm, created_at: _, sign_from, verify_until, pkcs8 } = entry;
        let pair = Pair::parse(*algorithm, pkcs8).ok_or_else(|| KeysError::Invalid { kid: kid.clone() })?;
        let public = pair.public();
        // The cache of verified signatures rests on this: one `kid`, one key.
        if thumbprint(&public.members) != *kid {
            return Err(KeysError::Kid { kid: kid.clone() });
        }
        let alg = algorithm.as_str();
        let header = format!(r#"{{"typ":"{TOKEN_TYPE}","alg":"{alg}","kid":"{kid}"}}"#);
        Ok(Self {
            kid: kid.clone(),
            algorithm: *algorithm,
            sign_from: *sign_from,
            verify_until: *verify_until,
            header: format!("{}.", URL_SAFE_NO_PAD.encode(header)),
            jwk: format!(r#"{{{},"use":"sig","alg":"{alg}","kid":"{kid}"}}"#, public.members),
            pair,
            decoding: public.decoding,
            validation: validation(*algorithm, issuer),
        })
    }

    /// Whether tokens that it signed still count.
    pub(super) fn verifies(&self, now: Timestamp) -> bool {
        self.verify_until.is_none_or(|until| until > now)
    }

    pub(super) fn jwk(&self) -> &str {
        &self.jwk
    }

    /// Appends the token with these claims, which are JSON.
    ///
    /// Joined by hand because the library would parse the key anew for every token, which costs as much as signing.
    pub(super) fn sign(&self, claims: &[u8], token: &mut String) -> Result<(), KeysError> {
        let start = token.len();
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, token);
        let signed = self.pair.sign(&token.as_bytes()[start..]);
        let signature = signed.ok_or_else(|| KeysError::Sign { kid: self.kid.clone() })?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, token);
        Ok(())
    }

    /// The claims of a token that this key signed, whatever the time is.
    pub(super) fn verify<T: serde::de::DeserializeOwned>(&self, token: &str) -> Option<T> {
        let token = jsonwebtoken::decode::<T>(token, &self.decoding, &self.validation).ok()?;
        let known = token.header.typ.as_deref() == Some(TOKEN_TYPE) && token.header.crit.is_none();
        known.then_some(token.claims)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What the library checks beside the signature. Expiry is not among it, because it would ask the system's clock:
/// `check` compares `exp`, which must be there, with the `now` that it is given.
fn validation(algorithm: Algorithm, issuer: &str) -> Validation {
    let mut validation = Validation::new(match algorithm {
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
    });
    validation.leeway = 0;
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

enum Pair {
    Es256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rs256(rsa::KeyPair),
}

/// The public half in the two forms that are needed.
struct Public {
    /// The required members of its JWK, in the order of RFC 7638.
    members: String,
    decoding: DecodingKey,
}

impl Pair {
    fn parse(algorithm: Algorithm, pkcs8: &PrivateKey) -> Option<Self> {
        let der = pkcs8.expose_der();
        match algorithm {
            Algorithm::ES256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok().map(Self::Es256),
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Self::Ed25519),
            Algorithm::RS256 => rsa::KeyPair::from_pkcs8(der).ok().map(Self::Rs256),
        }
    }

    fn public(&self) -> Public {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Es256(pair) => {
                // An uncompressed point: 0x04, x, y.
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let members = format!(r#""crv":"P-256","kty":"EC","x":"{}","y":"{}""#, text(x), text(y));
                Public { members, decoding: DecodingKey::from_ec_der(point) }
            }
            Self::Ed25519(pair) => {
                let x = pair.public_key().as_ref();
                let members = format!(r#""crv":"Ed25519","kty":"OKP","x":"{}""#, text(x));
                Public { members, decoding: DecodingKey::from_ed_der(x) }
            }
            Self::Rs256(pair) => {
                let key = pair.public_key();
                let n = key.modulus().big_endian_without_leading_zero();
                let e = key.exponent().big_endian_without_leading_zero();
                let members = format!(r#""e":"{}","kty":"RSA","n":"{}""#, text(e), text(n));
                Public { members, decoding: DecodingKey::from_rsa_raw_components(n, e) }
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Signature> {
        // The library takes a random source for likeness with another one, and uses its own.
        match self {
            Self::Es256(pair) => pair.sign(&SystemRandom::new(), message).ok().map(Signature::Short),
            Self::Ed25519(pair) => pair.try_sign(message).ok().map(Signature::Short),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(Signature::Rsa(signature))
            }
        }
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "on the stack for one signature; a box would cost every token an allocation"
)]
enum Signature {
    Short(aws_lc_rs::signature::Signature),
    Rsa(Vec<u8>),
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Short(signature) => signature.as_ref(),
            Self::Rsa(signature) => signature,
        }
    }
}

/// RFC 7638: SHA-256 over the required members in their order, without white space.
fn thumbprint(members: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, format!("{{{members}}}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_8037_comes_out() {
        let members = r#""crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        assert_eq!(thumbprint(members), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_generated_key_verifies_what_it_signed_and_nothing_else() {
        #[derive(serde::Deserialize, Debug, PartialEq)]
        struct Claims {
            sub: String,
        }
        let claims = br#"{"iss":"https://i.test","sub":"s","aud":"a","exp":1}"#;
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
            let (key, other) = (new_key(algorithm), new_key(algorithm));
            let mut token = String::from("kept");
            key.sign(claims, &mut token).unwrap();
            let token = token.strip_prefix("kept").unwrap();
            assert_eq!(key.verify(token), Some(Claims { sub: "s".to_owned() }), "{algorithm:?}");
            assert_eq!(other.verify::<Claims>(token), None, "{algorithm:?}");
            assert_eq!(key.verify::<Claims>(&token[..token.len() - 2]), None, "{algorithm:?}");
        }
    }

    #[test]
    fn a_kid_that_is_not_the_thumbprint_is_refused() {
        let mut entry = entry(Algorithm::EdDSA);
        entry.kid = "mine".to_owned();
        assert!(matches!(Key::new(&entry, "https://i.test"), Err(KeysError::Kid { .. })));
    }

    #[test]
    fn a_key_of_another_algorithm_is_refused() {
        let mut entry = entry(Algorithm::EdDSA);
        entry.algorithm = Algorithm::ES256;
        assert!(matches!(Key::new(&entry, "https://i.test"), Err(KeysError::Invalid { .. })));
    }

    fn new_key(algorithm: Algorithm) -> Key {
        Key::new(&entry(algorithm), "https://i.test").unwrap()
    }

    fn entry(algorithm: Algorithm) -> SigningKeyEntry {
        let GeneratedKey { kid, pkcs8 } = generate(algorithm).unwrap();
        let then = Timestamp::UNIX_EPOCH;
        SigningKeyEntry { kid, algorithm, created_at: then, sign_from: then, verify_until: None, pkcs8 }
    }
}
