//! Calls go where they may, and nowhere else: the address that is connected to is the address that was vetted.

use std::{
    env,
    net::{IpAddr, SocketAddr},
    process::Command,
};

use snaphook::{
    delivery::{
        egress::{Egress, Exception, Guard, Resolver},
        verdict::{FailureKind, HoldReason, Verdict},
    },
    record::{EndpointRecord, endpoint::Target},
};

use crate::{
    call::{answer, egress, egress_to, endpoint, failure, no_names, outgoing, prepare, prepared},
    name_server::NameServer,
    receiver::{OK, Receiver, silent_port, was_called},
};

fn to(url: impl Into<String>) -> EndpointRecord {
    endpoint(url, |_| {})
}

fn guard(addresses: &[SocketAddr]) -> Guard {
    Guard { exceptions: addresses.iter().copied().map(Exception::Exact).collect(), ..Guard::default() }
}

fn by(server: &NameServer, guard: Guard) -> Egress {
    egress(guard, Resolver::with_name_server(server.address, &[]).unwrap())
}

/// That hosts in canonical form are refused for their address, and others for their spelling.
async fn refuses(egress: &Egress, port: u16, canonical: &[&str], spellings: &[&str]) {
    let url = |host: &&str| to(format!("http://{host}:{port}/"));
    for host in canonical {
        let failure = failure(egress, &url(host)).await;
        assert_eq!(failure.kind, FailureKind::EgressDenied, "{host}: {}", failure.detail);
    }
    for host in spellings {
        let verdict = prepare(&url(host), None, outgoing(&[])).err();
        assert_eq!(verdict, Some(Verdict::Hold(HoldReason::TargetInvalid)), "{host}");
    }
}

#[tokio::test]
async fn loopback_is_refused_in_every_spelling() {
    let (listener, address) = silent_port();
    let canonical = [
        "127.0.0.1",
        "127.255.255.254",
        "localhost",
        "localhost.",
        "foo.localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:7f00:1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    ];
    let spellings = [
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0x7F.0x0.0x0.0x1",
        "00000177.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "%31%32%37%2e%30%2e%30%2e%31",
        "LOCALHOST",
        "0",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::FFFF:7F00:1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
    ];
    refuses(&egress_to(&[]), address.port(), &canonical, &spellings).await;
    assert!(was_called(&listener).is_none());
}

#[tokio::test]
async fn metadata_services_are_refused_in_every_spelling() {
    let canonical = [
        "169.254.169.254",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "168.63.129.16",
        "100.100.100.200",
    ];
    let spellings = [
        "169.254.169.254.",
        "169.254.43518",
        "169.16689662",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
    ];
    // Also where the operator allows nearly everything.
    let exceptions = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let wide = egress(Guard { exceptions, ..Guard::default() }, no_names());
    for egress in [egress_to(&[]), wide] {
        refuses(&egress, 8080, &canonical, &spellings).await;
    }
}

#[tokio::test]
async fn an_exception_is_for_its_address_and_port_alone() {
    let (allowed, other) = (Receiver::answering(OK), Receiver::answering(OK));
    let egress = egress_to(&[allowed.address]);
    assert_eq!(answer(&egress, &to(allowed.url("/"))).await.status, 200);
    let failure = failure(&egress, &to(other.url("/"))).await;
    assert_eq!(failure.kind, FailureKind::EgressDenied);
    assert_eq!(
        failure.detail,
        "127.0.0.1 is not called: a loopback address is for no receiver unless --allow-egress names it"
    );
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_laptop_may_call_itself() {
    let (receiver, server) = (Receiver::answering(OK), Receiver::answering(OK));
    let guard = Guard { loopback: true, forbidden: vec![server.address.into()], ..Guard::default() };
    let egress = egress(guard, no_names());
    assert_eq!(answer(&egress, &to(receiver.url("/"))).await.status, 200);
    let by_name = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(answer(&egress, &to(by_name)).await.status, 200);
    assert_eq!(failure(&egress, &to(server.url("/"))).await.kind, FailureKind::EgressDenied);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_is_as_good_as_its_address() {
    let (listener, address) = silent_port();
    for answer in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"]
    {
        let server = NameServer::start(move |_, _| vec![answer.parse().unwrap()]);
        let url = format!("http://hooks.example.net:{}/", address.port());
        let failure = failure(&by(&server, Guard::default()), &to(url)).await;
        assert_eq!(failure.kind, FailureKind::EgressDenied, "{answer}: {}", failure.detail);
    }
    assert!(was_called(&listener).is_none());
}

#[tokio::test]
async fn a_name_that_changes_between_vetting_and_connecting_gains_nothing() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let trap = std::net::TcpListener::bind(("127.0.0.2", receiver.address.port())).unwrap();
    let first_good = |_: &str, count: usize| -> Vec<IpAddr> {
        vec![if count == 0 { "127.0.0.1" } else { "127.0.0.2" }.parse().unwrap()]
    };
    let server = NameServer::start(first_good);
    let egress = by(&server, guard(&[receiver.address]));
    let endpoint = to(format!("http://rebind.example.net:{}/", receiver.address.port()));
    assert_eq!(answer(&egress, &endpoint).await.status, 200);
    assert_eq!((server.asked().len(), receiver.connections()), (1, 1), "one resolution for one connection");
    let failure = failure(&egress, &endpoint).await;
    assert_eq!((failure.kind, server.asked().len()), (FailureKind::EgressDenied, 2), "{}", failure.detail);
    assert!(was_called(&trap).is_none());
}

#[tokio::test]
async fn of_several_addresses_only_the_vetted_ones_are_called() {
    let receiver = Receiver::answering(OK);
    let trap = std::net::TcpListener::bind(("127.0.0.2", receiver.address.port())).unwrap();
    let server = NameServer::start(|_, _| ["127.0.0.2", "::1", "127.0.0.1"].map(|text| text.parse().unwrap()).into());
    let egress = by(&server, guard(&[receiver.address]));
    let endpoint = to(format!("http://several.example.net:{}/", receiver.address.port()));
    assert_eq!(answer(&egress, &endpoint).await.status, 200);
    assert_eq!(receiver.only().header("host"), [format!("several.example.net:{}", receiver.address.port())]);
    assert!(was_called(&trap).is_none());
}

#[tokio::test]
async fn an_address_that_does_not_accept_leaves_the_next_one() {
    let receiver = Receiver::answering(OK);
    let port = receiver.address.port();
    let dead = SocketAddr::new("127.0.0.3".parse().unwrap(), port);
    let server = NameServer::start(|_, _| ["127.0.0.3", "127.0.0.1"].map(|text| text.parse().unwrap()).into());
    let egress = by(&server, guard(&[receiver.address, dead]));
    assert_eq!(answer(&egress, &to(format!("http://two.example.net:{port}/"))).await.status, 200);
}

#[tokio::test]
async fn a_name_without_an_address() {
    let server = NameServer::start(|_, _| vec![]);
    let failure = failure(&by(&server, Guard::default()), &to("http://nobody.example.net/hush?hush")).await;
    assert_eq!(failure.kind, FailureKind::NotResolved);
    assert!(failure.detail.starts_with("nobody.example.net has no address: ") && !failure.detail.contains("hush"));
}

#[tokio::test]
async fn search_domains_count_only_for_names_that_are_nowhere() {
    let receiver = Receiver::answering(OK);
    let known = |name: &str, _| match name {
        "example.net" | "receiver.monitoring.svc.cluster.local" => vec!["127.0.0.1".parse().unwrap()],
        // Whoever has the namespace `net` would like to be the receiver.
        "example.net.svc.cluster.local" | "broken.net.svc.cluster.local" => vec!["127.0.0.2".parse().unwrap()],
        _ => vec![],
    };
    let call = async |host: &str| {
        let server = NameServer::start(known);
        let resolver = Resolver::with_name_server(server.address, &["svc.cluster.local.", "cluster.local."]).unwrap();
        let endpoint = to(format!("http://{host}:{}/", receiver.address.port()));
        let sent = egress(guard(&[receiver.address]), resolver).send(prepared(&endpoint, None)).await;
        (sent.answer.map(|answer| answer.status).map_err(|failure| failure.kind), server.asked())
    };
    assert_eq!(call("example.net").await, (Ok(200), vec!["example.net".to_owned()]));
    let (result, asked) = call("receiver.monitoring.svc").await;
    assert_eq!(result, Ok(200), "{asked:?}");
    let (result, asked) = call("broken.net").await;
    assert_eq!(result, Err(FailureKind::NotResolved));
    assert!(asked.iter().all(|name| name == "broken.net"), "{asked:?}");
}

#[tokio::test]
async fn a_url_cannot_use_the_connection_of_a_service() {
    let receiver = Receiver::answering(OK);
    let egress = egress_to(&[]);
    let service = endpoint("", |delivery| {
        let (address, port) = (receiver.address.ip(), receiver.address.port());
        delivery.target = Target::Service { host: receiver.address.to_string(), address, port, path: "/".to_owned() };
    });
    assert_eq!(answer(&egress, &service).await.status, 200);
    assert_eq!(failure(&egress, &to(receiver.url("/"))).await.kind, FailureKind::EgressDenied);
    assert_eq!((receiver.received().len(), receiver.connections()), (1, 1));
}

const IN_CHILD: &str = "SNAPHOOK_TEST_CHILD";

#[tokio::test]
async fn proxies_of_the_environment_are_not_asked() {
    if env::var_os(IN_CHILD).is_some() {
        let receiver = Receiver::answering(OK);
        let status = answer(&egress_to(&[receiver.address]), &to(receiver.url("/in"))).await.status;
        assert_eq!((status, receiver.only().request_line.as_str()), (200, "POST /in HTTP/1.1"));
        return;
    }
    // The environment of this process is shared by all tests, so another one has it.
    let (listener, proxy) = silent_port();
    let mut child = Command::new(env::current_exe().unwrap());
    child
        .args(["guard::proxies_of_the_environment_are_not_asked", "--exact"])
        .env(IN_CHILD, "1")
        .env_remove("NO_PROXY");
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy"] {
        child.env(name, format!("http://{proxy}"));
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    assert!(was_called(&listener).is_none());
}
