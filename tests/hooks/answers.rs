//! What a post is answered, row by row of the table of outcomes: what is stored, known, dropped, unknown or no post at all.

use snaphook::record::endpoint::{HandlerType, Verification};

use crate::{
    hooks::{Hooks, endpoint, github, path, post, url_id, verified},
    realm::in_seconds,
    receiver::{OK, Receiver},
    request::{Request, Response},
};

/// All of an answer but its date.
fn without_date(mut response: Response) -> String {
    response.headers.retain(|(name, _)| name != "date");
    format!("{response:?}")
}

#[test]
fn what_is_stored_is_answered_with_its_id_and_delivered_as_it_came() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&endpoint("raw", &receiver.url("/in?a=b")));
    let body = "\u{0} any \r\n bytes \u{fffd}";
    let request = post("raw").header("Content-Type", "text/x-odd; a=b").header("X-Event", "push").body(body);
    let id = hooks.stored(&request);
    assert!(id.starts_with("msg_"), "{id}");
    let received = hooks.received(&receiver, 1).remove(0);
    assert_eq!(received.request_line, "POST /in?a=b HTTP/1.1");
    assert_eq!(received.body, body.as_bytes());
    assert_eq!(received.header("webhook-id"), [id]);
    assert_eq!(received.header("content-type"), ["text/x-odd; a=b"]);
    assert_eq!(received.header("x-event"), ["push"]);
    hooks.counts(r#"snaphook_hook_posts_total{outcome="stored"}"#, 1);
}

#[test]
fn a_query_changes_nothing_in_the_look_up() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&endpoint("raw", &receiver.url("/in")));
    for query in ["?", "?id=other", "?/hooks/other", "?%ff&&=", "?a=b?c=d"] {
        hooks.stored(&Request::new("POST", &(path("raw") + query)));
    }
    for received in hooks.received(&receiver, 5) {
        assert_eq!(received.request_line, "POST /in HTTP/1.1", "the sender's query is not the receiver's");
    }
}

#[test]
fn a_repeated_post_is_answered_as_the_first_and_delivered_once_after_a_restart_too() {
    let (mut hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&verified("repo", &receiver.url("/"), Verification::GitHub));
    let id = hooks.stored(&github("repo", "one", "{}"));
    assert_eq!(hooks.stored(&github("repo", "one", "{}")), id);
    let other_body = hooks.stored(&github("repo", "one", "{ }"));
    let other_delivery = hooks.stored(&github("repo", "two", "{}"));
    assert!(id != other_body && id != other_delivery);
    hooks.counts(r#"snaphook_hook_posts_total{outcome="duplicate"}"#, 1);
    hooks.received(&receiver, 3);
    hooks.stop();
    hooks.start_again(&[]);
    assert_eq!(hooks.stored(&github("repo", "one", "{}")), id);
    hooks.kill();
    hooks.start_again(&[]);
    assert_eq!(hooks.stored(&github("repo", "one", "{}")), id);
    hooks.stored(&github("repo", "three", "{}"));
    assert_eq!(hooks.received(&receiver, 4).len(), 4);
}

#[test]
fn what_the_filter_drops_is_answered_as_if_it_were_taken() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("firing", &receiver.url("/"));
    record.handler.type_ = HandlerType::Json;
    record.handler.filter = Some("body.status == 'firing'".to_owned());
    hooks.endpoint(&record);
    let dropped = hooks.post("firing", r#"{"status":"resolved"}"#);
    assert_eq!((dropped.status, dropped.json()["id"].is_null()), (200, true), "{dropped:?}");
    hooks.counts(r#"snaphook_hook_posts_total{outcome="filtered"}"#, 1);
    hooks.stored(&post("firing").body(r#"{"status":"firing"}"#));
    assert_eq!(hooks.received(&receiver, 1).remove(0).body, br#"{"status":"firing"}"#);
}

#[test]
fn an_expression_that_fails_is_a_dead_letter_and_no_refusal() {
    let (mut hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("wrong", &receiver.url("/"));
    record.handler.type_ = HandlerType::Json;
    record.handler.transform = Some("{'text': body.missing}".to_owned());
    hooks.endpoint(&record);
    hooks.stored(&post("wrong").body("{}"));
    hooks.counts(r#"snaphook_dead_letters_total{reason="CelError"}"#, 1);
    let messages = hooks.messages();
    let state = format!("{:?}", messages[0].state);
    assert!(messages.len() == 1 && state.contains("CelError"), "{state}");
    assert!(receiver.received().is_empty());
}

#[test]
fn every_unknown_id_is_answered_alike() {
    let hooks = Hooks::start();
    let mut record = endpoint("known", "https://receiver.example.net/");
    record.urls[0].not_after = Some(in_seconds(-1));
    hooks.endpoint(&record);
    let unknown = hooks.send(&Request::new("POST", "/hooks/nobody"));
    assert_eq!((unknown.status, unknown.json()["error"].as_str()), (404, Some("not_found")));
    let expected = without_date(unknown);
    let long = "x".repeat(8_000);
    let near = &url_id("known")[1..];
    for id in [&url_id("known"), near, "%00", "%ff", "%2e%2e", "a%2Fb", "\u{e9}", "*", ".", "..", &long] {
        for method in ["POST", "GET", "OPTIONS", "PUT"] {
            let request = Request::new(method, &format!("/hooks/{id}"));
            let request = request.header("WebHook-Request-Origin", "sender.example.com").body("{}");
            assert_eq!(without_date(hooks.send(&request)), expected, "{method} {id}");
        }
    }
    for path in ["/hooks", "/hooks/", "/hooks//", "/hooks/a/b", "//hooks/a", "/hooks/nobody/"] {
        assert_eq!(hooks.send(&Request::new("POST", path)).status, 404, "{path}");
    }
    let metrics = hooks.server().probe("/metrics").body;
    assert!(!metrics.contains("nobody") && !metrics.contains("/hooks"), "{metrics}");
}

#[test]
fn an_older_url_counts_until_its_time_is_over() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("rotated", &receiver.url("/"));
    let mut newer = record.urls[0].clone();
    record.urls[0].not_after = Some(in_seconds(60));
    newer.id = url_id("newer").into();
    record.urls.push(newer);
    hooks.endpoint(&record);
    hooks.stored(&post("rotated"));
    hooks.stored(&post("newer"));
    record.urls[0].not_after = Some(in_seconds(0));
    hooks.endpoint(&record);
    assert_eq!(hooks.post("rotated", "").status, 404);
    hooks.stored(&post("newer"));
}

#[test]
fn only_a_post_is_one() {
    let hooks = Hooks::start();
    hooks.endpoint(&endpoint("raw", "https://receiver.example.net/"));
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer = hooks.send(&Request::new(method, &path("raw")));
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
}

#[test]
fn a_sender_of_cloud_events_learns_that_it_may_send() {
    let hooks = Hooks::start();
    let mut record = endpoint("events", "https://receiver.example.net/");
    record.handler.type_ = HandlerType::CloudEvents;
    record.limits.posts_per_second = Some(2);
    hooks.endpoint(&record);
    let ask = Request::new("OPTIONS", &path("events")).header("WebHook-Request-Origin", "sender.example.com");
    let answer = hooks.send(&ask.header("WebHook-Request-Rate", "1000"));
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    for (name, value) in [
        ("allow", "OPTIONS, POST"),
        ("webhook-allowed-origin", "sender.example.com"),
        ("webhook-allowed-rate", "120"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
}

const EVENT: &str = "application/cloudevents+json";

#[test]
fn what_the_handler_cannot_read_is_refused() {
    let hooks = Hooks::start();
    for (name, type_) in
        [("json", HandlerType::Json), ("events", HandlerType::CloudEvents), ("alerts", HandlerType::Alertmanager)]
    {
        let mut record = endpoint(name, "https://receiver.example.net/");
        record.handler.type_ = type_;
        hooks.endpoint(&record);
    }
    let canary = r#"{"canary-in-body":"#;
    for (name, content_type, body, status) in [
        ("json", "application/json", canary, 400),
        ("json", "application/json", "", 400),
        ("json", "application/json", "\u{fffd}{}", 400),
        ("json", "text/csv", "a,b", 415),
        ("events", EVENT, canary, 400),
        ("events", EVENT, r#"{"specversion":"1.0"}"#, 400),
        ("events", EVENT, r#"{"specversion":"9","id":"1","source":"s","type":"t"}"#, 400),
        ("events", "application/cloudevents-batch+json", "{}", 400),
        ("events", "application/cloudevents+avro", "x", 415),
        ("events", "application/json", "{}", 415),
        ("alerts", "application/json", "{}", 400),
        ("alerts", "application/json", canary, 400),
        ("alerts", "text/plain", "{}", 415),
    ] {
        let answer = hooks.send(&post(name).header("Content-Type", content_type).body(body));
        assert_eq!((answer.status, answer.error().as_str()), (status, "invalid_request"), "{name} {body} {answer:?}");
        assert!(!answer.body.contains("canary"), "{}", answer.body);
    }
}
