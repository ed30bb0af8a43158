//! Forward-auth: what a proxy is told about a request, row by row.

use crate::{
    realm::{ISSUER, Realm, Server, key},
    request::{Request, Response},
};

use snaphook::record::Algorithm;

const PATH: &str = "/oauth/forward-auth/orders";
const BEARER: &str = r#"Bearer realm="snaphook""#;

fn start(arguments: &[&str]) -> (Realm, Server) {
    let realm = Realm::new();
    realm.client("app", |_| {});
    let server = realm.start(arguments);
    (realm, server)
}

/// Status and challenge; the headers that every answer has are there.
fn outcome(response: &Response) -> (u16, Option<&str>) {
    assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"), "{response:?}");
    let identified = ["x-snaphook-client-id", "x-snaphook-namespace", "x-snaphook-scope"];
    let identified = identified.map(|name| response.header(name).is_some());
    assert_eq!(identified, [response.status == 200; 3], "{response:?}");
    (response.status, response.header("www-authenticate"))
}

#[test]
fn a_good_token_passes_and_tells_who_it_is() {
    let (_realm, server) = start(&[]);
    let token = server.token("app");
    let response = server.send(&Request::get(PATH).bearer(&token));
    assert_eq!(outcome(&response), (200, None));
    assert_eq!(response.header("x-snaphook-client-id"), Some("ns.app"));
    assert_eq!(response.header("x-snaphook-namespace"), Some("ns"));
    assert_eq!(response.header("x-snaphook-scope"), Some("orders:read invoices:write"));
    assert_eq!(response.json()["active"], true);
    assert_eq!(outcome(&server.send(&Request::get("/oauth/forward-auth/anything").bearer(&token))), (200, None));
}

#[test]
fn neither_method_nor_path_nor_query_nor_forwarded_headers_nor_body_count() {
    let (_realm, server) = start(&[]);
    let token = server.token("app");
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"] {
        for path in ["", "/", "/7", "/../admin", "/%ff%00", "/a/b//c", "?policy=admin", "/7?scope=none&access_token=x"]
        {
            let request = Request::new(method, &format!("{PATH}{path}"))
                .header("X-Forwarded-Method", "POST")
                .header("X-Forwarded-Uri", "/oauth/forward-auth/admin")
                .header("X-Original-URI", "/oauth/forward-auth/admin")
                .header("X-Snaphook-Client-Id", "ns.admin")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body("access_token=x");
            assert_eq!(server.send(&request).status, 401, "{method} {path} without a token");
            let response = server.send(&request.bearer(&token));
            assert_eq!(
                (response.status, response.header("x-snaphook-client-id")),
                (200, Some("ns.app")),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn no_token_is_unauthorized_without_an_error_code() {
    let (_realm, server) = start(&[]);
    let token = server.token("app");
    for request in [
        Request::get(PATH),
        Request::get(PATH).basic("ns.app", crate::realm::SECRET),
        Request::get(PATH).header("Authorization", &token),
        Request::get(&format!("{PATH}?access_token={token}")),
        Request::form(PATH, &[("access_token", &token)]),
        Request::get(PATH).header("Cookie", &format!("access_token={token}")),
    ] {
        let response = server.send(&request);
        assert_eq!(outcome(&response), (401, Some(BEARER)));
        assert!(response.json().get("error").is_none(), "{response:?}");
    }
}

#[test]
fn two_tokens_or_a_malformed_one_are_an_invalid_request() {
    let (_realm, server) = start(&[]);
    let token = server.token("app");
    let challenge = r#"Bearer realm="snaphook", error="invalid_request""#;
    for request in [
        Request::get(PATH).bearer(&token).bearer(&token),
        Request::get(PATH).bearer(&token).basic("ns.app", "x"),
        Request::get(PATH).bearer(""),
        Request::get(PATH).bearer(&format!("{token} {token}")),
        Request::get(PATH).bearer(&format!("{token}, Bearer {token}")),
        Request::get(PATH).bearer("\u{e9}"),
    ] {
        let response = server.send(&request);
        assert_eq!(outcome(&response), (400, Some(challenge)), "{request:?}");
        assert_eq!(response.error(), "invalid_request");
    }
}

#[test]
fn a_token_that_does_not_count_is_an_invalid_token() {
    let (realm, server) = start(&[]);
    let token = server.token("app");
    let refused = |path: &str, token: &str| {
        let response = server.send(&Request::get(path).bearer(token));
        (response.status == 401).then(|| {
            assert_eq!(outcome(&response).1, Some(r#"Bearer realm="snaphook", error="invalid_token""#));
            assert_eq!(response.error(), "invalid_token");
        })
    };
    let foreign = Realm::new();
    foreign.client("app", |_| {});
    let foreign = foreign.start(&[]).token("app");
    for token in ["x", "a.b.c", &foreign, &format!("{token}x"), &"x".repeat(20_000)] {
        refused(PATH, token).expect(token);
    }
    refused("/oauth/forward-auth/elsewhere", &token).expect("another audience");
    assert!(refused(PATH, &token).is_none());
    realm.client("app", |record| record.revoked = true);
    server.wait_until("revoked", || refused(PATH, &token).is_some());
}

#[test]
fn a_missing_scope_is_forbidden_and_named() {
    let (_realm, server) = start(&[]);
    let response = server.send(&Request::get("/oauth/forward-auth/admin").bearer(&server.token("app")));
    let challenge = r#"Bearer realm="snaphook", error="insufficient_scope", scope="orders:read orders:admin""#;
    assert_eq!(outcome(&response), (403, Some(challenge)));
    assert_eq!(response.error(), "insufficient_scope");
}

#[test]
fn an_unknown_policy_is_not_found_whatever_the_token() {
    let (_realm, server) = start(&[]);
    let token = server.token("app");
    for path in ["nobody", "Orders", "orders%2F", "%ff", "/orders", "."] {
        let request = Request::get(&format!("/oauth/forward-auth/{path}"));
        for request in [request.clone(), request.bearer(&token)] {
            let response = server.send(&request);
            assert_eq!((outcome(&response), response.error().as_str()), ((404, None), "not_found"), "{path}");
        }
    }
}

#[test]
fn nothing_is_said_from_records_that_are_too_old() {
    let (realm, server) = start(&["--max-staleness", "3s"]);
    let request = Request::get(PATH).bearer(&server.token("app"));
    assert_eq!(server.send(&request).status, 200);
    std::fs::rename(realm.records(), realm.path().join("elsewhere")).unwrap();
    server.wait_until("stale", || server.send(&request).status == 503);
    for request in [request, Request::get(PATH), Request::get("/oauth/forward-auth/nobody")] {
        let response = server.send(&request);
        assert_eq!((outcome(&response), response.header("retry-after")), ((503, None), Some("5")));
    }
}

#[test]
fn too_many_requests_from_one_address_are_told_so() {
    let (_realm, server) = start(&["--rate-limit", "1"]);
    server.wait_until("limited", || {
        let response = server.send(&Request::get(PATH));
        response.status == 429 && response.header("retry-after").is_some()
    });
}

#[test]
fn policies_come_and_go_with_the_record_and_lie_below_the_issuer() {
    let realm = Realm::with("https://issuer.test/x", vec![key(Algorithm::EdDSA, -60)]);
    realm.client("app", |_| {});
    let server = realm.start(&[]);
    for path in ["/x/oauth/forward-auth/orders", "/x/oauth/forward-auth/orders/7?a=b", PATH] {
        // The audience of this token is the issuer, and no policy has that one.
        assert_eq!(server.send(&Request::get(path).bearer(&server.token("app"))).status, 401, "{path}");
    }
    assert_eq!(server.send(&Request::get("/x/oauth/forward-auth/nobody")).status, 404);
    assert_eq!(server.send(&Request::get("/y/oauth/forward-auth/orders")).error(), "not_found");
    realm.keys(ISSUER, vec![key(Algorithm::EdDSA, -60)]);
    let passes = || server.send(&Request::get(PATH).bearer(&server.token("app"))).status == 200;
    server.wait_until("the issuer is the policy's audience", passes);
}

#[test]
fn checks_are_counted_by_what_they_came_to() {
    let (_realm, server) = start(&[]);
    let token = server.token("app");
    for request in [
        Request::get(PATH).bearer(&token),
        Request::get(PATH),
        Request::get(PATH).bearer("a b"),
        Request::get(PATH).bearer("x"),
        Request::get("/oauth/forward-auth/admin").bearer(&token),
        Request::get("/oauth/forward-auth/nobody"),
    ] {
        server.send(&request);
    }
    let metrics = server.probe("/metrics").body;
    for result in ["allowed", "no_token", "malformed", "invalid_token", "insufficient_scope", "unknown_policy"] {
        let line = format!(r#"snaphook_forward_auth_checks_total{{result="{result}"}} 1"#);
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}
