//! Which message goes when: order within a key, limits of an endpoint, and that endpoints do not disturb each other.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use snaphook::record::endpoint::{HandlerType, RateLimit};

use crate::{
    hooks::{Hooks, endpoint, post},
    receiver::{OK, Receiver, silent_port},
};

const UNAVAILABLE: &str = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n";

#[test]
fn resolved_never_overtakes_firing() {
    let hooks = Hooks::start();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = arrived.clone();
    let receiver = Receiver::start(move |received, wire| {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        let status = if body.contains("firing") { "firing" } else { "resolved" };
        let group = if body.contains("group-1") { 1 } else { 2 };
        let mut seen = seen.lock().unwrap();
        seen.push((group, status));
        let fails = seen.iter().filter(|seen| **seen == (1, "firing")).count() < 3 && (group, status) == (1, "firing");
        wire.write_all(if fails { UNAVAILABLE } else { OK }.as_bytes()).is_ok()
    });
    let mut record = endpoint("alerts", &receiver.url("/"));
    record.handler.type_ = HandlerType::Alertmanager;
    hooks.endpoint(&record);
    let alert = |group: u8, status: &str| {
        let body = format!(r#"{{"version":"4","groupKey":"group-{group}","status":"{status}","alerts":[]}}"#);
        hooks.stored(&post("alerts").header("Content-Type", "application/json").body(body));
    };
    alert(1, "firing");
    alert(1, "resolved");
    alert(2, "firing");
    hooks.received(&receiver, 5);
    let arrived = arrived.lock().unwrap().clone();
    let first: Vec<_> = arrived.iter().filter(|(group, _)| *group == 1).map(|(_, status)| *status).collect();
    assert_eq!(first, ["firing", "firing", "firing", "resolved"]);
    let other = arrived.iter().position(|arrived| *arrived == (2, "firing")).unwrap();
    let last = arrived.iter().position(|arrived| *arrived == (1, "resolved")).unwrap();
    assert!(other < last, "another group need not wait: {arrived:?}");
}

#[test]
fn messages_of_a_key_keep_their_order_whatever_fails() {
    let mut hooks = Hooks::start();
    let (done, calls) = (Arc::new(Mutex::new(HashMap::<String, Vec<u32>>::new())), Arc::new(AtomicUsize::new(0)));
    let (arrived, count) = (done.clone(), calls.clone());
    let receiver = Receiver::start(move |received, wire| {
        if count.fetch_add(1, SeqCst) % 5 == 0 {
            return wire.write_all(UNAVAILABLE.as_bytes()).is_ok();
        }
        let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
        let (key, number) = (body["key"].as_str().unwrap().to_owned(), body["number"].as_u64().unwrap());
        arrived.lock().unwrap().entry(key).or_default().push(u32::try_from(number).unwrap());
        wire.write_all(OK.as_bytes()).is_ok()
    });
    let mut record = endpoint("ordered", &receiver.url("/"));
    record.handler.type_ = HandlerType::Json;
    record.handler.key = Some("body.key".to_owned());
    hooks.endpoint(&record);
    for number in 0..10 {
        for key in ["a", "b", "c"] {
            hooks.stored(&post("ordered").body(format!(r#"{{"key":"{key}","number":{number}}}"#)));
        }
        if number == 5 {
            hooks.kill();
            hooks.start_again(&[]);
        }
    }
    let total =
        || done.lock().unwrap().values().map(|numbers| numbers.iter().max().map_or(0, |max| max + 1)).sum::<u32>();
    hooks.server().wait_until("delivers all", || total() == 30);
    for (key, numbers) in &*done.lock().unwrap() {
        // What was under way at the kill comes twice, but nothing overtakes.
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
}

#[test]
fn no_more_calls_are_under_way_than_allowed() {
    let hooks = Hooks::start();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (under_way, highest) = (now, most.clone());
    let receiver = Receiver::start(move |_, wire| {
        highest.fetch_max(under_way.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_millis(50));
        under_way.fetch_sub(1, SeqCst);
        wire.write_all(OK.as_bytes()).is_ok()
    });
    let mut record = endpoint("narrow", &receiver.url("/"));
    record.delivery.max_in_flight = 3;
    hooks.endpoint(&record);
    for _ in 0..40 {
        hooks.stored(&post("narrow"));
    }
    hooks.counts(r#"snaphook_deliveries_total{outcome="Delivered"}"#, 40);
    assert_eq!(most.load(SeqCst), 3);
}

#[test]
fn no_more_calls_are_made_in_a_time_than_allowed() {
    let hooks = Hooks::start();
    let times = Arc::new(Mutex::new(Vec::new()));
    let came = times.clone();
    let receiver = Receiver::start(move |_, wire| {
        came.lock().unwrap().push(Instant::now());
        wire.write_all(OK.as_bytes()).is_ok()
    });
    let mut record = endpoint("slow", &receiver.url("/"));
    record.delivery.rate_limit = Some(RateLimit { requests: 4, per_seconds: 2 });
    hooks.endpoint(&record);
    for _ in 0..13 {
        hooks.stored(&post("slow"));
    }
    hooks.received(&receiver, 13);
    let times = times.lock().unwrap();
    // Calls take a moment from their start to here, each another.
    let least = Duration::from_millis(1700);
    for window in times.windows(5) {
        let took = window[4].duration_since(window[0]);
        assert!(took >= least, "five calls in {took:?}");
    }
    let all = times[12].duration_since(times[0]);
    assert!(all < Duration::from_secs(15), "slower than allowed: {all:?}");
}

#[test]
fn a_receiver_that_never_answers_slows_nobody() {
    let hooks = Hooks::start();
    let receiver = Receiver::answering(OK);
    let (_listener, dead) = silent_port();
    let mut hanging = endpoint("dead", &format!("http://{dead}/"));
    hanging.delivery.max_in_flight = 100;
    hanging.delivery.timeout_seconds = 300;
    hooks.endpoint(&hanging);
    hooks.endpoint(&endpoint("healthy", &receiver.url("/")));
    let deliver = |count: usize| {
        let (started, before) = (Instant::now(), receiver.received().len());
        (0..100).for_each(|_| drop(hooks.stored(&post("healthy"))));
        hooks.received(&receiver, before + count);
        started.elapsed()
    };
    let alone = deliver(100);
    (0..150).for_each(|_| drop(hooks.stored(&post("dead"))));
    let beside = deliver(100);
    // The figure is the bench's; here is what cannot be chance.
    assert!(beside < alone * 4 + Duration::from_secs(2), "{alone:?} alone, {beside:?} beside");
}
