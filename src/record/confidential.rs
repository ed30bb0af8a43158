//! Both flows: a secret that has to lie in a record as it is, because verification, delivery or injection need it.

use std::fmt;

use aws_lc_rs::constant_time;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// Secret text in a record. Shown by nothing but the record's JSON, wiped when dropped, compared in constant time.
#[derive(Clone)]
pub struct Confidential(SecretString);

impl Confidential {
    /// The text itself. Every caller is a place where a secret could leak.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Confidential {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Confidential {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.expose().as_bytes(), other.expose().as_bytes()).is_ok()
    }
}

impl Eq for Confidential {}

impl fmt::Debug for Confidential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Confidential(…)")
    }
}

impl Serialize for Confidential {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Confidential {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_json_and_is_shown_by_nothing_else() {
        let secret = Confidential::from("hush".to_owned());
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, r#""hush""#);
        assert_eq!(serde_json::from_str::<Confidential>(&json).unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "Confidential(…)");
    }
}
