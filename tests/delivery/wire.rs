//! What a receiver gets, byte for byte.

use snaphook::record::{InjectionRecord, Location, endpoint::Method, endpoint::Target};

use crate::{
    call::{credential, egress_to, endpoint, outgoing, prepare, prepared, send, with_credential},
    receiver::{OK, Received, Receiver},
};

async fn received(path: &str, record: &InjectionRecord) -> Received {
    let receiver = Receiver::answering(OK);
    let sent =
        send(&egress_to(&[receiver.address]), prepared(&with_credential(receiver.url(path)), Some(record))).await;
    assert_eq!(sent.answer.unwrap().status, 200);
    receiver.only()
}

#[tokio::test]
async fn a_client_id_in_a_header() {
    let got = received("/", &credential(Location::Header, "clientid", "link", None)).await;
    assert_eq!(got.request_line, "POST / HTTP/1.1");
    assert!(got.headers.contains(&"clientid: link".to_owned()), "{got:?}");
}

#[tokio::test]
async fn a_client_id_in_the_query() {
    let got = received("/", &credential(Location::QueryParam, "clientid", "link", None)).await;
    assert_eq!(got.request_line, "POST /?clientid=link HTTP/1.1");
    assert_eq!(got.header("clientid"), [""; 0]);
}

#[tokio::test]
async fn a_client_id_and_secret_in_a_header() {
    let got = received("/", &credential(Location::Header, "clientid", "link", Some("epona"))).await;
    assert_eq!(got.request_line, "POST / HTTP/1.1");
    assert!(got.headers.contains(&"clientid: bGlua2Vwb25h".to_owned()), "{got:?}");
}

#[tokio::test]
async fn a_client_id_and_secret_in_the_query() {
    let got = received("/", &credential(Location::QueryParam, "clientid", "link", Some("epona"))).await;
    assert_eq!(got.request_line, "POST /?clientid=bGlua2Vwb25h HTTP/1.1");
}

#[tokio::test]
async fn a_parameter_replaces_those_of_the_url_and_leaves_its_other_bytes_alone() {
    let record = credential(Location::QueryParam, "token", "a+b/c=", None);
    let got = received("/a%2Fb;x//c?q=%zz&%74oken=1&b=+&token&c=%27{}|", &record).await;
    assert_eq!(got.request_line, "POST /a%2Fb;x//c?q=%zz&token=a%2Bb%2Fc%3D&b=+&c=%27{}| HTTP/1.1");
}

#[tokio::test]
async fn the_whole_call() {
    let receiver = Receiver::answering(OK);
    let endpoint = endpoint(receiver.url("/in"), |delivery| {
        delivery.method = Method::Put;
        delivery.headers = [("X-Team".to_owned(), "a".to_owned())].into();
    });
    let sender = [
        ("content-type", "application/json"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    send(&egress_to(&[receiver.address]), prepare(&endpoint, None, outgoing(&sender)).unwrap()).await;
    let mut got = receiver.only();
    got.headers.sort();
    let expected = [
        "accept-encoding: identity".to_owned(),
        "content-length: 7".to_owned(),
        "content-type: application/json".to_owned(),
        format!("host: {}", receiver.address),
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        format!("user-agent: snaphook/{}", env!("CARGO_PKG_VERSION")),
        "webhook-id: msg_1".to_owned(),
        "x-team: a".to_owned(),
    ];
    assert_eq!((got.request_line.as_str(), got.headers.as_slice()), ("PUT /in HTTP/1.1", expected.as_slice()));
    assert_eq!(got.body, b"{\"a\":1}");
}

#[tokio::test]
async fn a_service_is_called_by_its_name_at_its_address() {
    let receiver = Receiver::answering(OK);
    let endpoint = endpoint("", |delivery| {
        delivery.target = Target::Service {
            host: "alerts.ns.svc:8080".to_owned(),
            address: receiver.address.ip(),
            port: receiver.address.port(),
            path: "/in?a=1".to_owned(),
        };
    });
    send(&egress_to(&[]), prepared(&endpoint, None)).await.answer.unwrap();
    let got = receiver.only();
    assert_eq!(got.request_line, "POST /in?a=1 HTTP/1.1");
    assert_eq!(got.header("host"), ["alerts.ns.svc:8080"]);
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let receiver = Receiver::answering(OK);
    let mut message = outgoing(&[]);
    let body = vec![b'x'; 1 << 20];
    message.body = body.clone().into();
    let call = prepare(&endpoint(receiver.url("/"), |_| {}), None, message).unwrap();
    assert_eq!(send(&egress_to(&[receiver.address]), call).await.answer.unwrap().status, 200);
    assert_eq!(receiver.only().body, body);
}
