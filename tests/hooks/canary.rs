//! Secrets show nowhere: in no log line at any level, no metric, no answer, no byte of the queue. A planted one is found.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use snaphook::record::{
    Location,
    endpoint::{HandlerType, OnMissingCredential, Verification},
};

use crate::{
    hooks::{Hooks, SIGNING_SECRET, credential, endpoint, github, path, secret, url_id, verified},
    receiver::{OK, Receiver, closed_port},
    request::{Connection, Request},
};

const CREDENTIAL: &str = "canary+cred/ential-0123456789==";
const SENDER: &str = "canary-of-the-sender-0123456789";
const PLANTED: &str = "planted-where-it-is-found";

/// What must not show, in every way to write it that is in use here.
fn canaries() -> Vec<String> {
    let signing = SIGNING_SECRET.strip_prefix("whsec_").unwrap();
    let decoded = String::from_utf8(STANDARD.decode(signing).unwrap()).unwrap();
    let encoded: String = form_urlencoded::byte_serialize(CREDENTIAL.as_bytes()).collect();
    let texts = [signing, &decoded, CREDENTIAL, &encoded, SENDER, &STANDARD.encode(format!("link:{SENDER}"))];
    let urls = ["open", "repo", "basic", "bearer", "failing", "closed", "denied", PLANTED].map(url_id);
    texts.into_iter().map(str::to_owned).chain(urls).collect()
}

/// The names of the canaries that are in `bytes`.
fn found<'c>(canaries: &'c [String], bytes: &[u8]) -> Vec<&'c str> {
    let is_in = |canary: &&String| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
    canaries.iter().filter(is_in).map(String::as_str).collect()
}

fn files(directory: &Path) -> Vec<u8> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).flat_map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn no_secret_shows_whatever_happens_and_a_planted_one_does() {
    let mut hooks = Hooks::start();
    let echo = Receiver::start(|received, wire| {
        let echo = received.echo();
        write!(wire, "HTTP/1.1 503 X\r\ncontent-length: {}\r\n\r\n{echo}", echo.len()).is_ok()
    });
    let receiver = Receiver::answering(OK);
    let targets = [
        ("open", receiver.url("/"), Verification::None),
        ("repo", receiver.url("/"), Verification::GitHub),
        ("basic", receiver.url("/"), Verification::Basic { username: "link".to_owned() }),
        ("bearer", receiver.url("/"), Verification::Bearer),
        ("failing", echo.url("/"), Verification::None),
        ("closed", format!("http://{}/", closed_port()), Verification::None),
        ("denied", "http://169.254.169.254/latest".to_owned(), Verification::None),
        (PLANTED, "http://nobody.example.invalid/".to_owned(), Verification::None),
    ];
    let mut said = Vec::new();
    let mut send = |hooks: &Hooks, request: &Request| said.push(format!("{:?}", hooks.send(request)));
    for (number, (name, url, verification)) in targets.iter().enumerate() {
        let mut record = verified(name, url, verification.clone());
        if matches!(verification, Verification::Basic { .. } | Verification::Bearer) {
            record.secrets = vec![secret(SENDER)];
        }
        record.handler.type_ = if number % 2 == 0 { HandlerType::Json } else { HandlerType::Raw };
        record.max_body_bytes = 10_000;
        record.delivery.signing_secrets = vec![secret(SIGNING_SECRET)];
        record.delivery.credential = Some("pager".to_owned());
        record.delivery.on_missing_credential = OnMissingCredential::Hold;
        hooks.endpoint(&record);
    }
    for location in [Location::Header, Location::QueryParam] {
        hooks.credential(&credential("pager", location, CREDENTIAL));
        for (name, ..) in &targets {
            let good = github(name, &format!("{location:?}"), &format!(r#"{{"text":"{PLANTED}"}}"#));
            let authorized = match *name {
                "basic" => good.clone().basic("link", SENDER),
                "bearer" => good.clone().header("Authorization", &format!("Bearer {SENDER}")),
                _ => good.clone(),
            };
            send(&hooks, &authorized);
            send(&hooks, &authorized.clone().header("X-Api-Key", SENDER).header("Cookie", SENDER));
            send(&hooks, &authorized.clone().body("no json").without("X-Hub-Signature-256"));
            send(&hooks, &authorized.clone().body("x".repeat(20_000)));
            send(&hooks, &good.basic("link", &format!("{SENDER}x")));
            send(&hooks, &Request::get(&path(name)));
            send(&hooks, &Request::new("POST", &(path(name) + "x")));
            send(&hooks, &Request::new("POST", &(path(name) + "/more?" + &url_id(name))));
        }
        hooks.received(&receiver, 4);
        hooks.received(&echo, 2);
    }
    // What is no HTTP, with a secret in it.
    for broken in [format!("POST {} HTTP/9\r\n\r\n", path("open")), format!("{}\r\nx\r\n\r\n", path("open"))] {
        let mut connection = Connection::open(hooks.server().public);
        connection.write(broken.as_bytes());
        said.push(format!("{:?}", connection.response("POST")));
    }
    // A record that does not parse, one that claims another's URL, and one that is gone.
    hooks.realm.write("endpoint.broken.json", format!(r#"{{"version":1,"urls":"{}"}}"#, url_id("open")).as_bytes());
    let mut twin = endpoint("twin", "https://receiver.example.net/");
    twin.urls[0].id = url_id("open").into();
    hooks.endpoint(&twin);
    hooks.server().wait_until("said", || hooks.server().log().contains("it leads nowhere"));
    fs::remove_file(hooks.realm.records().join("endpoint.broken.json")).unwrap();
    hooks.remove_endpoint("twin");
    hooks.remove_endpoint(PLANTED);
    hooks.server().wait_until("buried", || hooks.server().log().contains("its messages are dead letters"));
    said.push(hooks.server().probe("/metrics").body);
    said.push(hooks.server().probe("/readyz").body);
    hooks.kill();
    hooks.start_again(&[]);
    said.push(format!("{:?}", hooks.messages()));

    let canaries = canaries();
    let (log, queue, said) = (files(hooks.realm.path()), files(&hooks.queue()), said.join("\n").into_bytes());
    for (place, bytes) in [("log", &log), ("queue", &queue), ("answers, metrics, deliveries", &said)] {
        assert_eq!(found(&canaries, bytes), [""; 0], "{place}");
        assert_eq!(found(&[PLANTED.to_owned()], bytes), [PLANTED], "{place}: the search works");
    }
    let sent = format!("{:?}", receiver.received());
    assert!(sent.contains(CREDENTIAL), "it was sent: {sent}");
    assert!(files(&hooks.realm.records()).len() > 1000 && !found(&canaries, &files(&hooks.realm.records())).is_empty());
}
