//! Flow 3, pure: `CloudEvents` 1.0 in the three modes of their HTTP binding.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Invalid,
    incoming::{ATTRIBUTE_PREFIX, Incoming, is_json},
    posted::{self, Content, Posted},
};

/// More events in one batch are refused: they are stored in one write.
const MAX_BATCH: usize = 10_000;
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// The required attributes (CloudEvents 1.0.2, section "Required Attributes").
#[derive(Deserialize)]
struct Required<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    specversion: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    type_: Cow<'a, str>,
}

impl Required<'_> {
    /// What tells two deliveries of one event: producers keep `source` and `id` together unique.
    fn dedupe_id(&self) -> Result<String, Invalid> {
        let all =
            [("id", &self.id), ("source", &self.source), ("specversion", &self.specversion), ("type", &self.type_)];
        if let Some((name, _)) = all.iter().find(|(_, value)| value.is_empty()) {
            return Err(Invalid::Body(format!("the event has no attribute `{name}`").into()));
        }
        if self.specversion != "1.0" {
            return Err(Invalid::Body("the `specversion` of the event is not 1.0".into()));
        }
        // The length, so that no two pairs read alike.
        Ok(format!("{}:{}{}", self.source.len(), self.source, self.id))
    }
}

/// Reads the events of a post. Its media type says the mode; where it is another, headers with `ce-` mean the binary one.
///
/// # Errors
/// Neither mode, or an event without a required attribute. A batch is refused as a whole: it is one commit.
pub(super) fn read<'a>(incoming: &Incoming<'a>) -> Result<Vec<Posted<'a>>, Invalid> {
    match incoming.media_type().as_deref() {
        Some(STRUCTURED) => {
            let content = Content::json(incoming.body.as_ref())?;
            let dedupe_id = Some(required(incoming.body)?.dedupe_id()?);
            Ok(vec![Posted { dedupe_id, ..posted::whole(incoming, content) }])
        }
        Some(BATCH) => batch(incoming),
        Some(other) if other.starts_with("application/cloudevents") => {
            Err(Invalid::MediaType("of the formats of CloudEvents only JSON is read".into()))
        }
        _ if incoming.headers.keys().any(|name| name.as_str().starts_with(ATTRIBUTE_PREFIX)) => {
            Ok(vec![binary(incoming)?])
        }
        _ => Err(Invalid::MediaType(
            "send CloudEvents as Content-Type: application/cloudevents+json, or their attributes as headers `ce-…`"
                .into(),
        )),
    }
}

fn required(event: &[u8]) -> Result<Required<'_>, Invalid> {
    const PROBLEM: &str = "the event is not an object, or a required attribute is not a text, or comes twice";
    posted::object(event).map_err(|_| Invalid::Body(PROBLEM.into()))
}

/// Each event keeps its bytes, and becomes one in structured mode.
fn batch<'a>(incoming: &Incoming<'a>) -> Result<Vec<Posted<'a>>, Invalid> {
    let events: Vec<&'a RawValue> = serde_json::from_slice(incoming.body).map_err(|error| {
        let reason = if error.is_data() { "is not a list".to_owned() } else { format!("is not JSON: {error}") };
        Invalid::Body(format!("the batch {reason}").into())
    })?;
    if events.len() > MAX_BATCH {
        return Err(Invalid::Body(format!("the batch has more than {MAX_BATCH} events").into()));
    }
    let event = |event: &&'a RawValue| {
        let json = event.get().as_bytes();
        let content = Content::json(json)?;
        let dedupe_id = Some(required(json)?.dedupe_id()?);
        let (raw, content_type) = (incoming.body.slice_ref(json), Some(HeaderValue::from_static(STRUCTURED)));
        Ok(Posted { raw, content_type, dedupe_id, ..posted::whole(incoming, content) })
    };
    events.iter().map(event).collect()
}

/// Attributes are headers, and the body is the data. Expressions see both as in structured mode, and data in JSON as a value.
fn binary<'a>(incoming: &Incoming<'a>) -> Result<Posted<'a>, Invalid> {
    let mut attributes = Vec::new();
    let mut headers = HeaderMap::new();
    for (name, value) in incoming.headers {
        let Some(attribute) = name.as_str().strip_prefix(ATTRIBUTE_PREFIX) else { continue };
        attributes.push((attribute.to_owned(), decoded(value)?));
        headers.insert(name.clone(), value.clone());
    }
    let of = |name| attributes.iter().rev().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let (id, source, specversion, type_) = (of("id"), of("source"), of("specversion"), of("type"));
    let required =
        Required { id: id.into(), source: source.into(), specversion: specversion.into(), type_: type_.into() };
    let dedupe_id = Some(required.dedupe_id()?);
    let data = data(incoming)?;
    if let Some(content_type) = incoming.headers.get(header::CONTENT_TYPE) {
        attributes.push(("datacontenttype".to_owned(), String::from_utf8_lossy(content_type.as_bytes()).into_owned()));
    }
    let content = Content::CloudEvent(attributes, Box::new(data));
    Ok(Posted { attributes: headers, dedupe_id, ..posted::whole(incoming, content) })
}

fn data<'a>(incoming: &Incoming<'a>) -> Result<Content<'a>, Invalid> {
    let json = incoming.media_type().is_some_and(|media_type| is_json(&media_type));
    if json && !incoming.body.is_empty() {
        Content::json(incoming.body.as_ref())
    } else {
        Ok(Content::opaque(incoming.body))
    }
}

/// What is not printable ASCII is percent-encoded UTF-8 (HTTP Protocol Binding 1.0.2, section 3.1.3.2).
fn decoded(value: &HeaderValue) -> Result<String, Invalid> {
    let decoded = percent_encoding::percent_decode(value.as_bytes()).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| Invalid::Body("an attribute of the event is not UTF-8".into()))
}
