//! What is sent for which records, and when nothing is.

use super::*;
use crate::record::{
    Location, Source, VERSION,
    endpoint::{EndpointSecret, Handler, HandlerType, InactiveMode, Limits, Retry, Verification},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn source(kind: &str, name: &str) -> Source {
    Source { kind: kind.to_owned(), namespace: "ns".to_owned(), name: name.to_owned(), uid: "uid".to_owned() }
}

fn endpoint(change: impl FnOnce(&mut Delivery)) -> EndpointRecord {
    let mut delivery = Delivery {
        target: Target::Url("https://hooks.example.net/in?a=1".to_owned()),
        method: endpoint::Method::Post,
        headers: [].into(),
        signing_secrets: vec![],
        credential: None,
        on_missing_credential: OnMissingCredential::SendUnauthenticated,
        timeout_seconds: 15,
        retry: Retry { attempts: 10, initial_delay_seconds: 5, max_delay_seconds: 36_000 },
        max_in_flight: 8,
        rate_limit: None,
        expire_after_seconds: 1000,
    };
    change(&mut delivery);
    EndpointRecord {
        version: VERSION,
        source: source("Webhook", "alerts"),
        urls: vec![],
        active: true,
        inactive_mode: InactiveMode::Reject,
        max_body_bytes: 1024,
        verification: Verification::GitHub,
        secrets: vec![],
        handler: Handler { type_: HandlerType::Json, filter: None, transform: None, key: None },
        delivery,
        limits: Limits::default(),
    }
}

fn credential(location: Location, name: &str, value: &str) -> InjectionRecord {
    let (source, value) = (source("WebhookCredential", "pager"), value.to_owned().into());
    InjectionRecord { version: VERSION, source, location, field_name: name.to_owned(), value }
}

fn outgoing(headers: &[(&'static str, &'static str)]) -> Outgoing {
    let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let headers = headers.iter().map(header).collect();
    Outgoing { id: "msg_1".to_owned(), accepted_at: at(1000), attempts: 0, headers, body: Bytes::from_static(b"{}") }
}

fn lines(prepared: &Prepared) -> Vec<String> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut lines: Vec<_> = prepared.headers.iter().map(line).collect();
    lines.sort();
    lines
}

fn prepare(
    endpoint: &EndpointRecord,
    credential: Option<&InjectionRecord>,
    outgoing: Outgoing,
    now: Timestamp,
) -> Result<Prepared, Verdict> {
    let destination = Destination::of(&endpoint.delivery.target);
    super::prepare(endpoint, destination.as_ref().map_err(|reason| *reason), credential, outgoing, now)
}

fn verdict(endpoint: &EndpointRecord, credential: Option<&InjectionRecord>) -> Verdict {
    prepare(endpoint, credential, outgoing(&[]), at(1001)).unwrap_err()
}

#[test]
fn a_plain_call() {
    let sender = [("content-type", "application/json")];
    let prepared = prepare(&endpoint(|_| {}), None, outgoing(&sender), at(1001)).unwrap();
    assert_eq!((prepared.receiver, &prepared.method, prepared.auth()), (Receiver::Url, &Method::POST, Auth::NotWanted));
    assert_eq!(prepared.uri, "https://hooks.example.net/in?a=1");
    let agent = format!("user-agent: snaphook/{}", env!("CARGO_PKG_VERSION"));
    let expected = ["accept-encoding: identity", "content-type: application/json", &agent, "webhook-id: msg_1"];
    assert_eq!(lines(&prepared), expected);
    assert_eq!((prepared.timeout, prepared.terms.standing.attempts), (Duration::from_secs(15), 1));
}

#[test]
fn the_webhooks_headers_replace_the_senders_and_the_credential_replaces_both() {
    let endpoint = endpoint(|delivery| {
        delivery.credential = Some("pager".to_owned());
        delivery.headers = [("X-Team", "a"), ("X-Token", "configured"), ("User-Agent", "mine")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    });
    let sender = [("x-team", "sender"), ("x_token", "sender"), ("x-kept", "1")];
    let record = credential(Location::Header, "X-TOKEN", "link");
    let prepared = prepare(&endpoint, Some(&record), outgoing(&sender), at(1001)).unwrap();
    let expected = [
        "accept-encoding: identity",
        "user-agent: mine",
        "webhook-id: msg_1",
        "x-kept: 1",
        "x-team: a",
        "x-token: link",
    ];
    assert_eq!((lines(&prepared), prepared.auth()), (expected.map(str::to_owned).into(), Auth::Sent));
}

#[test]
fn a_credential_in_the_query() {
    let endpoint = endpoint(|delivery| delivery.credential = Some("pager".to_owned()));
    let record = credential(Location::QueryParam, "clientid", "a+b=");
    let prepared = prepare(&endpoint, Some(&record), outgoing(&[]), at(1001)).unwrap();
    assert_eq!(prepared.uri, "https://hooks.example.net/in?a=1&clientid=a%2Bb%3D");
    assert!(!format!("{prepared:?}").contains("a%2Bb"), "{prepared:?}");
}

#[test]
fn a_call_is_signed_at_the_time_of_the_attempt() {
    let secret = EndpointSecret {
        value: SECRET.to_owned().into(),
        generated: true,
        created_at: at(0),
        not_after: None,
        nonce: None,
    };
    let endpoint = endpoint(|delivery| delivery.signing_secrets = vec![secret]);
    let mut message = outgoing(&[]);
    message.id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
    message.body = Bytes::from_static(b"{\"test\": 2432232314}");
    message.accepted_at = at(1_614_265_000);
    let prepared = prepare(&endpoint, None, message, at(1_614_265_330)).unwrap();
    let signed = [
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "webhook-timestamp: 1614265330",
    ];
    assert_eq!(lines(&prepared)[2..], signed);
}

#[test]
fn a_service_is_called_by_its_address_under_its_name() {
    let call = |address: &str, port, path: &str| {
        let target = Target::Service {
            host: "alerts.ns.svc:8080".to_owned(),
            address: address.parse().unwrap(),
            port,
            path: path.to_owned(),
        };
        prepare(&endpoint(|delivery| delivery.target = target), None, outgoing(&[]), at(1001))
    };
    let prepared = call("10.96.7.7", 8080, "/in?a=1").unwrap();
    assert_eq!(
        (prepared.receiver, prepared.uri.to_string().as_str()),
        (Receiver::Service, "http://10.96.7.7:8080/in?a=1")
    );
    assert_eq!(prepared.headers.get_all(HOST).iter().collect::<Vec<_>>(), ["alerts.ns.svc:8080"]);
    assert_eq!(call("fd00::7", 80, "/").unwrap().uri, "http://[fd00::7]:80/");
    for path in ["", "in", "/#a", "/a b", "@1.1.1.1/", ".example.net/"] {
        let verdict = call("10.96.7.7", 80, path).unwrap_err();
        assert_eq!(verdict, Verdict::Hold(HoldReason::TargetInvalid), "{path:?}");
    }
}

#[test]
fn a_missing_credential_is_handled_as_the_webhook_says() {
    let wanting = |on_missing| {
        endpoint(move |delivery| {
            delivery.credential = Some("pager".to_owned());
            delivery.on_missing_credential = on_missing;
        })
    };
    let prepared = prepare(&wanting(OnMissingCredential::SendUnauthenticated), None, outgoing(&[]), at(1001)).unwrap();
    assert_eq!((prepared.auth(), prepared.auth().as_str()), (Auth::Missing, "No Auth"));
    let mut elsewhere = credential(Location::Header, "clientid", "link");
    elsewhere.source.namespace = "other".to_owned();
    let mut another = credential(Location::Header, "clientid", "link");
    another.source.name = "other".to_owned();
    for found in [None, Some(&elsewhere), Some(&another)] {
        let (hold, dead) = (wanting(OnMissingCredential::Hold), wanting(OnMissingCredential::DeadLetter));
        assert_eq!(verdict(&hold, found), Verdict::Hold(HoldReason::CredentialMissing));
        assert_eq!(verdict(&dead, found), Verdict::DeadLetter(DeadReason::CredentialMissing));
    }
    let unasked = credential(Location::Header, "clientid", "link");
    let prepared = prepare(&endpoint(|_| {}), Some(&unasked), outgoing(&[]), at(1001)).unwrap();
    assert!(!prepared.headers.contains_key("clientid"));
}

#[test]
fn what_cannot_be_sent_waits_for_somebody_to_mend_it() {
    let target = |target: Target| endpoint(|delivery| delivery.target = target);
    let unresolved = target(Target::Unresolved("no Service alerts".to_owned()));
    assert_eq!(verdict(&unresolved, None), Verdict::Hold(HoldReason::TargetUnresolved));
    for url in ["http://127.1/", "https://user:pass@example.net/", "ftp://example.net/", "", "https://example.net/#a"] {
        assert_eq!(
            verdict(&target(Target::Url(url.to_owned())), None),
            Verdict::Hold(HoldReason::TargetInvalid),
            "{url}"
        );
    }
    let headers = endpoint(|delivery| delivery.headers = [("Host".to_owned(), "x".to_owned())].into());
    assert_eq!(verdict(&headers, None), Verdict::Hold(HoldReason::HeadersInvalid));
    let secret = EndpointSecret {
        value: "!".to_owned().into(),
        generated: false,
        created_at: at(0),
        not_after: None,
        nonce: None,
    };
    let unsigned = endpoint(|delivery| delivery.signing_secrets = vec![secret]);
    assert_eq!(verdict(&unsigned, None), Verdict::Hold(HoldReason::SigningSecretInvalid));
    let wanting = endpoint(|delivery| delivery.credential = Some("pager".to_owned()));
    let broken = credential(Location::Header, "clientid", "a\r\nb");
    assert_eq!(verdict(&wanting, Some(&broken)), Verdict::Hold(HoldReason::CredentialInvalid));
}

#[test]
fn what_has_ended_is_not_sent_whatever_it_waits_for() {
    let unresolved = endpoint(|delivery| delivery.target = Target::Unresolved("no Service".to_owned()));
    let late = prepare(&unresolved, None, outgoing(&[]), at(2000)).unwrap_err();
    assert_eq!(late, Verdict::DeadLetter(DeadReason::Expired));
    let tried = Outgoing { attempts: 10, ..outgoing(&[]) };
    let exhausted = prepare(&unresolved, None, tried, at(1001)).unwrap_err();
    assert_eq!(exhausted, Verdict::DeadLetter(DeadReason::AttemptsExhausted));
    assert!(prepare(&endpoint(|_| {}), None, outgoing(&[]), at(1999)).is_ok());
}

#[test]
fn debug_shows_neither_headers_nor_url_nor_body() {
    let endpoint = endpoint(|delivery| {
        delivery.target = Target::Url("https://hooks.example.net/hush-path?hush-query".to_owned());
        delivery.headers = [("X-Token".to_owned(), "hush-header".to_owned())].into();
        delivery.credential = Some("pager".to_owned());
    });
    let mut message = outgoing(&[("x-other", "hush-sender")]);
    message.body = Bytes::from_static(b"hush-body");
    let record = credential(Location::QueryParam, "clientid", "hush-value");
    let shown = format!("{message:?}");
    let prepared = prepare(&endpoint, Some(&record), message, at(1001)).unwrap();
    let shown = format!("{shown} {prepared:?}");
    assert!(!shown.contains("hush") && shown.contains("hooks.example.net"), "{shown}");
}
