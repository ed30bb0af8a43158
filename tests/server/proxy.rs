//! Forward-auth behind real proxies, each with the very snippet of `docs/forward-auth.md`.

mod application;
mod nginx;
mod traefik;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
};

use control_plane::Supervised;

use self::application::Application;
use crate::{
    realm::{Realm, Server, wait_until},
    request::{Request, Response},
};

/// A proxy in front of an application that nobody reaches otherwise.
struct Site {
    proxy: Supervised,
    address: SocketAddr,
    application: Application,
    server: Server,
    realm: Realm,
}

impl Site {
    /// `proxy` writes the configuration for its own address, the server's and the application's into a directory, and says how to run it.
    fn start(proxy: impl FnOnce(&Path, SocketAddr, SocketAddr, SocketAddr) -> Command) -> Self {
        let realm = Realm::new();
        realm.client("app", |_| {});
        realm.client("reader", |record| record.scopes = vec!["invoices:read".to_owned()]);
        let server = realm.start(&[]);
        let application = Application::start();
        let address = own_address();
        let command = proxy(realm.path(), address, server.public, application.address);
        let proxy = Supervised::spawn(&command, realm.path().join("proxy.log")).unwrap();
        let site = Self { proxy, address, application, server, realm };
        site.wait_until("listening", || TcpStream::connect(address).is_ok());
        site.wait_until("configured", || site.send(&Request::get("/")).status == 401);
        site
    }

    fn send(&self, request: &Request) -> Response {
        request.send(self.address)
    }

    fn wait_until(&self, what: &str, reached: impl FnMut() -> bool) {
        wait_until(what, || self.proxy.log(), reached);
    }

    /// Status and challenge of a request that must not reach the application.
    fn refused(&self, request: &Request) -> (u16, Option<String>) {
        let before = self.application.requests();
        let response = self.send(request);
        assert_eq!(self.application.requests(), before, "it went through: {request:?}");
        (response.status, response.header("www-authenticate").map(str::to_owned))
    }
}

/// An address that no other process is given: proxies do not choose a port, and one that was free on the common address may be taken
/// a moment later.
fn own_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    TcpListener::bind((Ipv4Addr::new(127, 77, high, low), 0)).unwrap().local_addr().unwrap()
}

/// The block of code below a heading in the documentation.
fn snippet(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/forward-auth.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let (_, fenced) = section.split_once("\n```").expect("the snippet");
    let (_, code) = fenced.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0.to_owned()
}

/// The text with every name in it replaced; each must be there.
fn filled(text: &str, names: &[(&str, String)]) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| {
        assert!(text.contains(name), "{name} is not in\n{text}");
        text.replace(name, value)
    })
}

const MALFORMED: u16 = 400;

/// What every proxy must do.
fn protects(site: &Site) {
    let token = site.server.token("app");
    let unauthorized = (401, Some(r#"Bearer realm="snaphook""#.to_owned()));
    let invalid = (401, Some(r#"Bearer realm="snaphook", error="invalid_token""#.to_owned()));

    assert_eq!(site.refused(&Request::get("/orders/7")), unauthorized);
    assert_eq!(site.refused(&Request::get(&format!("/orders/7?access_token={token}"))), unauthorized);
    assert_eq!(site.refused(&Request::get("/orders/7").header("X-Snaphook-Client-Id", "ns.admin")), unauthorized);
    assert_eq!(site.refused(&Request::get("/orders/7").bearer("a.b.c")), invalid);
    assert_eq!(site.refused(&Request::get("/orders/7").bearer(&token).bearer(&token)).0, MALFORMED);
    let (status, challenge) = site.refused(&Request::get("/orders/7").bearer(&site.server.token("reader")));
    let missing = r#"Bearer realm="snaphook", error="insufficient_scope", scope="orders:read""#;
    assert_eq!((status, challenge.as_deref()), (403, Some(missing)));

    for request in [Request::get("/orders/7?a=b"), Request::new("DELETE", "/orders/7?a=b"), posted("/orders/7?a=b")] {
        let spoofed = request
            .bearer(&token)
            .header("X-Snaphook-Client-Id", "ns.admin")
            .header("x-snaphook-client-id", "ns.other")
            .header("X-Snaphook-Namespace", "kube-system")
            .header("X-SNAPHOOK-SCOPE", "admin");
        let seen = site.send(&spoofed);
        assert_eq!(seen.status, 200, "{seen:?}");
        let lines: Vec<&str> = seen.body.lines().collect();
        assert!(
            lines[0].ends_with(" /orders/7?a=b HTTP/1.1") || lines[0].ends_with(" /orders/7?a=b HTTP/1.0"),
            "{lines:?}"
        );
        let mut identity: Vec<String> =
            lines.iter().map(|line| line.to_ascii_lowercase()).filter(|line| line.starts_with("x-snaphook-")).collect();
        identity.sort();
        let expected = [
            "x-snaphook-client-id: ns.app",
            "x-snaphook-namespace: ns",
            "x-snaphook-scope: orders:read invoices:write",
        ];
        assert_eq!(identity, expected);
    }
    // A header that the sender calls a matter of the connection may go missing, and nothing else comes in its place.
    let hop = Request::get("/")
        .bearer(&token)
        .header("Connection", "X-Snaphook-Client-Id")
        .header("X-Snaphook-Client-Id", "ns.admin");
    assert!(!site.send(&hop).body.contains("ns.admin"));

    site.realm.client("app", |record| record.revoked = true);
    site.wait_until("refused", || site.send(&Request::get("/orders/7").bearer(&token)).status == 401);
    assert_eq!(site.refused(&Request::get("/orders/7").bearer(&token)), invalid);
}

fn posted(path: &str) -> Request {
    Request::new("POST", path).header("Content-Type", "application/json").body(r#"{"order":7}"#)
}
