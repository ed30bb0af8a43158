//! What becomes of a message: retries and their ends, edits and deletions of its Webhook, what a call looks like.

use std::{
    fs,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use snaphook::{
    delivery::message::{Message, Phase, State},
    record::endpoint::{HandlerType, InactiveMode, Method, Target},
};

use crate::{
    hooks::{Hooks, SIGNING_SECRET, endpoint, post, secret},
    receiver::{OK, Receiver},
};

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
}

/// One answer after the other; the last one for ever. And when each request came.
fn answering_in_turn(answers: Vec<String>) -> (Receiver, Arc<Mutex<Vec<Instant>>>) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let came = times.clone();
    let receiver = Receiver::start(move |_, wire| {
        let mut came = came.lock().unwrap();
        came.push(Instant::now());
        let answer = answers.get(came.len() - 1).unwrap_or_else(|| answers.last().unwrap());
        wire.write_all(answer.as_bytes()).is_ok()
    });
    (receiver, times)
}

fn reason(message: &Message) -> String {
    match &message.state {
        State::DeadLetter { reason, .. } => reason.as_str().to_owned(),
        state => format!("{state:?}"),
    }
}

#[test]
fn a_receiver_that_says_when_is_called_then_under_the_same_id() {
    let hooks = Hooks::start();
    let later = |code: &str| status(&format!("{code}\r\nRetry-After: 2"));
    let (receiver, times) = answering_in_turn(vec![later("429 X"), later("503 X"), OK.to_owned()]);
    let mut record = endpoint("busy", &receiver.url("/"));
    record.delivery.retry.max_delay_seconds = 60;
    hooks.endpoint(&record);
    let id = hooks.stored(&post("busy"));
    let received = hooks.received(&receiver, 3);
    assert!(received.iter().all(|received| received.header("webhook-id") == [id.as_str()]));
    let times = times.lock().unwrap();
    for pair in times.windows(2) {
        let pause = pair[1].duration_since(pair[0]);
        assert!(pause >= Duration::from_millis(1900), "{pause:?}");
    }
}

#[test]
fn every_message_ends_with_its_reason() {
    let mut hooks = Hooks::start();
    let elsewhere = Receiver::answering(OK);
    let moved = status(&format!("302 Found\r\nLocation: {}", elsewhere.url("/")));
    for (name, answer, reason) in [
        ("gone", status("410 Gone"), "ReceiverGone"),
        ("moved", moved, "Rejected"),
        ("refused", status("400 Bad Request"), "Rejected"),
        ("failing", status("500 X"), "AttemptsExhausted"),
        ("late", status("500 X"), "Expired"),
    ] {
        let receiver = Receiver::answering(answer);
        let mut record = endpoint(name, &receiver.url("/"));
        record.delivery.retry.attempts = if name == "failing" { 3 } else { 1000 };
        record.delivery.expire_after_seconds = if name == "late" { 2 } else { 3600 };
        hooks.endpoint(&record);
        let metric = format!(r#"snaphook_dead_letters_total{{reason="{reason}"}}"#);
        let before = hooks.metric(&metric);
        hooks.stored(&post(name));
        hooks.counts(&metric, before + 1);
        let calls = receiver.received().len();
        assert!(
            match name {
                "failing" => calls == 3,
                "late" => calls >= 1,
                _ => calls == 1,
            },
            "{name}: {calls}"
        );
    }
    assert_eq!(elsewhere.connections(), 0, "a redirect is never followed");
    let denied = Receiver::answering(status("401 Unauthorized"));
    hooks.endpoint(&endpoint("denied", &denied.url("/")));
    hooks.stored(&post("denied"));
    hooks.counts(r#"snaphook_deliveries_total{outcome="CredentialRejected"}"#, 1);
    let reasons: Vec<_> =
        hooks.messages().iter().map(|message| (message.endpoint.name.to_string(), reason(message))).collect();
    for (name, expected) in [
        ("gone", "ReceiverGone"),
        ("moved", "Rejected"),
        ("refused", "Rejected"),
        ("failing", "AttemptsExhausted"),
        ("late", "Expired"),
    ] {
        assert!(reasons.contains(&(name.to_owned(), expected.to_owned())), "{reasons:?}");
    }
    assert_eq!(denied.received().len(), 1, "who refuses the credential is left alone");
}

#[test]
fn messages_of_a_webhook_that_is_deleted_are_dead_letters() {
    let mut hooks = Hooks::start();
    let receiver = Receiver::answering(status("503 X"));
    let stays = Receiver::answering(status("503 X"));
    for (name, receiver) in [("deleted", &receiver), ("stays", &stays)] {
        let mut record = endpoint(name, &receiver.url("/"));
        record.delivery.retry.attempts = 1000;
        hooks.endpoint(&record);
    }
    for _ in 0..50 {
        hooks.stored(&post("deleted"));
    }
    hooks.stored(&post("stays"));
    hooks.received(&receiver, 5);
    hooks.remove_endpoint("deleted");
    assert_eq!(hooks.post("deleted", "").status, 404);
    hooks.counts(r#"snaphook_dead_letters_total{reason="EndpointDeleted"}"#, 50);
    let messages = hooks.messages();
    let (deleted, others): (Vec<_>, Vec<_>) = messages.iter().partition(|message| &*message.endpoint.name == "deleted");
    assert_eq!(deleted.len(), 50);
    assert!(deleted.iter().all(|message| reason(message) == "EndpointDeleted"), "{deleted:?}");
    assert!(others.iter().all(|message| message.state.phase() == Phase::Due), "{others:?}");
}

#[test]
fn records_that_come_late_bury_nobody_and_what_is_queued_goes_out_then() {
    let mut hooks = Hooks::start();
    let (receiver, _) = answering_in_turn(vec![status("503 X\r\nRetry-After: 4"), OK.to_owned()]);
    let held_for = Receiver::answering(OK);
    let mut due = endpoint("due", &receiver.url("/"));
    due.delivery.retry.max_delay_seconds = 60;
    hooks.endpoint(&due);
    let mut held = endpoint("held", &held_for.url("/"));
    (held.active, held.inactive_mode) = (false, InactiveMode::Hold);
    hooks.endpoint(&held);
    hooks.stored(&post("due"));
    hooks.stored(&post("held"));
    hooks.counts(r#"snaphook_deliveries_total{outcome="ServerError"}"#, 1);
    hooks.stop();

    let (records, away) = (hooks.realm.records(), hooks.realm.path().join("away"));
    fs::rename(&records, &away).unwrap();
    hooks.start_without_records();
    let early = hooks.post("due", "");
    assert!(early.status == 503 && early.header("retry-after").is_some(), "nothing is known to be unknown: {early:?}");
    // Longer than a deleted Webhook's messages are left.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(hooks.metric(r#"snaphook_dead_letters_total{reason="EndpointDeleted"}"#), 0);
    fs::rename(&away, &records).unwrap();
    hooks.server().wait_ready();
    hooks.received(&receiver, 2);
    held.active = true;
    hooks.endpoint(&held);
    hooks.received(&held_for, 1);
}

#[test]
fn a_webhook_made_anew_under_the_same_name_gets_no_message_of_the_old_one() {
    let (mut hooks, failing, receiver) =
        (Hooks::start(), Receiver::answering(status("503 X")), Receiver::answering(OK));
    hooks.endpoint(&endpoint("alerts", &failing.url("/")));
    let old = hooks.stored(&post("alerts").body("old"));
    let mut anew = endpoint("alerts", &receiver.url("/"));
    anew.source.uid = "another-uid".to_owned();
    hooks.endpoint(&anew);
    hooks.stored(&post("alerts").body("new"));
    hooks.counts(r#"snaphook_dead_letters_total{reason="EndpointDeleted"}"#, 1);
    assert_eq!(receiver.only().body, b"new");
    let messages = hooks.messages();
    let old = messages.iter().find(|message| message.id.to_string() == old).unwrap();
    assert_eq!(reason(old), "EndpointDeleted");
}

#[test]
fn an_edit_counts_for_what_is_queued() {
    let hooks = Hooks::start();
    let (before, after) = (Receiver::answering(status("503 X")), Receiver::answering(OK));
    let mut record = endpoint("edited", &before.url("/before"));
    hooks.endpoint(&record);
    let id = hooks.stored(&post("edited").body("kept"));
    hooks.received(&before, 1);
    record.delivery.target = Target::Url(after.url("/after"));
    record.delivery.method = Method::Put;
    record.delivery.headers = [("X-Team".to_owned(), "sre".to_owned())].into();
    hooks.endpoint(&record);
    let received = hooks.received(&after, 1).pop().unwrap();
    assert_eq!(received.request_line, "PUT /after HTTP/1.1");
    assert_eq!((received.header("webhook-id"), received.header("x-team")), (vec![id.as_str()], vec!["sre"]));
    assert_eq!(received.body, b"kept");
}

#[test]
fn a_target_that_is_mended_gets_what_waited_for_it() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("service", "");
    record.delivery.target = Target::Unresolved("the Service is not there".to_owned());
    hooks.endpoint(&record);
    hooks.stored(&post("service"));
    hooks.counts(r#"snaphook_messages_held_total{reason="TargetUnresolved"}"#, 1);
    let (host, path) = ("api.ns.svc:8080".to_owned(), "/in".to_owned());
    let (address, port) = (receiver.address.ip(), receiver.address.port());
    record.delivery.target = Target::Service { host, address, port, path };
    hooks.endpoint(&record);
    assert_eq!(hooks.received(&receiver, 1).pop().unwrap().header("host"), ["api.ns.svc:8080"]);
}

#[test]
fn a_signed_call_verifies() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("signed", &receiver.url("/"));
    record.delivery.signing_secrets = vec![secret(SIGNING_SECRET)];
    hooks.endpoint(&record);
    // A sender cannot sign in our name.
    let id =
        hooks.stored(&post("signed").header("webhook-signature", "v1,theirs").header("webhook-id", "x").body("{}"));
    let received = hooks.received(&receiver, 1).pop().unwrap();
    let only = |name: &str| -> String {
        let values = received.header(name);
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        values[0].to_owned()
    };
    assert_eq!(only("webhook-id"), id);
    let key = STANDARD.decode(SIGNING_SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let content = format!("{id}.{}.{{}}", only("webhook-timestamp"));
    let signature = STANDARD.decode(only("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), content.as_bytes(), &signature).unwrap();
}

#[test]
fn a_batch_of_events_is_one_message_an_event() {
    let (mut hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("events", &receiver.url("/"));
    record.handler.type_ = HandlerType::CloudEvents;
    hooks.endpoint(&record);
    let event = |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":  [1]}}"#);
    let batch = |ids: &[&str]| {
        let events: Vec<_> = ids.iter().map(|id| event(id)).collect();
        let post = post("events").header("Content-Type", "application/cloudevents-batch+json");
        hooks.send(&post.body(format!("[{}]", events.join(" , "))))
    };
    let answer = batch(&["a", "b", "c"]);
    let ids = answer.json()["ids"].as_array().expect("ids").len();
    assert_eq!((answer.status, ids), (200, 3), "{answer:?}");
    // Two of these are known.
    assert_eq!(batch(&["b", "d", "c"]).status, 200);
    assert_eq!(batch(&["a", "b"]).status, 200);
    assert_eq!(batch(&[]).status, 200);
    // One that is in it twice.
    assert_eq!(batch(&["e", "e"]).status, 200);
    let received = hooks.received(&receiver, 5);
    let mut bodies: Vec<_> =
        received.iter().map(|received| String::from_utf8(received.body.clone()).unwrap()).collect();
    bodies.sort();
    assert_eq!(bodies, ["a", "b", "c", "d", "e"].map(event), "each with its own bytes");
    let types = received.iter().flat_map(|received| received.header("content-type"));
    assert!(types.into_iter().all(|type_| type_ == "application/cloudevents+json"));
    assert_eq!(hooks.messages().len(), 5);
}
