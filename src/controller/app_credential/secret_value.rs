//! Flow 1, pure: generated client secrets: `snaphook_`, 256 random bits and a checksum, in characters that no client encodes.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;

const PREFIX: &str = "snaphook_";
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// A client secret from fresh random bytes.
#[must_use]
pub fn generate(random: &[u8; 32]) -> SecretString {
    let body = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let checksum = checksum(&body);
    SecretString::from(body + &checksum)
}

/// Whether a text has the form of a generated secret: a value that somebody typed has not.
#[must_use]
pub fn is_generated(text: &str) -> bool {
    let body_length = PREFIX.len() + RANDOM_CHARS;
    text.len() == body_length + CHECKSUM_CHARS
        && text.is_ascii()
        && text.starts_with(PREFIX)
        && checksum(&text[..body_length]) == text[body_length..]
}

/// The first characters of the SHA-256 of what stands before, so that secret scanners can tell a secret from a look-alike.
fn checksum(body: &str) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
    text.truncate(CHECKSUM_CHARS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_generated_secret_is_recognised_and_needs_no_encoding() {
        for byte in [0, 7, 0xff] {
            let secret = generate(&[byte; 32]);
            let text = secret.expose_secret();
            assert!(is_generated(text));
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte)), "{text}");
        }
    }

    #[test]
    fn look_alikes_are_not_recognised() {
        let secret = generate(&[1; 32]);
        let text = secret.expose_secret();
        for other in ["", "snaphook_", &text[1..], &format!("{text}x"), &text.replace('B', "C"), &"é".repeat(29)] {
            assert!(!is_generated(other), "{other}");
        }
    }
}
