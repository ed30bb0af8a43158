//! Flow 3, pure: the id by which a provider's repeats of one delivery are told. Looked for after verification only.

use std::{borrow::Cow, fmt};

use axum::http::{HeaderMap, HeaderName};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{
    Incoming,
    check::SpecError,
    place::{id, only},
    scheme::header_name,
};

/// Where a delivery's id is.
#[derive(Clone, Copy, Debug)]
pub(super) enum IdSource<'a> {
    /// The provider has none.
    None,
    /// In a header.
    Header(&'a str),
    /// In a header, and another one tells what else could have the same id.
    Within {
        /// The id.
        header: &'a str,
        /// What it is an id of.
        topic: &'a str,
    },
    /// In this member of a JSON object, which is the body.
    Body(&'static str),
}

/// An [`IdSource`], compiled.
#[derive(Debug)]
pub(super) enum IdPlace {
    None,
    Header(HeaderName),
    Within { header: HeaderName, topic: HeaderName },
    Body(&'static str),
}

impl IdPlace {
    pub(super) fn new(source: IdSource<'_>) -> Result<Self, SpecError> {
        let name = |text| header_name(text, "idHeader");
        Ok(match source {
            IdSource::None => Self::None,
            IdSource::Header(header) => Self::Header(name(header)?),
            IdSource::Within { header, topic } => Self::Within { header: name(header)?, topic: name(topic)? },
            IdSource::Body(member) => Self::Body(member),
        })
    }

    /// The header that `{id}` in signed content means.
    pub(super) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(header) => Some(header),
            Self::None | Self::Within { .. } | Self::Body(_) => None,
        }
    }

    /// The id, if the request has one that is fit to be kept. Without one nothing is ever taken for a repeat.
    pub(super) fn read(&self, incoming: &Incoming<'_>) -> Option<String> {
        match self {
            Self::None => None,
            Self::Header(header) => in_header(incoming.headers, header).map(str::to_owned),
            Self::Within { header, topic } => {
                let (header, topic) = (in_header(incoming.headers, header)?, in_header(incoming.headers, topic)?);
                Some(format!("{topic} {header}"))
            }
            Self::Body(member) => in_body(incoming.body, member),
        }
    }
}

fn in_header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    only(headers, name).ok().flatten().and_then(id)
}

fn in_body(body: &[u8], member: &'static str) -> Option<String> {
    let found = serde_json::Deserializer::from_slice(body).deserialize_map(Member(member)).ok()??;
    id(found.as_bytes()).map(str::to_owned)
}

/// Finds one member of an object without keeping the others.
struct Member(&'static str);

impl<'de> Visitor<'de> for Member {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_a_body_is_found_at_the_top_only() {
        for (body, expected) in [
            (r#"{"a":{"id":"inner"},"id":"evt_1","object":[1]}"#, Some("evt_1")),
            (r#"{"a":{"id":"inner"}}"#, None),
            (r#"{"id":7}"#, None),
            (r#"{"id":"two words"}"#, None),
            (r#"{"id":""}"#, None),
            (r#"{"id":"evt_1""#, None),
            (r#"["id"]"#, None),
            ("payload=%7B%7D", None),
            ("", None),
        ] {
            assert_eq!(in_body(body.as_bytes(), "id").as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn an_id_that_is_too_long_is_none() {
        let body = |length| format!(r#"{{"id":"{}"}}"#, "x".repeat(length));
        assert!(in_body(body(256).as_bytes(), "id").is_some());
        assert!(in_body(body(257).as_bytes(), "id").is_none());
    }
}
