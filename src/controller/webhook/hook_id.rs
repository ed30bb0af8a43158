//! Flow 1, pure: what a Webhook is given: the id in its URL, and secrets. Each has 256 random bits, and none tells anything about another.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

use crate::record::Confidential;

/// Where hooks are, on every host.
pub const PATH: &str = "/hooks/";
const BYTES: usize = 32;
const PREFIX: &str = "whsec_";

/// An id from fresh random bytes.
#[must_use]
pub fn new_id(random: &[u8; BYTES]) -> Confidential {
    URL_SAFE_NO_PAD.encode(random).into()
}

/// The id in a URL, where it has the form of one that was generated: what somebody typed has not.
#[must_use]
pub fn id_of(url: &[u8]) -> Option<Confidential> {
    let (_, id) = std::str::from_utf8(url).ok()?.rsplit_once(PATH)?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(id).ok()?);
    (bytes.len() == BYTES).then(|| id.to_owned().into())
}

/// A secret from fresh random bytes, as Standard Webhooks writes secrets. To other schemes it is any text.
#[must_use]
pub fn new_secret(random: &[u8; BYTES]) -> Confidential {
    format!("{PREFIX}{}", STANDARD.encode(random)).into()
}

/// A secret that has the form of a generated one.
#[must_use]
pub fn secret_of(value: &[u8]) -> Option<Confidential> {
    let text = std::str::from_utf8(value).ok()?;
    let bytes = Zeroizing::new(STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?);
    (bytes.len() == BYTES).then(|| text.to_owned().into())
}

/// Where a Webhook is reached: all of it but the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// From outside the cluster, without a slash at the end.
    pub external: String,
    /// From inside, without a slash at the end.
    pub internal: String,
    /// The URL is itself the credential.
    pub secret: bool,
}

impl Address {
    /// As a person may see it.
    #[must_use]
    pub fn shown(&self, base: &str, id: &Confidential) -> String {
        if self.secret { format!("{base}{PATH}********") } else { url(base, id) }
    }
}

/// The whole URL.
#[must_use]
pub fn url(base: &str, id: &Confidential) -> String {
    format!("{base}{PATH}{}", id.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generated_is_recognised_and_needs_no_encoding() {
        for byte in [0, 7, 0xff] {
            let (id, secret) = (new_id(&[byte; 32]), new_secret(&[byte; 32]));
            assert_eq!(id.expose().len(), 43);
            assert!(id.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
            assert_eq!(id_of(url("https://hooks.example.com", &id).as_bytes()), Some(id));
            assert_eq!(secret_of(secret.expose().as_bytes()), Some(secret));
        }
    }

    #[test]
    fn what_somebody_typed_is_not() {
        let id = "A".repeat(43);
        for url in [
            "",
            "https://x/hooks/",
            "https://x/hooks/easy",
            &format!("https://x/other/{id}"),
            &format!("https://x/hooks/{id}A"),
        ] {
            assert_eq!(id_of(url.as_bytes()), None, "{url}");
        }
        for secret in ["", "whsec_", "whsec_c2hvcnQ=", &format!("whsek_{}=", "A".repeat(43))] {
            assert_eq!(secret_of(secret.as_bytes()), None, "{secret}");
        }
    }

    #[test]
    fn a_url_that_is_a_credential_is_shown_masked() {
        let id = new_id(&[7; 32]);
        let mut address = Address { external: "https://e".into(), internal: "http://i".into(), secret: false };
        assert_eq!(address.shown(&address.internal, &id), url("http://i", &id));
        address.secret = true;
        assert_eq!(address.shown(&address.external, &id), "https://e/hooks/********");
    }
}
