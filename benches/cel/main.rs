//! The longest time that a post of 1 MiB can take a handler: the most expensive expressions that compile over the most
//! expensive bodies that we could think of: `cargo bench --bench cel`.
//!
//! A measure is all of `Handler::process`: reading the body, making values, all expressions, the result. It is processor
//! time, the best of several runs, since neighbours on the machine would make it longer and not shorter. Options: names of
//! expressions to try alone; `--runs N` (5) of what took longest; `--all` prints every expression.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a bench does not expect ends it")]

mod bodies;
mod expressions;

use std::{fs, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use clap::Parser;
use snaphook::{
    inbound::handler::{Handler, Incoming, Verdict},
    record::endpoint::{self as record, HandlerType},
};

use crate::{
    bodies::Body,
    expressions::{Expression, NOTHING, Role},
};

/// What must hold, and what should.
const AT_LEAST: Duration = Duration::from_millis(100);
const AIM: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Options {
    /// Parts of names of expressions
    names: Vec<String>,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[arg(long)]
    all: bool,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// The longest time of one expression, over all bodies.
struct Longest {
    expression: String,
    body: &'static str,
    time: Duration,
    outcome: &'static str,
}

fn main() {
    let options = Options::parse();
    let bodies = bodies::all();
    let wanted = |expression: &Expression| {
        options.names.is_empty() || options.names.iter().any(|name| expression.name.contains(name.as_str()))
    };
    let mut found: Vec<Longest> = Vec::new();
    let (mut compiling, mut tried) = ((Duration::ZERO, String::new()), 0);
    for expression in expressions::all().iter().filter(|expression| wanted(expression)) {
        let handlers =
            [HandlerType::Json, HandlerType::Raw, HandlerType::CloudEvents].map(|type_| compiled(expression, type_));
        if handlers[0].1 > compiling.0 {
            compiling = (handlers[0].1, expression.name.clone());
        }
        let mut longest: Option<Longest> = None;
        for body in bodies.iter().filter(|body| body.fits(expression)) {
            let handler = match body.type_ {
                HandlerType::Raw => &handlers[1].0,
                HandlerType::CloudEvents => &handlers[2].0,
                _ => &handlers[0].0,
            };
            tried += 1;
            let (time, outcome) = measured(handler, body, options.runs, longest.as_ref().map(|longest| longest.time));
            if longest.as_ref().is_none_or(|longest| longest.time < time) {
                longest = Some(Longest { expression: expression.name.clone(), body: body.name, time, outcome });
            }
        }
        found.extend(longest);
    }
    found.sort_by_key(|longest| core::cmp::Reverse(longest.time));
    print(&found, options.all, tried, &compiling);
}

fn print(found: &[Longest], all: bool, tried: usize, (compiling, name): &(Duration, String)) {
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    println!(
        "{tried} pairs of an expression and a body\n\n| measure | at least | aim | measured | over | ends |\n|---|---|---|---|---|---|"
    );
    let (at_least, aim) = (millis(AT_LEAST), millis(AIM));
    for (place, Longest { expression, body, time, outcome }) in found.iter().enumerate() {
        if place < 12 || all || expression == NOTHING {
            let what = if place == 0 { "longest: " } else { "" };
            println!("| {what}`{expression}` | {at_least} | {aim} | {} | {body} | {outcome} |", millis(*time));
        }
    }
    println!("| compiling `{name}` | | | {} | | |", millis(*compiling));
}

fn compiled(expression: &Expression, type_: HandlerType) -> (Handler, Duration) {
    let mut handler = record::Handler { type_, filter: None, transform: None, key: None };
    match expression.role {
        Role::Filter => handler.filter = Some(expression.source.clone()),
        Role::Transform => handler.transform = Some(expression.source.clone()),
        Role::None => {}
    }
    let before = processor_time();
    let handler = Handler::compile(&handler).unwrap_or_else(|error| panic!("{}: {error}", expression.name));
    (handler, processor_time().saturating_sub(before))
}

/// The best of some runs. One, where it cannot be the longest.
fn measured(handler: &Handler, body: &Body, runs: usize, longest: Option<Duration>) -> (Duration, &'static str) {
    let mut headers = HeaderMap::new();
    for (name, value) in &body.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let incoming = Incoming { headers: &headers, query: &body.query, body: &Bytes::clone(&body.bytes) };
    let (mut best, mut outcome) = (Duration::MAX, "");
    for _ in 0..runs {
        let before = processor_time();
        let result = handler.process(&incoming);
        // Freeing memory is part of it, but that of the result is not.
        best = best.min(processor_time().saturating_sub(before));
        let result = result.unwrap_or_else(|error| panic!("{}: {error}", body.name));
        outcome = result.events.last().map_or("no event", |event| match &event.verdict {
            Verdict::Kept => "kept",
            Verdict::Filtered => "filtered",
            Verdict::Failed(failure) => failure.reason.name(),
        });
        if longest.is_some_and(|longest| best < longest) {
            break;
        }
    }
    (best, outcome)
}

/// Of this thread, so far.
fn processor_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}
