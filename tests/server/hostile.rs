//! Input that no honest client sends: refused as the client's fault, and nobody else is held up.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    realm::{Realm, SECRET, Server},
    request::{Connection, Request},
};

fn start() -> (Realm, Server) {
    let realm = Realm::new();
    realm.client("app", |_| {});
    let server = realm.start(&[]);
    (realm, server)
}

fn with_body(body: impl Into<Vec<u8>>) -> Request {
    Request::token(&[]).basic("ns.app", SECRET).body(body)
}

#[test]
fn bodies_that_are_no_forms_are_the_clients_fault() {
    let (_realm, server) = start();
    let deep = "[".repeat(60_000);
    for body in ["", "{}", "&&&", "=", "\0\0\0", "%", "%zz=%", "grant_type", "grant_type=client_credentials\0", &deep] {
        let response = server.send(&with_body(body));
        assert_eq!(response.status, 400, "{body:?}: {response:?}");
        response.json();
    }
    for body in [b"\xff\xfe".as_slice(), b"grant_type=%ff", b"grant_type=client_credentials&x=\xc3\x28"] {
        let response = server.send(&with_body(body));
        assert_eq!((response.status, response.error().as_str()), (400, "invalid_request"), "{body:?}");
    }
    assert_eq!(server.send(&with_body("grant_type=client_credentials")).status, 200);
}

#[test]
fn large_bodies_are_refused_with_an_answer() {
    let (_realm, server) = start();
    for length in [65 * 1024, 1 << 20] {
        let response = server.send(&with_body("x".repeat(length)));
        assert_eq!((response.status, response.error().as_str()), (413, "invalid_request"), "{length}");
        let response = server.send(&with_body("x".repeat(length)).header("Content-Type", "application/json"));
        assert_eq!(response.status, 400, "{length}");
    }
    let mut connection = Connection::open(server.public);
    let head = b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    connection.write(head);
    connection.write(b"Content-Length: 99999999999\r\n\r\n");
    assert_eq!(connection.response("POST").status, 413);

    let mut connection = Connection::open(server.public);
    connection.write(head);
    connection.write(b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n");
    assert_eq!(connection.response("POST").status, 413, "refused before it is sent");
}

#[test]
fn ten_thousand_parameters_are_refused_at_once() {
    let (_realm, server) = start();
    let body = (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>().join("&");
    let started = Instant::now();
    let response = server.send(&with_body(body));
    assert_eq!((response.status, response.error().as_str()), (400, "invalid_request"));
    // Without a bound on their number it would take minutes.
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn floods_of_headers_are_refused() {
    let (_realm, server) = start();
    let many = (0..101).fold(Request::get("/oauth/jwks"), |request, n| request.header(&format!("X-{n}"), "1"));
    // hyper answers these itself, and has no hook for a body; README.md says so.
    let bare = (431, "");
    let response = server.send(&many);
    assert_eq!((response.status, &*response.body), bare);
    let long = Request::get("/oauth/jwks").header("X-Long", &"x".repeat(33 * 1024));
    let response = server.send(&long);
    assert_eq!((response.status, &*response.body), bare);
    let fits = Request::get("/oauth/jwks").header("X-Long", &"x".repeat(20 * 1024));
    assert_eq!(server.send(&fits).status, 200);
}

#[test]
fn what_is_not_http_is_refused() {
    let (_realm, server) = start();
    for bytes in
        [b"\0\0\0\0\r\n\r\n".as_slice(), b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"]
    {
        let mut connection = Connection::open(server.public);
        connection.write(bytes);
        let response = connection.response("GET");
        assert_eq!((response.status, &*response.body), (400, ""));
    }
    let mut connection = Connection::open(server.public);
    connection.write(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n");
    connection.write(b"Content-Type: application/x-www-form-urlencoded\r\n\r\nnonsense\r\n");
    assert_eq!(connection.response("POST").status, 400);
}

#[test]
fn a_body_in_chunks_is_read() {
    let (_realm, server) = start();
    let request = with_body("").without("Content-Type");
    let head = String::from_utf8(request.bytes()).unwrap().replace("Content-Length: 0\r\n\r\n", "");
    let mut connection = Connection::open(server.public);
    connection.write(head.as_bytes());
    connection.write(b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in ["grant_type=clie", "nt_creden", "tials"] {
        connection.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes());
    }
    connection.write(b"0\r\n\r\n");
    assert_eq!(connection.response("POST").status, 200);
}

#[test]
fn slow_clients_are_cut_off_and_hold_nobody_up() {
    let (_realm, server) = start();
    let request = with_body("grant_type=client_credentials").bytes();
    let head = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let slow_heads = (0..40).map(|_| (0, false));
    let slow_bodies = (0..40).map(|_| (head, true));
    let clients: Vec<_> = slow_heads
        .chain(slow_bodies)
        .map(|(sent, answered)| {
            let (request, to) = (request.clone(), server.public);
            thread::spawn(move || {
                let mut connection = Connection::open(to);
                connection.write(&request[..sent]);
                // One byte a second, until the server has had enough.
                let mut rest = request[sent..].iter();
                for byte in rest.by_ref().take(14) {
                    thread::sleep(Duration::from_secs(1));
                    if !connection.try_write(&[*byte]) {
                        break;
                    }
                }
                if answered {
                    assert_eq!(connection.response("POST").status, 408);
                } else {
                    connection.closed();
                }
            })
        })
        .collect();

    let mut worst = Duration::ZERO;
    while !clients.iter().all(thread::JoinHandle::is_finished) {
        let started = Instant::now();
        server.token("app");
        worst = worst.max(started.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    for client in clients {
        client.join().unwrap();
    }
    assert!(worst < Duration::from_secs(5), "{worst:?}");
}

#[test]
fn requests_one_after_another_share_a_connection() {
    let (_realm, server) = start();
    let request = with_body("grant_type=client_credentials").bytes();
    let mut connection = Connection::open(server.public);
    connection.write(&request.repeat(3));
    for _ in 0..3 {
        assert_eq!(connection.response("POST").status, 200);
    }
}
