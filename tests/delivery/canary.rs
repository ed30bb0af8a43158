//! What a call is made with shows nowhere: not in logs at any level, errors or `Debug`, and not in what is kept of an answer.

use std::{
    io,
    sync::{Arc, Mutex},
};

use snaphook::{
    delivery::attempt::{Sent, settle},
    record::{EndpointRecord, InjectionRecord, Location, endpoint::EndpointSecret},
};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    call::{credential, egress_to, endpoint, now, outgoing, prepare, send},
    receiver::{Receiver, closed_port, silent_port},
};

const CREDENTIAL: &str = "canary+cred/ential==";
const CANARIES: [&str; 7] = [
    "canary+cred/ential==",
    "canary%2Bcred%2Fential%3D%3D",
    "canary-path",
    "canary-query",
    "canary-configured",
    "canary-body",
    // The end of the signing secret.
    "Y2FuYXJ5LXNpZ25pbmctc2VjcmV0",
];

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn loaded(url: impl Into<String>) -> EndpointRecord {
    let secret = EndpointSecret {
        value: "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0".to_owned().into(),
        generated: true,
        created_at: now(),
        not_after: None,
        nonce: None,
    };
    endpoint(url.into() + "/canary-path?canary-query", |delivery| {
        delivery.credential = Some("pager".to_owned());
        delivery.headers = [("X-Configured".to_owned(), "canary-configured".to_owned())].into();
        delivery.signing_secrets = vec![secret];
    })
}

fn both() -> [InjectionRecord; 2] {
    [Location::Header, Location::QueryParam].map(|location| credential(location, "clientid", CREDENTIAL, None))
}

async fn call(address: std::net::SocketAddr, url: &str, record: &InjectionRecord) -> (String, Sent) {
    let mut message = outgoing(&[("x-sender", "canary-configured")]);
    message.body = "canary-body".into();
    let (endpoint, egress) = (loaded(url), egress_to(&[address]));
    let shown = format!("{record:?} {message:?}");
    let prepared = prepare(&endpoint, Some(record), message).unwrap();
    let before = format!("{shown} {prepared:?}");
    let sent = send(&egress, prepared).await;
    let said = format!("{before} {sent:?} {:?} {:?}", sent.answer, settle(&sent, now(), 0.5));
    (said, sent)
}

fn assert_silent(said: &str) {
    for canary in CANARIES {
        assert!(!said.contains(canary), "{canary} shows in {said}");
    }
}

#[tokio::test]
async fn nothing_is_said_whatever_goes_wrong() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is heard");
    let echo = Receiver::start(|request, wire| {
        let echo = request.echo();
        write!(wire, "HTTP/1.1 401 X\r\ncontent-length: {}\r\n\r\n{echo}", echo.len()).is_ok()
    });
    let odd = Receiver::start(|request, wire| {
        let _ = write!(wire, "HTTP/1.1 200 OK\r\n{}\r\n\r\n", request.echo());
        false
    });
    let (_listener, silent) = silent_port();
    let closed = closed_port();
    for record in both() {
        let denied = "http://127.0.0.9:1".to_owned();
        let unknown = "http://nobody.canary.example.net".to_owned();
        let urls = [echo.address, odd.address, silent, closed].map(|address| format!("http://{address}"));
        for url in urls.into_iter().chain([format!("https://{}", odd.address), denied, unknown]) {
            let address = url.split_once("://").unwrap().1.parse().unwrap_or(closed);
            let allowed = if url.contains("127.0.0.9") { closed } else { address };
            assert_silent(&call(allowed, &url, &record).await.0);
        }
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the log is heard"));
    assert_silent(&logged);
    assert!(format!("{:?}", echo.received()).contains(CREDENTIAL), "it was sent");
}

#[tokio::test]
async fn an_echo_is_kept_without_what_the_call_was_made_with() {
    let echo = Receiver::start(|request, wire| {
        let echo = request.echo();
        write!(wire, "HTTP/1.1 401 X\r\ncontent-length: {}\r\n\r\n{echo}", echo.len()).is_ok()
    });
    for record in both() {
        let (_, sent) = call(echo.address, &format!("http://{}", echo.address), &record).await;
        let kept = sent.answer.unwrap().snippet;
        assert!(kept.contains("POST ***") && kept.contains("webhook-id: msg_1"), "{kept}");
        // The body is the user's own business.
        assert_silent(&kept.replace("canary-body", ""));
        assert!(!kept.contains("v1,"), "{kept}");
    }
}
