//! The socket itself, and how commands are used.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
};

use serde_json::{Value, json};

use crate::site::Site;

#[test]
fn a_socket_on_which_nobody_answers_is_told_with_what_to_do() {
    let site = Site::start();
    let missing = site.path().join("missing.sock");
    let missing = missing.to_str().unwrap();
    let id = format!("msg_{}", "0a".repeat(22));
    for command in [&["deliveries"][..], &["replay", &id], &["drop", &id], &["send", "demo/alerts"]] {
        let told = site.run(&[command, &["--socket", missing]].concat()).fails(1);
        assert!(
            told.contains(missing) && told.contains("there is no such socket") && told.contains("--socket"),
            "{told}"
        );
    }
    let long = site.run(&["deliveries", "--socket", &"x".repeat(200)]).fails(1);
    assert!(long.contains("too long"), "{long}");
}

#[test]
fn only_the_owner_may_open_it_and_a_second_server_leaves_it_alone() {
    let site = Site::start();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(site.socket()), 0o600);
    assert_eq!(mode(site.socket().parent().unwrap().to_owned()), 0o700);
    let second = site.server("other-queue").output().unwrap();
    assert!(!second.status.success());
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains("in use") && told.contains("--admin-socket"), "{told}");
    site.run(&["deliveries"]).ok();
}

#[test]
fn it_goes_with_the_server_and_one_that_a_kill_left_is_replaced() {
    let mut site = Site::start();
    site.receiver.answer(422);
    let id = site.send_until("kept", "dead-letter");
    site.signal("KILL");
    assert!(site.socket().exists());
    assert!(site.run(&["deliveries"]).fails(1).contains("nobody listens there any more"));
    site.run_server();
    assert_eq!(site.list(&[]), [id]);
    site.signal("TERM");
    assert!(!site.socket().exists());
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let site = Site::start();
    let id = format!("msg_{}", "0a".repeat(22));
    let wrong: [&[&str]; 11] = [
        &["deliveries", "x"],
        &["deliveries", "--body"],
        &["deliveries", "--limit", "0"],
        &["deliveries", "--state", "lost"],
        &["deliveries", &id, "-n", "demo"],
        &["replay"],
        &["replay", "--dead-letters", "-n", "demo"],
        &["replay", &id, "--dead-letters", "-n", "demo", "--webhook", "alerts"],
        &["replay", &id, "-n", "demo"],
        &["drop"],
        &["send", "alerts"],
    ];
    for command in wrong {
        site.run(command).fails(2);
    }
    for command in ["deliveries", "replay", "drop", "send"] {
        assert!(site.run(&[command, "--help"]).ok().contains("Exit codes: 0 done, 1 failed"));
    }
}

#[test]
fn other_programs_get_json_and_are_told_what_is_wrong() {
    let site = Site::start();
    site.receiver.answer(422);
    site.send_until("12345", "dead-letter");
    let (status, figures) = ask(&site, "GET /endpoints");
    let figures = &figures["endpoints"][0];
    assert_eq!((status, &figures["webhook"], &figures["served"]), (200, &json!("alerts"), &json!(true)), "{figures}");
    assert_eq!(figures["deadLetters"], json!({"messages": 1, "bytes": 5}));
    assert_eq!(figures["queued"], json!({"messages": 0, "bytes": 0}));
    for (request, expected, part) in [
        ("GET /nowhere", 404, "no such path"),
        ("GET /messages/msg_1", 404, "no message"),
        ("GET /messages?state=lost", 400, "state"),
        ("GET /messages?colour=red", 400, "colour"),
        ("PUT /messages", 405, "methods"),
        ("POST /webhooks/demo/nobody/replay", 409, "demo/nobody"),
        ("POST /webhooks/demo/nobody/messages", 404, "demo/nobody"),
    ] {
        let (status, problem) = ask(&site, request);
        assert_eq!(status, expected, "{request}: {problem}");
        assert!(problem["message"].as_str().unwrap().contains(part), "{request}: {problem}");
        assert!(!problem["fix"].as_str().unwrap().is_empty(), "{request}: {problem}");
    }
}

fn ask(site: &Site, request: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(site.socket()).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}
