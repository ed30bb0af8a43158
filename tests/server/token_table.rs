//! The table of the token endpoint, row by row.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    realm::{Realm, SECRET, Server, in_seconds, secret},
    request::{Request, Response},
};

const WRONG: &str = "wrong-secret-0123456789-abcdefghijklmn";
const A: &str = "https://a.test/api";
const B: &str = "https://b.test/api";

fn start(arguments: &[&str]) -> (Realm, Server) {
    let realm = Realm::new();
    realm.client("app", |_| {});
    realm.client("revoked", |record| record.revoked = true);
    realm.client("suspended", |record| record.suspended = true);
    realm.client("expired", |record| record.expires_at = Some(in_seconds(-1)));
    realm.client("short", |record| record.secrets = vec![secret("short")]);
    realm.client("two", |record| record.audiences = vec![A.to_owned(), B.to_owned()]);
    let server = realm.start(arguments);
    (realm, server)
}

fn app(more: &[(&str, &str)]) -> Request {
    Request::token(more).basic("ns.app", SECRET)
}

/// Status, `error`, and the headers that every answer of this endpoint has.
fn outcome(server: &Server, request: &Request) -> (u16, String) {
    let response = server.send(request);
    assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    assert_eq!(response.header("pragma"), Some("no-cache"), "{response:?}");
    let unauthorized = response.status == 401;
    assert_eq!(response.header("www-authenticate"), unauthorized.then_some(r#"Basic realm="snaphook""#));
    let description = response.json()["error_description"].as_str().unwrap_or_default().to_owned();
    assert!(description.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\'), "{description}");
    (response.status, response.error())
}

fn assert_all(server: &Server, row: u32, status: u16, error: &str, requests: &[Request]) {
    for request in requests {
        let request_text = String::from_utf8_lossy(&request.bytes()).into_owned();
        assert_eq!(outcome(server, request), (status, error.to_owned()), "row {row}: {request_text}");
    }
}

#[test]
fn row_1_a_valid_request_gets_a_token_and_no_refresh_token() {
    let (_realm, server) = start(&[]);
    for request in [app(&[]), Request::token(&[("client_id", "ns.app"), ("client_secret", SECRET)])] {
        let response: Response = server.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
        let mut body = response.json();
        assert!(body["access_token"].take().as_str().unwrap().split('.').count() == 3);
        let expected = json!({
            "access_token": null, "token_type": "Bearer", "expires_in": 300, "scope": "orders:read invoices:write",
        });
        assert_eq!(body, expected);
    }
}

#[test]
fn row_2_whoever_does_not_prove_himself_is_an_invalid_client() {
    let (_realm, server) = start(&[]);
    let assertion = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let requests = [
        Request::token(&[]),
        Request::token(&[("client_id", "ns.app")]),
        Request::token(&[]).basic("ns.app", WRONG),
        Request::token(&[("client_id", "ns.app"), ("client_secret", WRONG)]),
        Request::token(&[]).basic("ns.nobody", SECRET),
        Request::token(&[]).basic("ns.revoked", SECRET),
        Request::token(&[]).basic("ns.suspended", SECRET),
        Request::token(&[]).basic("ns.expired", SECRET),
        Request::token(&[]).basic("ns.short", "short"),
        Request::token(&[("client_assertion", "a.b.c"), assertion]),
    ];
    assert_all(&server, 2, 401, "invalid_client", &requests);
    let bodies: Vec<_> = requests.iter().map(|request| server.send(request).body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "one answer, whatever the cause: {bodies:?}");
}

#[test]
fn row_3_malformed_basic_and_other_schemes_are_an_invalid_client() {
    let (_realm, server) = start(&[]);
    let no_colon = format!("Basic {}", STANDARD.encode("ns.app"));
    let headers = ["Basic", "Basic ", "Basic !!!", &no_colon, "Bearer abc", "Digest username=x", "", "Basic\tx"];
    let requests = headers.map(|value| Request::token(&[]).header("Authorization", value));
    assert_all(&server, 3, 401, "invalid_client", &requests);
    let shouted = app(&[]).bytes();
    let shouted = String::from_utf8(shouted).unwrap().replace("Basic ", "BASIC ");
    let mut connection = crate::request::Connection::open(server.public);
    connection.write(shouted.as_bytes());
    assert_eq!(connection.response("POST").status, 200, "the scheme's name has no case");
}

#[test]
fn row_4_two_methods_of_authentication_are_an_invalid_request() {
    let (_realm, server) = start(&[]);
    let post = [("client_id", "ns.app"), ("client_secret", SECRET)];
    let requests = [
        app(&post),
        app(&post[1..]),
        app(&[]).basic("ns.app", SECRET),
        app(&[("client_assertion", "a.b.c")]),
        Request::token(&[post[0], post[1], ("client_assertion", "a.b.c")]),
    ];
    assert_all(&server, 4, 400, "invalid_request", &requests);
}

#[test]
fn row_5_the_client_id_in_the_body_must_agree_with_basic() {
    let (realm, server) = start(&[]);
    assert_all(&server, 5, 200, "", &[app(&[("client_id", "ns.app")]), app(&[("client_id", "")])]);
    assert_all(&server, 5, 400, "invalid_request", &[app(&[("client_id", "ns.other")])]);

    let odd = "100%25+and+more-0123456789-abcdefgh";
    realm.client("odd", |record| record.secrets = vec![secret(odd)]);
    let encoded: String = form_urlencoded::byte_serialize(odd.as_bytes()).collect();
    let raw = Request::token(&[("client_id", "ns.odd")]).basic("ns.odd", odd);
    server.wait_until("served", || server.send(&raw).status == 200);
    assert_all(&server, 5, 200, "", &[raw, Request::token(&[]).basic("ns%2Eodd", &encoded)]);
}

#[test]
fn row_6_the_grant_is_client_credentials() {
    let (_realm, server) = start(&[]);
    let with = |grant: &[(&str, &str)]| Request::form("/oauth/token", grant).basic("ns.app", SECRET);
    assert_all(&server, 6, 400, "invalid_request", &[with(&[]), with(&[("grant_type", "")])]);
    let unknown = ["password", "authorization_code", "Client_Credentials"].map(|grant| with(&[("grant_type", grant)]));
    assert_all(&server, 6, 400, "unsupported_grant_type", &unknown);
}

#[test]
fn row_7_a_scope_that_is_not_allowed_or_malformed_is_refused() {
    let (_realm, server) = start(&[]);
    let scopes =
        ["admin", "orders:read admin", "snaphook:introspect", " ", "orders:read  invoices:write", "a\"b", "é", "\0"];
    assert_all(&server, 7, 400, "invalid_scope", &scopes.map(|scope| app(&[("scope", scope)])));
}

#[test]
fn row_8_without_a_scope_all_are_granted() {
    let (_realm, server) = start(&[]);
    for request in [app(&[]), app(&[("scope", "")])] {
        assert_eq!(server.send(&request).json()["scope"], "orders:read invoices:write");
    }
    assert_eq!(server.send(&app(&[("scope", "invoices:write")])).json()["scope"], "invoices:write");
}

#[test]
fn row_9_a_parameter_that_comes_twice_is_refused_except_resource() {
    let (_realm, server) = start(&[]);
    let scope = ("scope", "orders:read");
    let requests = [
        app(&[scope, scope]),
        app(&[("grant_type", "client_credentials")]),
        app(&[("scope", ""), scope]),
        app(&[("x", "1"), ("x", "2")]),
        Request::token(&[("client_id", "ns.app"), ("client_secret", SECRET), ("client_secret", SECRET)]),
    ];
    assert_all(&server, 9, 400, "invalid_request", &requests);
    let two = Request::token(&[("resource", A), ("resource", B)]).basic("ns.two", SECRET);
    assert_all(&server, 9, 200, "", &[two]);
}

#[test]
fn row_10_an_unknown_parameter_is_ignored() {
    let (_realm, server) = start(&[]);
    assert_all(&server, 10, 200, "", &[app(&[("colour", "blue"), ("token", "x")])]);
}

#[test]
fn row_11_the_query_string_is_ignored() {
    let (_realm, server) = start(&[]);
    let form = Request::form("/oauth/token?grant_type=client_credentials", &[]).basic("ns.app", SECRET);
    assert_all(&server, 11, 400, "invalid_request", &[form]);
    let query = format!("/oauth/token?client_id=ns.app&client_secret={SECRET}");
    assert_all(&server, 11, 401, "invalid_client", &[Request::form(&query, &[("grant_type", "client_credentials")])]);
}

#[test]
fn row_12_only_a_form_is_read() {
    let (_realm, server) = start(&[]);
    let json = r#"{"grant_type":"client_credentials"}"#;
    let requests = [
        app(&[]).header("Content-Type", "application/json").body(json),
        app(&[]).header("Content-Type", "multipart/form-data; boundary=x"),
        app(&[]).header("Content-Type", "application/x-www-form-urlencodedx"),
        app(&[]).without("Content-Type"),
    ];
    assert_all(&server, 12, 400, "invalid_request", &requests);
    let with_charset = app(&[]).header("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8");
    let shouted = app(&[]).header("Content-Type", "Application/X-WWW-Form-Urlencoded");
    assert_all(&server, 12, 200, "", &[with_charset, shouted]);
}

#[test]
fn row_13_only_post_is_allowed() {
    let (_realm, server) = start(&[]);
    for path in ["/oauth/token", "/oauth/introspect"] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            let response = Request::new(method, path).send(server.public);
            assert_eq!((response.status, response.header("allow")), (405, Some("POST")), "{method} {path}");
            assert_eq!(response.header("content-type"), Some("application/json"), "{method} {path}");
        }
    }
}

#[test]
fn row_14_a_resource_that_is_not_the_clients_is_refused() {
    let (_realm, server) = start(&[]);
    let resources = ["https://c.test", "/api", "a.test", "https://a.test/api#x", "https://a.test/api/"];
    let two = |resource: &str| Request::token(&[("resource", resource)]).basic("ns.two", SECRET);
    assert_all(&server, 14, 400, "invalid_target", &resources.map(two));
    assert_all(&server, 14, 400, "invalid_target", &[Request::token(&[]).basic("ns.two", SECRET)]);
    assert_all(&server, 14, 400, "invalid_target", &[app(&[("resource", A)])]);
    assert_all(&server, 14, 200, "", &[two(B), app(&[("resource", crate::realm::ISSUER)])]);
}

#[test]
fn row_15_too_many_requests_from_one_source_are_put_off() {
    let (_realm, server) = start(&["--rate-limit", "3", "--trusted-proxies", "127.0.0.0/8"]);
    let from = |source: &str| app(&[]).header("X-Forwarded-For", source);
    let responses: Vec<_> = (0..12).map(|_| server.send(&from("6.6.6.6, 192.0.2.1"))).collect();
    let refused: Vec<_> = responses.iter().filter(|response| response.status == 429).collect();
    assert!(!refused.is_empty() && refused.len() < 12, "{} of 12 refused", refused.len());
    for response in refused {
        assert!(response.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        assert_eq!(response.error(), "too_many_requests");
    }
    assert_eq!(server.send(&from("192.0.2.2")).status, 200, "others are not held up");
}

#[test]
fn row_16_records_that_are_too_old_are_not_answered_from() {
    let (realm, server) = start(&["--max-staleness", "3s"]);
    let away = realm.path().join("away");
    std::fs::rename(realm.records(), &away).unwrap();
    server.wait_until("stale", || server.send(&app(&[])).status == 503);
    for request in [app(&[]), Request::introspect("x").basic("ns.app", SECRET), Request::token(&[])] {
        let response = server.send(&request);
        assert_eq!((response.status, response.error().as_str()), (503, "temporarily_unavailable"));
        assert!(response.header("retry-after").is_some());
    }
    assert_eq!(server.probe("/readyz").status, 503);
    assert_eq!(server.probe("/livez").status, 200);
    assert_eq!(server.send(&Request::get("/oauth/jwks")).status, 200);

    std::fs::rename(away, realm.records()).unwrap();
    server.wait_ready();
    assert_eq!(server.send(&app(&[])).status, 200);
}

#[test]
fn the_checks_come_in_their_order() {
    let (_realm, server) = start(&[]);
    let order = [
        (405, "invalid_request", Request::new("PUT", "/oauth/token").body("x")),
        (400, "invalid_request", Request::new("POST", "/oauth/token").body("x".repeat(70_000))),
        (413, "invalid_request", Request::token(&[("x", &"x".repeat(70_000)), ("x", "")])),
        (400, "invalid_request", Request::token(&[("x", "1"), ("x", "2")])),
        (401, "invalid_client", Request::form("/oauth/token", &[("grant_type", "x")])),
        (400, "unsupported_grant_type", Request::form("/oauth/token", &[("grant_type", "x"), ("resource", "x")])),
        (400, "invalid_target", Request::token(&[("resource", "x"), ("scope", "x")])),
        (400, "invalid_scope", Request::token(&[("scope", "x")])),
    ];
    for (place, (status, error, request)) in order.into_iter().enumerate() {
        let request = if place < 5 { request } else { request.basic("ns.app", SECRET) };
        assert_eq!(outcome(&server, &request), (status, error.to_owned()), "{place}");
    }
}
