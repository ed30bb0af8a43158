use std::{sync::Arc, time::Instant};

use super::{Ambiguity, Document, Notice, Problem, Records, Refusal, fixture};
use crate::{
    record::{Kind, RecordError},
    store::{Counts, Needs, Snapshot},
};

fn set_client(records: &mut Records, source: &str, json: &str) {
    records.set(source, [Document { key: "record.json", content: Ok((Kind::Client, json.as_bytes())) }]);
}

fn set_keys(records: &mut Records, source: &str, json: &str) {
    records.set(source, [Document { key: "record.json", content: Ok((Kind::SigningKeys, json.as_bytes())) }]);
}

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    let mut ids: Vec<&str> = snapshot.clients.keys().map(AsRef::as_ref).collect();
    ids.sort_unstable();
    ids
}

/// Two clients and the keys, already published.
fn published() -> Records {
    let mut records = Records::new(Needs::Everything);
    set_client(&mut records, "secret-a", &fixture::client("ns.a"));
    set_client(&mut records, "secret-b", &fixture::client("ns.b"));
    set_keys(&mut records, "keys", &fixture::signing_keys("https://issuer"));
    records.snapshot().unwrap();
    records
}

#[test]
fn nothing_known_is_a_snapshot_too_and_is_made_once() {
    let mut records = Records::new(Needs::Everything);
    assert_eq!(records.snapshot().unwrap().counts, Counts::default());
    assert!(records.snapshot().is_none());
}

#[test]
fn clients_and_keys_are_in_the_snapshot_and_counted() {
    let mut records = published();
    set_client(&mut records, "secret-c", &fixture::client("ns.c"));
    let snapshot = records.snapshot().unwrap();
    assert_eq!(ids(&snapshot), ["ns.a", "ns.b", "ns.c"]);
    assert_eq!(snapshot.keys.unwrap().issuer(), "https://issuer");
    assert_eq!(snapshot.counts, Counts { clients: 3, signing_keys: 1, unusable: 0, ..Counts::default() });
}

#[test]
fn the_same_again_changes_nothing() {
    let mut records = published();
    set_client(&mut records, "secret-a", &fixture::client("ns.a"));
    records.remove("unknown");
    assert!(records.snapshot().is_none());
}

#[test]
fn what_did_not_change_is_not_parsed_again() {
    let mut records = Records::new(Needs::Everything);
    set_client(&mut records, "secret-a", &fixture::client("ns.a"));
    let first = records.snapshot().unwrap();
    records.begin_list();
    set_client(&mut records, "secret-a", &fixture::client("ns.a"));
    set_client(&mut records, "secret-b", &fixture::client("ns.b"));
    records.finish_list();
    let second = records.snapshot().unwrap();
    assert!(Arc::ptr_eq(&first.clients["ns.a"], &second.clients["ns.a"]));
}

#[test]
fn a_record_that_turns_unreadable_is_gone_and_others_stay() {
    let mut records = published();
    set_client(&mut records, "secret-a", "{");
    let snapshot = records.snapshot().unwrap();
    assert_eq!(ids(&snapshot), ["ns.b"]);
    assert_eq!(snapshot.counts, Counts { clients: 1, signing_keys: 1, unusable: 1, ..Counts::default() });
}

#[test]
fn an_unreadable_record_is_told_once_and_its_recovery_too() {
    let mut records = published();
    set_client(&mut records, "secret-a", "{");
    set_client(&mut records, "secret-a", "{");
    let notices = records.take_notices();
    let [Notice::Unusable { source, problem: Problem::Record(RecordError::Malformed { .. }), .. }] = &notices[..]
    else {
        panic!("{notices:?}");
    };
    assert_eq!(&**source, "secret-a");
    set_client(&mut records, "secret-a", &fixture::client("ns.a"));
    assert!(matches!(records.take_notices()[..], [Notice::Usable { .. }]));
    assert_eq!(ids(&records.snapshot().unwrap()), ["ns.a", "ns.b"]);
}

#[test]
fn a_record_that_its_source_refuses_is_gone_and_told_once() {
    let mut records = published();
    for _ in 0..2 {
        records.set("secret-a", [Document { key: "record.json", content: Err(Refusal::SecretType) }]);
    }
    let notices = records.take_notices();
    assert!(matches!(notices[..], [Notice::Unusable { problem: Problem::Refused(Refusal::SecretType), .. }]));
    assert_eq!(ids(&records.snapshot().unwrap()), ["ns.b"]);
}

#[test]
fn a_record_under_another_kind_is_another_record() {
    let mut records = published();
    set_keys(&mut records, "secret-a", &fixture::client("ns.a"));
    assert_eq!(ids(&records.snapshot().unwrap()), ["ns.b"]);
}

#[test]
fn keys_that_turn_unreadable_do_not_go_on_silently() {
    let mut records = published();
    set_keys(&mut records, "keys", "{}");
    let snapshot = records.snapshot().unwrap();
    assert!(snapshot.keys.is_none());
    assert_eq!(ids(&snapshot), ["ns.a", "ns.b"]);
}

#[test]
fn an_unreadable_record_that_is_deleted_is_gone() {
    let mut records = published();
    set_client(&mut records, "secret-a", "{");
    records.remove("secret-a");
    assert_eq!(
        records.snapshot().unwrap().counts,
        Counts { clients: 1, signing_keys: 1, unusable: 0, ..Counts::default() }
    );
}

#[test]
fn of_two_records_with_one_client_id_neither_is_served_until_one_goes() {
    let mut records = published();
    for source in ["secret-c", "secret-d"] {
        set_client(&mut records, source, &fixture::client("ns.a"));
        let snapshot = records.snapshot().unwrap();
        assert_eq!(ids(&snapshot), ["ns.b"], "{source}");
    }
    let notices = records.take_notices();
    let [Notice::Ambiguous(Ambiguity::ClientId(id))] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!(&**id, "ns.a");
    records.remove("secret-a");
    records.remove("secret-d");
    assert_eq!(ids(&records.snapshot().unwrap()), ["ns.a", "ns.b"]);
}

#[test]
fn of_two_records_with_signing_keys_neither_is_served() {
    let mut records = published();
    set_keys(&mut records, "other-keys", &fixture::signing_keys("https://other"));
    let snapshot = records.snapshot().unwrap();
    assert!(snapshot.keys.is_none());
    assert_eq!(snapshot.counts, Counts { clients: 2, signing_keys: 0, unusable: 2, ..Counts::default() });
    assert!(matches!(records.take_notices()[..], [Notice::Ambiguous(Ambiguity::SigningKeys)]));
}

#[test]
fn a_complete_list_replaces_what_it_does_not_name() {
    let mut records = published();
    records.begin_list();
    set_client(&mut records, "secret-b", &fixture::client("ns.b"));
    set_client(&mut records, "secret-c", &fixture::client("ns.c"));
    records.finish_list();
    let snapshot = records.snapshot().unwrap();
    assert_eq!(ids(&snapshot), ["ns.b", "ns.c"]);
    assert!(snapshot.keys.is_none());
}

#[test]
fn a_list_that_failed_leaves_nothing_behind_when_it_is_begun_again() {
    let mut records = published();
    records.begin_list();
    set_client(&mut records, "secret-c", &fixture::client("ns.c"));
    records.begin_list();
    set_client(&mut records, "secret-b", &fixture::client("ns.b"));
    records.finish_list();
    assert_eq!(ids(&records.snapshot().unwrap()), ["ns.b"]);
}

#[test]
fn a_source_with_several_records_is_replaced_as_a_whole() {
    let (a, b, c) = (fixture::client("ns.a"), fixture::client("ns.b"), fixture::client("ns.c"));
    let document = |key, json| Document { key, content: Ok((Kind::Client, str::as_bytes(json))) };
    let mut records = Records::new(Needs::Everything);
    records.set("bundle", [document("2", &b), document("1", &a)]);
    let first = records.snapshot().unwrap();
    records.set("bundle", [document("1", &a), document("3", &c)]);
    let second = records.snapshot().unwrap();
    assert_eq!(ids(&second), ["ns.a", "ns.c"]);
    assert!(Arc::ptr_eq(&first.clients["ns.a"], &second.clients["ns.a"]));
    records.set("bundle", [document("1", &a)]);
    assert_eq!(ids(&records.snapshot().unwrap()), ["ns.a"]);
}

#[test]
fn thousands_of_records_are_one_snapshot() {
    let started = Instant::now();
    let mut records = Records::new(Needs::Everything);
    for number in 0..5_000 {
        set_client(&mut records, &format!("secret-{number}"), &fixture::client(&format!("ns.{number}")));
    }
    let parsed = started.elapsed();
    let counts = records.snapshot().unwrap().counts;
    println!("5,000 records: parsed in {parsed:?}, with the snapshot {:?}", started.elapsed());
    assert_eq!(counts.clients, 5_000);
}

#[test]
fn of_a_record_in_two_bundles_the_one_in_the_later_counts() {
    let mut records = Records::of_bundles(Needs::Everything);
    let mut bundle = |index: u8, ids: &[&str]| {
        let clients: Vec<_> = ids.iter().map(|id| (format!("client.{}.json", &id[..1]), fixture::client(id))).collect();
        let documents =
            clients.iter().map(|(key, json)| Document { key, content: Ok((Kind::Client, json.as_bytes())) });
        records.set(&crate::record::bundle::name(index), documents);
        records.snapshot().unwrap()
    };
    bundle(2, &["a.old", "b.only"]);
    let snapshot = bundle(10, &["a.new"]);
    assert_eq!(ids(&snapshot), ["a.new", "b.only"]);
    assert_eq!(snapshot.counts.unusable, 0);
    assert_eq!(ids(&bundle(2, &["b.only"])), ["a.new", "b.only"]);
    assert_eq!(ids(&bundle(10, &[])), ["b.only"]);
}

#[test]
fn what_a_server_does_not_need_it_does_not_even_parse() {
    let mut records = Records::new(Needs::Tokens);
    let documents = [(Kind::Endpoint, "endpoint"), (Kind::Injection, "injection")];
    for (kind, key) in documents {
        records.set(key, [Document { key, content: Ok((kind, b"no json")) }]);
    }
    let snapshot = records.snapshot().unwrap();
    assert_eq!(snapshot.counts, Counts::default());
    assert!(records.take_notices().is_empty());
}
