//! Flow 3, pure: signs an outgoing call after the Standard Webhooks specification, version 1.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use aws_lc_rs::hmac;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::record::endpoint::EndpointSecret;

/// The header with the message's id, which stays the same over all attempts.
pub const ID: &str = "webhook-id";
/// The header with the time of the attempt: Unix time in seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with one signature a secret, separated by blanks.
pub const SIGNATURE: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
/// The specification's own libraries differ about padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a call cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No Base64 after `whsec_`.
    #[error("the signing secret is not of the form whsec_ and Base64")]
    NotASecret,
    /// All secrets are over.
    #[error("no signing secret is current")]
    NoSecret,
}

/// The value of [`SIGNATURE`] by every secret that counts at `at`, the newest first.
///
/// # Errors
/// Where no secret counts, or one cannot be read.
pub fn sign(secrets: &[EndpointSecret], id: &str, at: Timestamp, body: &[u8]) -> Result<String, SignError> {
    let current = secrets.iter().rev().filter(|secret| secret.not_after.is_none_or(|end| end > at));
    let signatures = current.map(|secret| signature(secret.value.expose(), id, at, body));
    let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
    if signatures.is_empty() { Err(SignError::NoSecret) } else { Ok(signatures.join(" ")) }
}

/// Whether a secret can sign.
///
/// # Errors
/// [`SignError::NotASecret`].
pub fn check_secret(secret: &str) -> Result<(), SignError> {
    key(secret).map(drop)
}

fn signature(secret: &str, id: &str, at: Timestamp, body: &[u8]) -> Result<String, SignError> {
    let mut context = hmac::Context::with_key(&key(secret)?);
    context.update(format!("{id}.{}.", at.as_second()).as_bytes());
    context.update(body);
    Ok(format!("v1,{}", STANDARD.encode(context.sign())))
}

fn key(secret: &str) -> Result<hmac::Key, SignError> {
    let text = secret.strip_prefix(PREFIX).unwrap_or(secret);
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    LENIENT.decode_vec(text, &mut bytes).map_err(|_| SignError::NotASecret)?;
    if bytes.is_empty() {
        return Err(SignError::NotASecret);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OLD: &str = "whsec_c25hcGhvb2stdGVzdC1zZWNyZXQtMDE";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn secret(value: &str, not_after: Option<i64>) -> EndpointSecret {
        let not_after = not_after.map(at);
        EndpointSecret { value: value.to_owned().into(), generated: true, created_at: at(0), not_after, nonce: None }
    }

    fn signed(secrets: &[EndpointSecret]) -> Result<String, SignError> {
        sign(secrets, MESSAGE, at(1_614_265_330), BODY)
    }

    #[test]
    fn the_example_of_the_specification() {
        assert_eq!(signed(&[secret(SECRET, None)]), Ok(SIGNED.to_owned()));
        assert_eq!(signed(&[secret(&SECRET["whsec_".len()..], None)]), Ok(SIGNED.to_owned()));
    }

    #[test]
    fn during_a_rotation_there_is_one_signature_a_secret() {
        let both = signed(&[secret(OLD, Some(1_614_265_331)), secret(SECRET, None)]).unwrap();
        let old = signed(&[secret(OLD, None)]).unwrap();
        assert_ne!(old, SIGNED);
        assert_eq!(both, format!("{SIGNED} {old}"));
        let over = signed(&[secret(OLD, Some(1_614_265_330)), secret(SECRET, None)]);
        assert_eq!(over, Ok(SIGNED.to_owned()));
    }

    #[test]
    fn the_signature_covers_id_time_and_body() {
        let secrets = [secret(SECRET, None)];
        for (id, second, body) in
            [("other", 1_614_265_330, BODY), (MESSAGE, 1_614_265_331, BODY), (MESSAGE, 1_614_265_330, b"{}")]
        {
            assert_ne!(sign(&secrets, id, at(second), body).unwrap(), SIGNED);
        }
    }

    #[test]
    fn a_call_is_never_silently_unsigned() {
        assert_eq!(signed(&[]), Err(SignError::NoSecret));
        assert_eq!(signed(&[secret(SECRET, Some(1))]), Err(SignError::NoSecret));
        for text in ["", "whsec_", "whsec_!", "whsec_a b"] {
            assert_eq!(signed(&[secret(text, None)]), Err(SignError::NotASecret), "{text:?}");
            assert_eq!(check_secret(text), Err(SignError::NotASecret), "{text:?}");
        }
        assert_eq!(check_secret(SECRET), Ok(()));
        assert_eq!(
            check_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa=="),
            check_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa")
        );
    }
}
