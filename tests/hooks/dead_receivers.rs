//! Receivers that never answer take no calls from one that does.

use std::sync::{
    Barrier,
    atomic::{AtomicUsize, Ordering},
};

use snaphook::record::endpoint::HandlerType;

use crate::{
    hooks::{Hooks, endpoint, post},
    receiver::{OK, Receiver, silent_port},
    request::Request,
};

const DEAD: usize = 20;
/// More than a receiver gets at once of which nothing is known.
const IN_FLIGHT: u32 = 50;
/// So many are answered at once, until that is known.
const FIRST: usize = 100;
const MESSAGES: usize = 300;

fn events(name: &str, count: usize) -> Request {
    let event = |id: usize| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/","type":"t"}}"#);
    let events: Vec<_> = (0..count).map(event).collect();
    let post = post(name).header("Content-Type", "application/cloudevents-batch+json");
    post.body(format!("[{}]", events.join(",")))
}

#[test]
fn beside_twenty_dead_receivers_a_healthy_one_has_as_many_calls_as_it_may() {
    let hooks = Hooks::start();
    let apply = |name: &str, url: &str, in_flight: u32| {
        let mut record = endpoint(name, url);
        record.handler.type_ = HandlerType::CloudEvents;
        (record.delivery.max_in_flight, record.delivery.timeout_seconds) = (in_flight, 300);
        hooks.endpoint(&record);
    };
    let silent: Vec<_> = (0..DEAD).map(|_| silent_port()).collect();
    for (number, (_, address)) in silent.iter().enumerate() {
        let name = format!("dead-{number}");
        apply(&name, &format!("http://{address}/"), 100);
        assert_eq!(hooks.send(&events(&name, 150)).status, 200);
    }
    // None of these calls ends before the test does.
    let calls = || hooks.metric("snaphook_deliveries_in_flight");
    hooks.server().wait_until("taken up by the dead", || calls() >= DEAD as u64 * 8);

    // Then nobody is answered before as many wait at once as may.
    let (together, count) = (Barrier::new(IN_FLIGHT as usize), AtomicUsize::new(0));
    let receiver = Receiver::start(move |_, wire| {
        if count.fetch_add(1, Ordering::SeqCst) >= FIRST {
            together.wait();
        }
        wire.write_all(OK.as_bytes()).is_ok()
    });
    apply("healthy", &receiver.url("/"), IN_FLIGHT);
    assert_eq!(hooks.send(&events("healthy", MESSAGES)).status, 200);
    hooks.received(&receiver, MESSAGES);
    hooks.counts(r#"snaphook_deliveries_total{outcome="Delivered"}"#, MESSAGES as u64);
    hooks.counts("snaphook_deliveries_in_flight", DEAD as u64 * 8);
}
