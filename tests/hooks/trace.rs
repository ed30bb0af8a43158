//! The trace of a sender goes on to the receiver and into the log. None is invented.

use snaphook::record::endpoint::HandlerType;

use crate::{
    hooks::{Hooks, endpoint, post},
    receiver::{OK, Receiver},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn parent() -> String {
    format!("00-{TRACE}-b7ad6b7169203331-01")
}

#[test]
fn a_trace_goes_on_as_it_came_and_is_in_the_log() {
    let (hooks, receiver, refusing) =
        (Hooks::start(), Receiver::answering(OK), Receiver::answering("HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n"));
    hooks.endpoint(&endpoint("raw", &receiver.url("/")));
    hooks.endpoint(&endpoint("refused", &refusing.url("/")));
    let mut made = endpoint("made", &receiver.url("/"));
    (made.handler.type_, made.handler.transform) = (HandlerType::Json, Some("{'a': 1}".to_owned()));
    hooks.endpoint(&made);
    let traced = |name: &str| {
        let post = post(name).header("traceparent", &parent()).header("tracestate", "a=1").header("Tracestate", "b=2");
        hooks.stored(&post.header("X-Other", "1").body("{}"))
    };
    let (raw, made) = (traced("raw"), traced("made"));
    for received in hooks.received(&receiver, 2) {
        assert_eq!(received.header("traceparent"), [parent()], "{received:?}");
        assert_eq!(received.header("tracestate"), ["a=1", "b=2"], "{received:?}");
        assert_eq!(received.header("x-other").len(), usize::from(received.header("webhook-id") == [raw.as_str()]));
    }
    let refused = traced("refused");
    for (id, words) in
        [(&raw, "stored"), (&raw, "delivered"), (&made, "delivered"), (&refused, "a message is a dead letter")]
    {
        let is_it = |line: &str| [id.as_str(), words, TRACE].iter().all(|part| line.contains(part));
        hooks.server().wait_until(&format!("logged {words}"), || hooks.server().log().lines().any(is_it));
    }
}

#[test]
fn what_is_no_trace_does_not_go_on_and_nothing_takes_its_place() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&endpoint("raw", &receiver.url("/")));
    let with = |headers: &[(&str, &str)]| {
        let post = headers.iter().fold(post("raw"), |post, (name, value)| post.header(name, value));
        hooks.stored(&post)
    };
    with(&[]);
    with(&[("traceparent", "00-0-0-01"), ("tracestate", "a=1")]);
    with(&[("tracestate", "a=1")]);
    with(&[("traceparent", &parent()), ("Traceparent", &parent()), ("tracestate", "a=1")]);
    for received in hooks.received(&receiver, 4) {
        assert!(received.header("traceparent").is_empty() && received.header("tracestate").is_empty(), "{received:?}");
    }
    assert!(!hooks.server().log().contains("trace_id="));
}
