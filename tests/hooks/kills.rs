//! `kill -9` at random points under load: what got a 2xx is delivered or a dead letter, whatever was under way.
//!
//! 20 kills; `SNAPHOOK_KILLS=200 cargo test --test hooks kills -- --nocapture` for more, and to see the counts.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use snaphook::{
    delivery::message::{Message, State},
    record::endpoint::{HandlerType, Verification},
};

use crate::{
    hooks::{Hooks, attempt, endpoint, github, post, verified},
    receiver::{OK, Receiver},
    request::Request,
};

const SENDERS: usize = 6;

/// What the senders were told.
#[derive(Default)]
struct Told {
    /// Ids with a 2xx, and what was posted.
    stored: Mutex<HashMap<String, String>>,
    refused: AtomicUsize,
    cut_off: AtomicUsize,
}

#[test]
fn nothing_that_was_acknowledged_is_lost_whenever_the_process_is_killed() {
    let kills: u64 = env::var("SNAPHOOK_KILLS").map_or(20, |count| count.parse().unwrap());
    let mut hooks = Hooks::start();
    let arrived = Arc::new(Mutex::new(BTreeMap::<(String, String), usize>::new()));
    let (seen, calls) = (arrived.clone(), AtomicUsize::new(0));
    let receiver = Receiver::start(move |received, wire| {
        let answer = match calls.fetch_add(1, SeqCst) % 10 {
            3 => "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n",
            7 => "HTTP/1.1 410 X\r\ncontent-length: 0\r\n\r\n",
            _ => OK,
        };
        if answer == OK {
            let id = received.header("webhook-id")[0].to_owned();
            let body = String::from_utf8(received.body.clone()).unwrap();
            *seen.lock().unwrap().entry((id, body)).or_default() += 1;
        }
        wire.write_all(answer.as_bytes()).is_ok()
    });
    hooks.endpoint(&endpoint("raw", &receiver.url("/raw")));
    hooks.endpoint(&verified("repo", &receiver.url("/repo"), Verification::GitHub));
    let mut keyed = endpoint("keyed", &receiver.url("/keyed"));
    keyed.handler.type_ = HandlerType::Json;
    keyed.handler.key = Some("string(body.key)".to_owned());
    hooks.endpoint(&keyed);

    let (told, address) = (Told::default(), Mutex::new(Some(hooks.server().public)));
    let started = Instant::now();
    let mut random = Random(0x5eed_0000 + kills);
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (told, address) = (&told, &address);
            scope.spawn(move || send_until_the_end(sender, told, address));
        }
        for _ in 0..kills {
            let before = told.stored.lock().unwrap().len();
            thread::sleep(Duration::from_millis(20 + random.below(180)));
            // On a busy machine nothing may have come through yet.
            hooks.server().wait_until("stores", || told.stored.lock().unwrap().len() > before);
            hooks.kill();
            hooks.start_again(&[]);
            *address.lock().unwrap() = Some(hooks.server().public);
        }
        *address.lock().unwrap() = None;
    });
    let stored = told.stored.into_inner().unwrap();
    let messages = ended(&mut hooks);
    let arrived = arrived.lock().unwrap();
    report(kills, started.elapsed(), stored.len(), &told.refused, &told.cut_off);
    let dead: HashSet<String> = messages
        .iter()
        .filter(|message| matches!(message.state, State::DeadLetter { .. }))
        .map(|message| message.id.to_string())
        .collect();
    let lost: Vec<_> = stored
        .iter()
        .filter(|(id, body)| !arrived.contains_key(&((*id).clone(), (*body).clone())) && !dead.contains(*id))
        .collect();
    let twice = arrived.values().filter(|times| **times > 1).count();
    let unacknowledged = arrived.keys().filter(|(id, _)| !stored.contains_key(id)).count();
    println!(
        "delivered {}, of these more than once {twice}, dead letters {}, delivered without a 2xx {unacknowledged}, lost {}",
        arrived.len(),
        dead.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
    assert!(stored.len() as u64 >= kills, "there was no load");
}

/// All messages, once each has ended.
fn ended(hooks: &mut Hooks) -> Vec<Message> {
    let started = Instant::now();
    loop {
        thread::sleep(Duration::from_secs(1));
        let messages = hooks.messages();
        let under_way = messages.iter().filter(|message| !message.state.phase().is_end()).count();
        if under_way == 0 {
            return messages;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "{under_way} never end: {messages:?}");
        hooks.start_again(&[]);
    }
}

fn report(kills: u64, took: Duration, stored: usize, refused: &AtomicUsize, cut_off: &AtomicUsize) {
    let (refused, cut_off) = (refused.load(SeqCst), cut_off.load(SeqCst));
    println!("{kills} kills in {took:.0?}: 2xx {stored}, refused {refused}, cut off {cut_off}");
}

/// Posts to whatever address is there, until none is.
fn send_until_the_end(sender: usize, told: &Told, address: &Mutex<Option<SocketAddr>>) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let Some(to) = *address.lock().unwrap() else { return };
        let number = NUMBER.fetch_add(1, SeqCst);
        let body = format!(r#"{{"key":{},"number":{number},"padding":"{}"}}"#, number % 3, "x".repeat(700));
        let request: Request = match sender % 3 {
            0 => post("raw").body(body.as_str()),
            1 => github("repo", &number.to_string(), &body),
            _ => post("keyed").body(body.as_str()),
        };
        match attempt(to, &request) {
            Some(answer) if answer.status == 200 => {
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                told.stored.lock().unwrap().insert(id, body);
            }
            Some(answer) => {
                assert_eq!(answer.status, 503, "{answer:?}");
                told.refused.fetch_add(1, SeqCst);
            }
            None => {
                told.cut_off.fetch_add(1, SeqCst);
                thread::sleep(Duration::from_millis(5));
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// xorshift: the points of the kills differ from run to run by timing anyway.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
