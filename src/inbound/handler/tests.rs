//! Handlers as those who use them see them.

mod arbitrary;
mod compiling;
mod evaluating;
mod types;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::{Event, Handler, HandlerError, Incoming, Invalid, Verdict, record};
use crate::record::endpoint::HandlerType;

/// A handler of a type without expressions.
fn record(type_: HandlerType) -> record::Handler {
    record::Handler { type_, filter: None, transform: None, key: None }
}

fn filter(type_: HandlerType, filter: &str) -> record::Handler {
    record::Handler { filter: Some(filter.to_owned()), ..record(type_) }
}

fn transform(type_: HandlerType, transform: &str) -> record::Handler {
    record::Handler { transform: Some(transform.to_owned()), ..record(type_) }
}

fn key(type_: HandlerType, key: &str) -> record::Handler {
    record::Handler { key: Some(key.to_owned()), ..record(type_) }
}

/// A post, owned.
#[derive(Clone, Debug, Default)]
struct Post {
    headers: HeaderMap,
    query: String,
    body: Bytes,
}

impl Post {
    fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { body: Bytes::from(body.into()), ..Self::default() }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    fn content_type(self, value: &'static str) -> Self {
        self.header("content-type", value)
    }

    fn query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    fn to(&self, handler: &record::Handler) -> Result<Vec<Event>, Invalid> {
        self.to_compiled(&Handler::compile(handler).unwrap())
    }

    fn to_compiled(&self, handler: &Handler) -> Result<Vec<Event>, Invalid> {
        let incoming = Incoming { headers: &self.headers, query: &self.query, body: &self.body };
        handler.process(&incoming).map(|outcome| outcome.events)
    }

    /// To a handler whose posts are one event each.
    fn one(&self, handler: &record::Handler) -> Event {
        let mut events = self.to(handler).unwrap();
        assert_eq!(events.len(), 1);
        events.remove(0)
    }
}

fn text(event: &Event) -> &str {
    str::from_utf8(&event.body).unwrap()
}

fn refusal(handler: &record::Handler) -> HandlerError {
    Handler::compile(handler).err().unwrap_or_else(|| panic!("compiled: {handler:?}"))
}

fn failure(event: &Event) -> String {
    match &event.verdict {
        Verdict::Failed(failure) => failure.to_string(),
        verdict => panic!("{verdict:?}"),
    }
}
