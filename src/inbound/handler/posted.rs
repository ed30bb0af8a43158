//! Flow 3, pure: the events in a post, read as the type of the handler says.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use serde::Deserialize;

use super::{
    Invalid, alertmanager, cloud_events,
    incoming::{Incoming, is_json},
    shape::Shape,
    value::{self, Value},
};
use crate::record::endpoint::HandlerType;

/// One event of a post.
pub(super) struct Posted<'a> {
    /// Its bytes, as they came.
    pub(super) raw: Bytes,
    pub(super) content_type: Option<HeaderValue>,
    /// Headers that belong to it whatever becomes of its body.
    pub(super) attributes: HeaderMap,
    pub(super) content: Content<'a>,
    /// The ordering key where the handler declares none.
    pub(super) key: Option<String>,
    pub(super) dedupe_id: Option<String>,
}

/// `body` in expressions.
pub(super) enum Content<'a> {
    Json(Cow<'a, [u8]>, Shape),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// In binary mode: the attributes, and `data`.
    CloudEvent(Vec<(String, String)>, Box<Content<'a>>),
}

impl<'a> Content<'a> {
    /// # Errors
    /// Not JSON.
    pub(super) fn json(json: impl Into<Cow<'a, [u8]>>) -> Result<Self, Invalid> {
        let json = json.into();
        let shape = Shape::of(&json).map_err(|error| Invalid::Body(format!("the body is not JSON: {error}").into()))?;
        Ok(Self::Json(json, shape))
    }

    pub(super) fn opaque(bytes: &'a [u8]) -> Self {
        str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::Text)
    }

    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Json(_, shape) => *shape,
            Self::Text(_) | Self::Bytes(_) => Shape { longest: 0, values: 1, maps: 0 },
            Self::CloudEvent(attributes, data) => {
                let Shape { longest, values, maps } = data.shape();
                Shape { longest: longest.max(attributes.len()), values: values + attributes.len(), maps: maps + 1 }
            }
        }
    }

    /// # Errors
    /// Never: it was read as JSON before.
    pub(super) fn value(&self) -> Result<Value<'_>, serde_json::Error> {
        match self {
            Self::Json(json, _) => value::from_json(json),
            Self::Text(text) => Ok(value::text(*text)),
            Self::Bytes(bytes) => Ok(value::bytes(bytes)),
            Self::CloudEvent(attributes, data) => {
                let texts = attributes.iter().map(|(name, text)| (name.as_str().into(), value::text(text.as_str())));
                let data = ("data".into(), data.value()?);
                Ok(value::map(texts.chain([data])))
            }
        }
    }
}

/// Reads a post.
///
/// # Errors
/// It is not what the handler needs.
pub(super) fn read<'a>(type_: HandlerType, incoming: &Incoming<'a>) -> Result<Vec<Posted<'a>>, Invalid> {
    if type_ != HandlerType::Raw {
        incoming.readable()?;
    }
    match type_ {
        HandlerType::Raw => Ok(vec![whole(incoming, Content::opaque(incoming.body))]),
        HandlerType::Json => Ok(vec![whole(incoming, json(incoming)?)]),
        HandlerType::CloudEvents => cloud_events::read(incoming),
        HandlerType::Alertmanager => Ok(vec![alertmanager::read(incoming)?]),
    }
}

/// A post that is one event.
pub(super) fn whole<'a>(incoming: &Incoming<'a>, content: Content<'a>) -> Posted<'a> {
    Posted {
        raw: incoming.body.clone(),
        content_type: incoming.headers.get(header::CONTENT_TYPE).cloned(),
        attributes: HeaderMap::new(),
        content,
        key: None,
        dedupe_id: None,
    }
}

/// Some members of a JSON object.
///
/// # Errors
/// Not an object, or without them. The error may quote the text.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, serde_json::Error> {
    // A derived reader takes a list of the members' values as well.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(serde::de::Error::custom("not an object"));
    }
    serde_json::from_slice(json)
}

/// JSON, or the form in which GitHub sends it where the hook is set up so.
fn json<'a>(incoming: &Incoming<'a>) -> Result<Content<'a>, Invalid> {
    match incoming.media_type() {
        None => Content::json(incoming.body.as_ref()),
        Some(media_type) if is_json(&media_type) => Content::json(incoming.body.as_ref()),
        Some(media_type) if media_type == "application/x-www-form-urlencoded" => form(incoming.body),
        Some(_) => Err(Invalid::MediaType("send the body as Content-Type: application/json".into())),
    }
}

/// The parameter `payload` of a form.
fn form(body: &[u8]) -> Result<Content<'_>, Invalid> {
    let payload = form_urlencoded::parse(body).find(|(name, _)| name == "payload");
    let (_, payload) = payload.ok_or(Invalid::Body("the form has no parameter `payload` with JSON in it".into()))?;
    Content::json(match payload {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}
