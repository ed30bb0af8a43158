//! `snaphook dev` receives what is delivered to this machine, and shows it without a credential's value.

use std::{
    cell::RefCell,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::{
    laptop::{Laptop, command, copy_of, eventually, free_address, save, shell},
    receiver::{OK, Receiver},
};

const ALERTS: &str = include_str!("../../examples/quickstart/alerts.yaml");
const PAGER: &str = include_str!("../../examples/quickstart/pager.yaml");
const EXAMPLE_RECEIVER: &str = "127.0.0.1:9000";
const VALUE: &str = "bGlua2Vwb25h";

#[tokio::test]
async fn what_is_posted_from_another_terminal_shows_with_its_credential_masked() {
    let address = free_address().to_string();
    let laptop = start("shown", &alerts(&address), PAGER, &address).await;
    let greeting = laptop.output();
    assert!(greeting.contains(&format!("What is delivered to {address} shows below.")), "{greeting}");
    assert!(greeting.contains("Paste the lines into another terminal."), "{greeting}");
    let id = post(&laptop);
    let lines = delivered(&laptop, &["POST /alerts", &id]).await;
    assert_eq!(lines, ["header clientid: ***  added from WebhookCredential demo/pager", BODY]);
    assert!(!laptop.output().contains(VALUE), "{}", laptop.output());
}

#[tokio::test]
async fn a_credential_in_the_query_is_masked_too() {
    let address = free_address().to_string();
    let alerts = alerts(&address).replace("/alerts\n", "/alerts?team=a%20b\n");
    // Percent-encoded in the query: the value as it stands there must not show either.
    let pager = PAGER.replace("location: Header", "location: QueryParam").replace("clientId: link", "clientId: links");
    let laptop = start("query", &alerts, &pager, &address).await;
    let value = laptop.key("demo/pager-webhook-credential", "value");
    let id = post(&laptop);
    let lines = delivered(&laptop, &["POST /alerts?team=a%20b&clientid=***", &id]).await;
    assert_eq!(lines, ["parameter clientid=***  added from WebhookCredential demo/pager", BODY]);
    let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    assert_ne!(value, encoded, "the test would prove less");
    let output = laptop.output();
    assert!(!output.contains(&value) && !output.contains(&encoded), "{output}");
}

#[tokio::test]
async fn a_port_that_another_program_has_is_left_to_it() {
    let receiver = Receiver::answering(OK);
    let address = receiver.address.to_string();
    let laptop = start("taken", &alerts(&address), PAGER, &address).await;
    let line = laptop.says(&["Another program listens on", &address]).await;
    assert!(line.contains("shows in that one, not here"), "{line}");
    post(&laptop);
    eventually("a call", || !receiver.received().is_empty()).await;
    assert_eq!(receiver.only().header("clientid"), [VALUE]);
    assert!(!laptop.output().contains("Delivered"), "{}", laptop.output());
    assert!(laptop.stop().await.success());
}

#[tokio::test]
async fn it_listens_only_while_a_webhook_delivers_to_it() {
    let address = free_address().to_string();
    let laptop = Laptop::receiving("receiving-later", &[("pager.yaml", PAGER)], &address).await;
    let is_open = || TcpStream::connect(&address).is_ok();
    assert!(!is_open(), "nobody delivers to it yet");
    laptop.save("alerts.yaml", &alerts(&address));
    laptop.says(&["Listening", &address]).await;
    laptop.says(&["Created", "Webhook demo/alerts"]).await;
    // What was printed at the start has no lines for it; a second start has.
    let laptop = laptop.restart(|_| {}).await;
    let id = post(&laptop);
    delivered(&laptop, &["POST /alerts", &id]).await;
    laptop.save("alerts.yaml", &alerts(&address).replace("127.", "128."));
    laptop.says(&["Closed", "no Webhook delivers to the receiver any more"]).await;
    assert!(!is_open());
}

#[tokio::test]
async fn an_address_that_is_refused_is_named_with_the_fix() {
    for wrong in ["0.0.0.0:9000", "127.0.0.1:0", "9000"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        let output = command.args(["dev", ".", "--receive", wrong]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        let parts = [
            wrong,
            "--receive <ADDR:PORT|none>",
            "expected none, or a loopback address with a port other than 0",
            "127.0.0.1:9000",
        ];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[tokio::test]
async fn an_output_that_nobody_reads_keeps_nobody_waiting() {
    let receiver = free_address();
    let directory = copy_of("receiving-unread", "quickstart");
    let alerts = std::fs::read_to_string(directory.join("alerts.yaml")).unwrap();
    save(&directory.join("alerts.yaml"), &alerts.replace(EXAMPLE_RECEIVER, &receiver.to_string()));
    let mut dev = command(&directory, "127.0.0.1:0", &receiver.to_string());
    let dev = dev.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    eventually("the receiver listens", || TcpStream::connect(receiver).is_ok()).await;
    // More than a pipe holds, and more than may wait: each is answered.
    let body = format!("-d{}", "x".repeat(900));
    let posts = format!("http://{receiver}/[1-2000]");
    let curl = Command::new("curl").args(["-sSf", "-m", "60", &body, &posts]).status().unwrap();
    assert!(curl.success());
    let pid = dev.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let dev = RefCell::new(dev);
    eventually("it ends", || dev.borrow_mut().try_wait().unwrap().is_some()).await;
    assert!(dev.borrow_mut().wait().unwrap().success());
}

#[tokio::test]
async fn what_does_not_come_in_time_or_is_too_long_is_refused() {
    let address = free_address();
    let laptop = start("bounds", &alerts(&address.to_string()), PAGER, &address.to_string()).await;
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let post =
        |length: usize| format!("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    let (too_long, owed) = (post(40 << 20), post(9) + "owed");
    // The latter two take their time.
    let answers = std::thread::scope(|scope| {
        let asked =
            [too_long.as_str(), owed.as_str(), "POST / HTTP/1.1\r\nHost: "].map(|head| scope.spawn(|| ask(head)));
        asked.map(|asked| asked.join().unwrap())
    });
    assert!(answers[0].starts_with("HTTP/1.1 413 "), "{answers:?}");
    assert!(answers[1].starts_with("HTTP/1.1 408 "), "{answers:?}");
    assert_eq!(answers[2], "", "a head that does not come is not waited for");
    assert!(laptop.stop().await.success());
}

const BODY: &str = r#"{"status":"firing","alert":"disk full"}"#;

fn alerts(receiver: &str) -> String {
    ALERTS.replace(EXAMPLE_RECEIVER, receiver)
}

async fn start(test: &str, alerts: &str, pager: &str, receive: &str) -> Laptop {
    let files = [("alerts.yaml", alerts), ("pager.yaml", pager)];
    Laptop::receiving(&format!("receiving-{test}"), &files, receive).await
}

/// Pastes the printed lines into another terminal. Returns the id of the message.
fn post(laptop: &Laptop) -> String {
    let answer = shell(&laptop.step("Post to Webhook demo/alerts"));
    assert!(answer.ends_with("} 200\n"), "{answer}");
    answer.split('"').find(|word| word.starts_with("msg_")).unwrap().to_owned()
}

/// Waits for a call, and returns the lines below its first one.
async fn delivered(laptop: &Laptop, parts: &[&str]) -> Vec<String> {
    let first = laptop.says(&[&["Delivered"], parts].concat()).await;
    let output = laptop.output();
    let lines = output.lines().skip_while(|line| *line != first).skip(1);
    lines.take_while(|line| line.starts_with("     ")).map(|line| line.trim().to_owned()).collect()
}
