//! Flow 3, pure: what becomes of a verified post: the events in it, and what the expressions of the handler make of each.
//!
//! # Expressions
//! CEL with its standard library, but for optional values and message types, over
//!
//! | variable | type | what |
//! |---|---|---|
//! | `headers` | map of string | names in lower case; one that came several times joined by `, `; no `Authorization`, no `Cookie`, no signature |
//! | `query` | map of string | parameters of the URL, the first of each name |
//! | `body` | any | `Raw`: string, or bytes where it is not UTF-8. `Json`, `Alertmanager`: the JSON. `CloudEvents`: the event as in structured mode, its `data` a value where it is JSON |
//!
//! All three expressions see what was posted; the filter first, and what it drops is not looked at further. JSON numbers are
//! `int` where they are whole, beyond its range `uint`, else `double`. The keys of a map are gone through in their order.
//!
//! # Time
//! [`Handler::process`] is synchronous and meant for a bounded pool: the aim is 50 ms for whatever fits into 1 MiB, and
//! `cargo bench --bench cel` looks for the worst. What holds it:
//!
//! | bound | where it counts |
//! |---|---|
//! | 4,096 bytes an expression, 500 operators, dots and indexes, 32 brackets around anything, 100 operations on one another | compiling |
//! | no loop (`all`, `exists`, `exists_one`, `map`, `filter`) in another one, be it in its body or its range | compiling |
//! | the standard library: all of it depends on its arguments alone | compiling |
//! | 8 patterns of `matches`, each a literal of 256 bytes at most, whose automata fit into 1 MiB together | compiling |
//! | lists and maps in the input: 10,000 elements each | a post: dead letter `CelInputTooLarge` |
//! | a budget over all expressions and events of one post, for parts evaluated (rounds of a loop times parts of its body), values looked at or copied, and bytes of texts | a post: dead letter `CelTooExpensive` |
//! | the result of a transform: 1 MiB | a post: dead letter `CelError` |
//!
//! The library of CEL has no budget: [`meter`] builds weighing into an expression when it is compiled.

mod alertmanager;
mod budget;
mod check;
mod cloud_events;
mod error;
mod evaluation;
mod expression;
mod incoming;
mod meter;
mod output;
mod pattern;
mod posted;
mod shape;
mod value;
mod verdict;

use core::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;

use self::{
    budget::Budget,
    check::VARIABLES,
    evaluation::Scope,
    expression::Expression,
    pattern::{Pattern, Patterns},
    posted::Posted,
};
use crate::{inbound::trace, record::endpoint as record};

pub use self::{
    error::{Field, HandlerError, Problem},
    incoming::Incoming,
    verdict::{Event, Failure, Invalid, Outcome, Reason, Verdict},
};

/// Longer ordering keys and ids are represented by their hash: they only need to be equal.
const MAX_ID_BYTES: usize = 256;

/// A handler, compiled once and shared by all posts to its endpoint.
pub struct Handler {
    type_: record::HandlerType,
    filter: Option<Expression>,
    transform: Option<Expression>,
    key: Option<Expression>,
    patterns: Arc<[Pattern]>,
    /// Headers that hold a credential, besides those that their name tells.
    hidden: Vec<HeaderName>,
}

impl Handler {
    /// Reads and checks the expressions: for the controller, which tells the user, and for the server.
    ///
    /// Takes some 10 ms for an expression of usual length, 150 ms at most. Recurses: needs 1.5 MiB of stack.
    ///
    /// # Errors
    /// The first expression that is not CEL, or goes beyond the bounds of this module.
    pub fn compile(handler: &record::Handler) -> Result<Self, HandlerError> {
        let mut patterns = Patterns::default();
        let mut compile = |field, source: &Option<String>| {
            source.as_deref().map(|source| Expression::compile(field, source, &mut patterns)).transpose()
        };
        let filter = compile(Field::Filter, &handler.filter)?;
        let transform = compile(Field::Transform, &handler.transform)?;
        let key = compile(Field::Key, &handler.key)?;
        let patterns = patterns.into_all().into();
        Ok(Self { type_: handler.type_, filter, transform, key, patterns, hidden: Vec::new() })
    }

    /// Hides one more header from expressions and receivers: the one that `spec.verification` names.
    #[must_use]
    pub fn hiding(mut self, header: HeaderName) -> Self {
        self.hidden.push(header);
        self
    }

    /// Takes a verified post apart and says what becomes of each event in it.
    ///
    /// # Errors
    /// The post is not what the handler needs. What an expression cannot do is no error but the [`Verdict`] of an event.
    pub fn process(&self, incoming: &Incoming<'_>) -> Result<Outcome, Invalid> {
        let posted = posted::read(self.type_, incoming)?;
        let passed = Arc::new(self.passed(incoming.headers));
        let budget = Budget::new();
        let scope = self.has_expressions().then(|| self.scope(incoming, &budget)).transpose();
        let one = |posted| {
            let made = match &scope {
                Ok(Some(scope)) => self.evaluate(scope, posted),
                Ok(None) => Ok(Some(Made::default())),
                Err(failure) => Err(failure.clone()),
            };
            event(posted, made, &passed)
        };
        Ok(Outcome { events: posted.iter().map(one).collect() })
    }

    /// Headers that go to the receiver.
    fn passed(&self, headers: &HeaderMap) -> HeaderMap {
        let own = |name: &HeaderName| [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
        let is_traced = trace::trace_id(headers).is_some();
        let stays =
            |name| own(name) || incoming::is_credential(name, &self.hidden) || !is_traced && trace::is_about(name);
        let passed = headers.iter().filter(|(name, _)| !stays(name));
        passed.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn scope<'v>(&self, incoming: &Incoming<'v>, budget: &'v Budget) -> Result<Scope<'v>, Failure> {
        Scope::new(incoming, self.reads(), &self.hidden, &self.patterns, budget)
    }

    /// Runs the expressions. None: the filter says no.
    fn evaluate<'v>(&self, scope: &Scope<'v>, posted: &'v Posted<'_>) -> Result<Option<Made>, Failure> {
        let evaluation = scope.over(posted)?;
        if let Some(filter) = &self.filter
            && !evaluation.result(Field::Filter, filter, output::verdict)?
        {
            return Ok(None);
        }
        let key = self.key.as_ref().map(|key| evaluation.result(Field::Key, key, output::key)).transpose()?;
        let transform = self.transform.as_ref();
        let body =
            transform.map(|transform| evaluation.result(Field::Transform, transform, output::json)).transpose()?;
        Ok(Some(Made { body, key }))
    }

    /// Whether there is more to do than to read the post: then it is work for a pool.
    #[must_use]
    pub fn has_expressions(&self) -> bool {
        self.expressions().next().is_some()
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        [&self.filter, &self.transform, &self.key].into_iter().flatten()
    }

    fn reads(&self) -> [bool; VARIABLES.len()] {
        let mut reads = [false; VARIABLES.len()];
        for (place, read) in reads.iter_mut().enumerate() {
            *read = self.expressions().any(|expression| expression.reads[place]);
        }
        reads
    }
}

/// What the expressions made of an event.
#[derive(Default)]
struct Made {
    body: Option<Bytes>,
    key: Option<String>,
}

fn event(posted: &Posted<'_>, result: Result<Option<Made>, Failure>, passed: &Arc<HeaderMap>) -> Event {
    let (made, verdict) = match result {
        Ok(Some(made)) => (made, Verdict::Kept),
        Ok(None) => (Made::default(), Verdict::Filtered),
        Err(failure) => (Made::default(), Verdict::Failed(failure)),
    };
    let key = made.key.or_else(|| posted.key.clone()).map(bounded);
    let dedupe_id = posted.dedupe_id.clone().map(bounded);
    let (body, content_type, headers) = match made.body {
        Some(body) => {
            let json = HeaderValue::from_static("application/json");
            let mut headers = posted.attributes.clone();
            let about_trace = passed.iter().filter(|(name, _)| trace::is_about(name));
            headers.extend(about_trace.map(|(name, value)| (name.clone(), value.clone())));
            (body, Some(json), Arc::new(headers))
        }
        None => (posted.raw.clone(), posted.content_type.clone(), Arc::clone(passed)),
    };
    Event { body, content_type, headers, key, dedupe_id, verdict }
}

fn bounded(id: String) -> String {
    if id.len() <= MAX_ID_BYTES {
        return id;
    }
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
    let hex: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

impl fmt::Debug for Handler {
    /// Without the expressions: they may hold what nobody should read in a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Handler")
            .field("type", &self.type_)
            .field("filter", &self.filter.is_some())
            .field("transform", &self.transform.is_some())
            .field("key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
