//! `kubectl snaphook`, pure: which resource is meant.

use std::str::FromStr;

use crate::crd::{AppCredential, Kind as _, Webhook, WebhookCredential};

/// A kind, in the spellings that kubectl knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindArg {
    AppCredential,
    Webhook,
    WebhookCredential,
}

impl KindArg {
    pub(super) const ALL: [Self; 3] = [Self::AppCredential, Self::Webhook, Self::WebhookCredential];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AppCredential => AppCredential::KIND,
            Self::Webhook => Webhook::KIND,
            Self::WebhookCredential => WebhookCredential::KIND,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let text = text.strip_suffix(".snaphook.dev").unwrap_or(&text);
        match text {
            "appcredential" | "appcredentials" | "appcred" => Some(Self::AppCredential),
            "webhook" | "webhooks" | "wh" => Some(Self::Webhook),
            "webhookcredential" | "webhookcredentials" | "whcred" => Some(Self::WebhookCredential),
            _ => None,
        }
    }
}

/// `KIND/NAME`, or `NAME` of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KindName {
    pub(super) kind: Option<KindArg>,
    pub(super) name: String,
}

impl FromStr for KindName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (None, text),
            Some((kind, name)) => {
                let known = KindArg::parse(kind);
                let known = known.ok_or("expected appcredential, webhook or webhookcredential before the slash")?;
                (Some(known), name)
            }
        };
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(fits) {
            return Err("expected the name of a resource, or a kind, a slash and a name".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl KindName {
    /// The kinds that may be meant.
    pub(super) fn kinds(&self) -> Vec<KindArg> {
        self.kind.map_or_else(|| KindArg::ALL.to_vec(), |kind| vec![kind])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_named_as_for_kubectl() {
        for (text, kind) in [
            ("billing", None),
            ("appcredential/billing", Some(KindArg::AppCredential)),
            ("AppCredentials/billing", Some(KindArg::AppCredential)),
            ("appcred/billing", Some(KindArg::AppCredential)),
            ("wh/billing", Some(KindArg::Webhook)),
            ("webhooks.snaphook.dev/billing", Some(KindArg::Webhook)),
            ("whcred/billing", Some(KindArg::WebhookCredential)),
        ] {
            assert_eq!(text.parse(), Ok(KindName { kind, name: "billing".to_owned() }), "{text}");
        }
        for bad in ["", "/", "secret/x", "wh/", "wh/a/b", "a b", "A", "--x\n"] {
            assert!(bad.parse::<KindName>().is_err(), "{bad:?}");
        }
    }
}
