//! No receiver can hold a call, fill the memory, or lead it elsewhere.

use std::{
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use snaphook::delivery::{
    attempt::settle,
    verdict::{DeadReason, FailureKind, Verdict},
};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    call::{SOON, answer, egress_to, endpoint, failure, now, prepared, send},
    receiver::{OK, Receiver, Wire, closed_port, silent_port},
};

/// One byte after another, until the other side has had enough.
fn drip(wire: &mut dyn Wire, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if wire.write_all(&[*byte]).and_then(|()| wire.flush()).is_err() {
            return;
        }
        sleep(Duration::from_millis(300));
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers() {
    let (listener, address) = silent_port();
    let egress = egress_to(&[address]);
    let failure = failure(&egress, &endpoint(format!("http://{address}/"), |_| {})).await;
    assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::TimedOut, "no answer in 1 s"));
    let reader = spawn_blocking(move || listener.accept().unwrap().0.read_to_end(&mut Vec::new()));
    timeout(SOON, reader).await.expect("the connection is closed").unwrap().unwrap();
}

#[tokio::test]
async fn a_receiver_that_answers_a_byte_at_a_time() {
    let receiver = Receiver::start(|_, wire| {
        drip(wire, b"HTTP/1.1 200 OK\r\nx-slow: ");
        false
    });
    let failure = failure(&egress_to(&[receiver.address]), &endpoint(receiver.url("/"), |_| {})).await;
    assert_eq!(failure.kind, FailureKind::TimedOut);
}

#[tokio::test]
async fn a_status_counts_though_the_body_never_ends() {
    let receiver = Receiver::start(|_, wire| {
        wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").unwrap();
        drip(wire, b"x");
        false
    });
    let started = Instant::now();
    let answer = answer(&egress_to(&[receiver.address]), &endpoint(receiver.url("/"), |_| {})).await;
    assert_eq!(answer.status, 200);
    assert!(answer.snippet.starts_with('x') && started.elapsed() >= Duration::from_millis(900), "{}", answer.snippet);
}

#[tokio::test]
async fn a_gigabyte_is_not_read() {
    const GIGABYTE: usize = 1 << 30;
    let (written, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, end) = (written.clone(), ended.clone());
    let receiver = Receiver::start(move |_, wire| {
        wire.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {GIGABYTE}\r\n\r\n").as_bytes()).unwrap();
        let chunk = vec![b'x'; 1 << 16];
        while count.load(Ordering::SeqCst) < GIGABYTE && wire.write_all(&chunk).is_ok() {
            count.fetch_add(chunk.len(), Ordering::SeqCst);
        }
        end.store(1, Ordering::SeqCst);
        false
    });
    let answer = answer(&egress_to(&[receiver.address]), &endpoint(receiver.url("/"), |_| {})).await;
    assert_eq!((answer.status, answer.snippet.len()), (200, 1024));
    let started = Instant::now();
    while ended.load(Ordering::SeqCst) == 0 {
        assert!(started.elapsed() < SOON, "the connection is still open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What the system buffers for both sides, and little more.
    assert!(written.load(Ordering::SeqCst) < 64 << 20, "{} bytes", written.load(Ordering::SeqCst));
}

/// So many zeroes in gzip (RFC 1952, RFC 1951), in less than a hundredth of their length.
fn bomb(length: usize) -> Vec<u8> {
    // In one block of fixed codes: a zero, then copies of 258 bytes at distance 1. Codes are sent from their highest bit on.
    let (start, copy) =
        ([true, true, false].iter().chain(&[false, false, true, true, false, false, false, false]), 0b1100_0101_u8);
    let copy: Vec<bool> = (0..8).rev().map(|bit| copy >> bit & 1 == 1).chain([false; 5]).collect();
    let bits: Vec<bool> =
        start.chain(copy.iter().cycle().take(13 * (length / 258))).copied().chain([false; 7]).collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0_u8, |byte, &bit| byte << 1 | u8::from(bit));
    let deflated = bits.chunks(8).map(byte);
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].into_iter().chain(deflated).chain([0; 8]).collect()
}

#[tokio::test]
async fn a_gzip_bomb_stays_packed() {
    let bomb = bomb(100 << 20);
    let receiver = Receiver::start(move |request, wire| {
        assert_eq!(request.header("accept-encoding"), ["identity"]);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
        wire.write_all(head.as_bytes()).and_then(|()| wire.write_all(&bomb)).is_ok()
    });
    let answer = answer(&egress_to(&[receiver.address]), &endpoint(receiver.url("/"), |_| {})).await;
    assert_eq!(answer.status, 200);
    // As it came: the two bytes by which gzip is known can both not be shown.
    assert!(answer.snippet.starts_with("\u{fffd}\u{fffd}\u{fffd}"), "{:?}", answer.snippet);
    assert!(answer.snippet.chars().count() <= 1024);
}

#[tokio::test]
async fn headers_without_end_are_no_answer() {
    let receiver = Receiver::start(|_, wire| {
        wire.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        while wire.write_all(&[b"x: ".as_slice(), &[b'y'; 1000], b"\r\n"].concat()).is_ok() {}
        false
    });
    let failure = failure(&egress_to(&[receiver.address]), &endpoint(receiver.url("/"), |_| {})).await;
    assert_eq!(failure.kind, FailureKind::BrokenOff, "{}", failure.detail);
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    for nonsense in
        ["SSH-2.0-OpenSSH_9.9\r\n", "\0\0\0\0\0\0", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", ""]
    {
        let receiver = Receiver::start(move |_, wire| {
            let _ = wire.write_all(nonsense.as_bytes());
            false
        });
        let failure = failure(&egress_to(&[receiver.address]), &endpoint(receiver.url("/"), |_| {})).await;
        assert_eq!(failure.kind, FailureKind::BrokenOff, "{nonsense:?}: {}", failure.detail);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::answering(OK);
    for target in ["http://169.254.169.254/latest/meta-data/".to_owned(), elsewhere.url("/"), "/again".to_owned()] {
        for status in [301, 302, 303, 307, 308] {
            let receiver =
                Receiver::answering(format!("HTTP/1.1 {status} X\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n"));
            let egress = egress_to(&[receiver.address, elsewhere.address]);
            let sent = send(&egress, prepared(&endpoint(receiver.url("/"), |_| {}), None)).await;
            assert_eq!(sent.answer.as_ref().unwrap().status, status);
            assert_eq!(settle(&sent, now(), 0.5).verdict, Verdict::DeadLetter(DeadReason::Rejected));
            assert_eq!(receiver.received().len(), 1);
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn the_receivers_wish_is_heard() {
    let receiver = Receiver::answering("HTTP/1.1 503 X\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n");
    let sent = send(&egress_to(&[receiver.address]), prepared(&endpoint(receiver.url("/"), |_| {}), None)).await;
    let expected = now() + jiff::SignedDuration::from_secs(120);
    assert_eq!(settle(&sent, now(), 0.5).verdict, Verdict::RetryAt(expected));
}

#[tokio::test]
async fn nobody_listens() {
    let address = closed_port();
    let failure = failure(&egress_to(&[address]), &endpoint(format!("http://{address}/"), |_| {})).await;
    assert_eq!(failure.kind, FailureKind::NotConnected);
    assert!(failure.detail.starts_with("no connection to 127.0.0.1: "), "{}", failure.detail);
}
