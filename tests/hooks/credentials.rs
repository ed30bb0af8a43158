//! Credentials on the way out: where they stand on the wire, and that the record of the moment counts at each attempt.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use snaphook::{
    delivery::{
        inject::value_of,
        message::{Message, State},
    },
    record::{EndpointRecord, Location, endpoint::OnMissingCredential},
};

use crate::{
    hooks::{Hooks, credential, endpoint, post},
    receiver::{OK, Receiver},
};

const UNAVAILABLE: &str = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n";

fn with_credential(name: &str, url: &str, on_missing: OnMissingCredential) -> EndpointRecord {
    let mut record = endpoint(name, url);
    record.delivery.credential = Some("pager".to_owned());
    record.delivery.on_missing_credential = on_missing;
    record.delivery.retry.attempts = 100;
    record
}

#[test]
fn the_examples_stand_on_the_wire_byte_for_byte() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&with_credential("alerts", &receiver.url("/"), OnMissingCredential::DeadLetter));
    for (count, (secret, location, line, header)) in [
        (None, Location::Header, "POST / HTTP/1.1", Some("clientid: link")),
        (None, Location::QueryParam, "POST /?clientid=link HTTP/1.1", None),
        (Some("epona"), Location::Header, "POST / HTTP/1.1", Some("clientid: bGlua2Vwb25h")),
        (Some("epona"), Location::QueryParam, "POST /?clientid=bGlua2Vwb25h HTTP/1.1", None),
    ]
    .into_iter()
    .enumerate()
    {
        hooks.credential(&credential("pager", location, value_of("link", secret).unwrap().expose()));
        hooks.stored(&post("alerts").body("{}"));
        let received = hooks.received(&receiver, count + 1).pop().unwrap();
        assert_eq!(received.request_line, line);
        let lines: Vec<_> =
            received.headers.iter().filter(|line| line.to_lowercase().starts_with("clientid")).collect();
        assert_eq!(lines, header.iter().collect::<Vec<_>>());
    }
}

#[test]
fn what_the_sender_says_under_that_name_is_replaced() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&with_credential(
        "alerts",
        &receiver.url("/?%63lientid=x&a=b&clientid=y"),
        OnMissingCredential::Hold,
    ));
    let theirs =
        || post("alerts").header("ClientId", "theirs").header("CLIENTID", "theirs").header("client-id", "stays");
    hooks.credential(&credential("pager", Location::Header, "link"));
    hooks.stored(&theirs().header("Connection", "close, clientid"));
    let received = hooks.received(&receiver, 1).pop().unwrap();
    assert_eq!((received.header("clientid"), received.header("client-id")), (vec!["link"], vec!["stays"]));
    hooks.credential(&credential("pager", Location::QueryParam, "link"));
    hooks.stored(&theirs());
    let received = hooks.received(&receiver, 2).pop().unwrap();
    assert_eq!(received.request_line, "POST /?clientid=link&a=b HTTP/1.1");
}

#[test]
fn an_edit_a_deletion_and_a_new_one_count_from_the_next_attempt_on() {
    let mut hooks = Hooks::start();
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let receiver = Receiver::start(move |_, wire| {
        let answer = if is_well.load(SeqCst) { OK } else { UNAVAILABLE };
        wire.write_all(answer.as_bytes()).is_ok()
    });
    hooks.endpoint(&with_credential("alerts", &receiver.url("/"), OnMissingCredential::SendUnauthenticated));
    hooks.credential(&credential("pager", Location::Header, "first"));
    let id = hooks.stored(&post("alerts"));
    let last = |expected: &[&str]| {
        let last = || receiver.received().last().is_some_and(|last| last.header("clientid") == expected);
        hooks.server().wait_until(&format!("sent with {expected:?}"), last);
    };
    last(&["first"]);
    hooks.credential(&credential("pager", Location::Header, "second"));
    last(&["second"]);
    hooks.remove_credential("pager");
    last(&[]);
    hooks.credential(&credential("pager", Location::Header, "third"));
    last(&["third"]);
    well.store(true, SeqCst);
    hooks.counts(r#"snaphook_deliveries_total{outcome="Delivered"}"#, 1);
    let received = receiver.received();
    assert!(received.iter().all(|received| received.header("webhook-id") == [id.as_str()]), "{received:?}");
    // A rotated value is not sent once more.
    let values: Vec<_> = received.iter().flat_map(|received| received.header("clientid")).collect();
    assert!(
        values.is_sorted_by_key(|value| ["first", "second", "third"].iter().position(|known| known == value)),
        "{values:?}"
    );
    let messages = hooks.messages();
    assert!(matches!(messages[0].state, State::Delivered { .. }), "{messages:?}");
    assert_eq!(messages[0].attempts as usize, received.len());
}

#[test]
fn without_its_credential_a_message_goes_out_bare_waits_or_ends_as_declared() {
    let (mut hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    for (name, mode) in [
        ("bare", OnMissingCredential::SendUnauthenticated),
        ("waits", OnMissingCredential::Hold),
        ("ends", OnMissingCredential::DeadLetter),
    ] {
        hooks.endpoint(&with_credential(name, &receiver.url(&format!("/{name}")), mode));
        hooks.stored(&post(name));
    }
    hooks.counts(r#"snaphook_messages_held_total{reason="CredentialMissing"}"#, 1);
    hooks.counts(r#"snaphook_dead_letters_total{reason="CredentialMissing"}"#, 1);
    let bare = hooks.received(&receiver, 1).pop().unwrap();
    assert_eq!((bare.request_line.as_str(), bare.header("clientid").len()), ("POST /bare HTTP/1.1", 0));
    hooks.stop();
    hooks.start_again(&[]);
    hooks.credential(&credential("pager", Location::Header, "link"));
    let waited = hooks.received(&receiver, 2).pop().unwrap();
    assert_eq!((waited.request_line.as_str(), waited.header("clientid")), ("POST /waits HTTP/1.1", vec!["link"]));
    let messages = hooks.messages();
    let of = |name: &str| messages.iter().find(|message| &*message.endpoint.name == name).unwrap();
    let log = |message: &Message| format!("{:?}", message.log);
    assert!(log(of("bare")).contains("No Auth"), "{messages:?}");
    assert!(!log(of("waits")).contains("No Auth"), "{messages:?}");
    assert!(format!("{:?}", of("ends").state).contains("CredentialMissing"), "{messages:?}");
    assert_eq!(of("ends").attempts, 0);
}

#[test]
fn a_credential_that_comes_and_goes_leaves_nothing_held() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&with_credential("waits", &receiver.url("/"), OnMissingCredential::Hold));
    for count in 1..=10 {
        hooks.stored(&post("waits"));
        hooks.credential(&credential("pager", Location::Header, &format!("value-{count}")));
        hooks.received(&receiver, count);
        hooks.remove_credential("pager");
    }
}
