//! What a post is answered when it is too much, comes at the wrong time, or cannot be stored.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use snaphook::record::endpoint::{HandlerType, InactiveMode, Target};

use crate::{
    hooks::{Hooks, attempt, endpoint, path, post},
    receiver::{OK, Receiver},
    request::{Connection, Response},
};

/// To come again, and soon enough.
fn assert_later(answer: &Response, status: u16) {
    let seconds: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!(answer.status == status && (1..=60).contains(&seconds), "{answer:?}");
}

#[test]
fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("small", &receiver.url("/"));
    record.max_body_bytes = 1000;
    hooks.endpoint(&record);
    hooks.stored(&post("small").body("x".repeat(1000)));
    assert_eq!(hooks.post("small", &"x".repeat(1001)).status, 413);
    assert_eq!(hooks.post("small", &"x".repeat(1 << 20)).status, 413);
    let head = format!("POST {} HTTP/1.1\r\nHost: test\r\n", path("small"));
    let mut announced = Connection::open(hooks.server().public);
    announced.write(format!("{head}Content-Length: 1000000000000\r\n\r\n").as_bytes());
    assert_eq!(announced.response("POST").status, 413, "before any of it came");
    let mut chunked = Connection::open(hooks.server().public);
    chunked.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    chunked.write(chunk.repeat(3).as_bytes());
    chunked.write(b"0\r\n\r\n");
    assert_eq!(chunked.response("POST").status, 413);
    let mut endless = Connection::open(hooks.server().public);
    endless.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
    let end = Instant::now() + Duration::from_secs(20);
    while endless.try_write(chunk.repeat(100).as_bytes()) {
        assert!(Instant::now() < end, "it reads for ever");
    }
    let mut just = Connection::open(hooks.server().public);
    just.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n").as_bytes());
    assert_eq!(just.response("POST").status, 200);
    assert_eq!(hooks.received(&receiver, 2).len(), 2);
}

#[test]
fn who_posts_too_often_is_told_when_to_come_again_as_he_understands_it() {
    let hooks = Hooks::start();
    for (name, type_, status) in [("raw", HandlerType::Raw, 429), ("alerts", HandlerType::Alertmanager, 503)] {
        let mut record = endpoint(name, "https://receiver.example.net/");
        record.handler.type_ = type_;
        record.limits.posts_per_second = Some(1);
        hooks.endpoint(&record);
        let body = r#"{"version":"4","groupKey":"{}","status":"firing","alerts":[]}"#;
        hooks.stored(&post(name).body(body));
        let answers: Vec<_> = (0..10).map(|_| hooks.post(name, body)).collect();
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
        assert!(refused.len() >= 5, "{answers:?}");
        for answer in refused {
            assert_later(answer, status);
        }
        hooks.server().wait_until("taken again", || hooks.post(name, body).status == 200);
    }
}

#[test]
fn an_endpoint_that_is_not_active_refuses_or_keeps() {
    let (mut hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = endpoint("paused", &receiver.url("/"));
    record.active = false;
    hooks.endpoint(&record);
    assert_eq!(hooks.post("paused", "refused").status, 410);
    record.inactive_mode = InactiveMode::Hold;
    hooks.endpoint(&record);
    let id = hooks.stored(&post("paused").body("kept"));
    hooks.stop();
    hooks.start_again(&[]);
    let second = hooks.stored(&post("paused").body("kept too"));
    // Two looks at the queue.
    thread::sleep(Duration::from_millis(600));
    assert!(receiver.received().is_empty());
    record.active = true;
    hooks.endpoint(&record);
    let received = hooks.received(&receiver, 2);
    let mut ids: Vec<_> = received.iter().flat_map(|received| received.header("webhook-id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, [id.as_str(), second.as_str()]);
}

#[test]
fn a_full_queue_refuses_until_there_is_room() {
    let hooks = Hooks::start();
    let receiver = Receiver::answering(OK);
    let mut full = endpoint("full", "");
    full.delivery.target = Target::Unresolved("the Service is not there".to_owned());
    full.limits.messages = Some(2);
    hooks.endpoint(&full);
    let mut heavy = endpoint("heavy", "");
    heavy.delivery.target = full.delivery.target.clone();
    heavy.limits.bytes = Some(1500);
    hooks.endpoint(&heavy);
    let mut neighbour = endpoint("neighbour", &receiver.url("/"));
    neighbour.limits.namespace_messages = Some(3);
    hooks.endpoint(&neighbour);

    (0..2).for_each(|_| drop(hooks.stored(&post("full"))));
    assert_later(&hooks.post("full", ""), 503);
    hooks.stored(&post("heavy").body("x".repeat(1000)));
    assert_later(&hooks.post("heavy", &"x".repeat(1000)), 503);
    assert_later(&hooks.post("neighbour", ""), 503);
    hooks.counts(r#"snaphook_hook_posts_total{outcome="queue_full"}"#, 3);

    full.delivery.target = Target::Url(receiver.url("/"));
    hooks.endpoint(&full);
    hooks.received(&receiver, 2);
    hooks.server().wait_until("room again", || hooks.post("full", "").status == 200);
    hooks.server().wait_until("room in the namespace", || hooks.post("neighbour", "").status == 200);
}

#[test]
fn a_disk_that_is_full_refuses_and_loses_nothing() {
    // Files may grow to 6 MiB, and who writes beyond gets an error instead of a signal.
    let mut hooks = Hooks::start_after("trap '' XFSZ; ulimit -f 12288; export RUST_LOG=warn");
    hooks.endpoint(&{
        let mut record = endpoint("full", "");
        record.delivery.target = Target::Unresolved("the Service is not there".to_owned());
        record
    });
    let body = "x".repeat(200_000);
    let mut stored = Vec::new();
    let refused = loop {
        let answer = hooks.post("full", &body);
        if answer.status != 200 {
            break answer;
        }
        stored.push(answer.json()["id"].as_str().unwrap().to_owned());
        assert!(stored.len() < 200, "the limit does not hold");
    };
    assert!(stored.len() > 2, "{stored:?}");
    assert_later(&refused, 503);
    for _ in 0..5 {
        let answer = hooks.post("full", &body);
        if answer.status == 200 {
            stored.push(answer.json()["id"].as_str().unwrap().to_owned());
        } else {
            assert_later(&answer, 503);
        }
    }
    hooks.kill();
    hooks.start_again(&[]);
    let kept: Vec<_> = hooks.messages().iter().map(|message| message.id.to_string()).collect();
    let lost: Vec<_> = stored.iter().filter(|id| !kept.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?} of {stored:?}");
}

/// Container runtimes begin with little and allow more.
#[test]
fn more_connections_are_open_than_the_limit_on_files_began_with() {
    let hooks = Hooks::start_after("ulimit -Sn 64");
    hooks.endpoint(&endpoint("raw", "http://127.0.0.1:9/"));
    let mut senders: Vec<_> = (0..100).map(|_| Connection::open(hooks.server().public)).collect();
    for sender in &mut senders {
        sender.write(format!("POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n", path("raw")).as_bytes());
        assert_eq!(sender.response("POST").status, 200);
    }
}

#[test]
fn a_server_that_ends_refuses_or_keeps_what_it_takes() {
    let (mut hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.stop();
    hooks.start_again(&["--shutdown-delay", "500ms"]);
    hooks.endpoint(&endpoint("raw", &receiver.url("/")));
    let (address, ended, count) = (hooks.server().public, AtomicBool::new(false), AtomicUsize::new(0));
    let stored: Vec<String> = thread::scope(|scope| {
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(|| until_refused(address, &ended, &count))).collect();
        hooks.server().wait_until("posts come in", || count.load(SeqCst) > 10);
        hooks.stop();
        ended.store(true, SeqCst);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    hooks.start_again(&[]);
    let delivered = || -> Vec<String> {
        let received = receiver.received();
        received.iter().flat_map(|received| received.header("webhook-id")).map(str::to_owned).collect()
    };
    hooks.server().wait_until("delivers all", || {
        let delivered = delivered();
        stored.iter().all(|id| delivered.contains(id))
    });
}

/// Posts one after the other, each on a connection of its own, until nobody listens; the ids of what was stored.
fn until_refused(address: std::net::SocketAddr, ended: &AtomicBool, count: &AtomicUsize) -> Vec<String> {
    let mut stored = Vec::new();
    while !ended.load(SeqCst) {
        let Some(answer) = attempt(address, &post("raw")) else { continue };
        match answer.status {
            200 => {
                stored.push(answer.json()["id"].as_str().unwrap().to_owned());
                count.fetch_add(1, SeqCst);
            }
            _ => assert_later(&answer, 503),
        }
    }
    stored
}
