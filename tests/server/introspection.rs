//! Introspection: what a resource server learns about a token, and what not.

use serde_json::json;
use snaphook::record::{Algorithm, GenerationId};

use crate::{
    realm::{ISSUER, Realm, SECRET, Server, in_seconds, key, may_introspect},
    request::Request,
};

const A: &str = "https://a.test";

fn start() -> (Realm, Server) {
    let realm = Realm::new();
    realm.client("app", |_| {});
    realm.client("api", may_introspect);
    let server = realm.start(&[]);
    (realm, server)
}

fn inactive() -> serde_json::Value {
    json!({"active": false})
}

#[test]
fn an_active_token_is_described() {
    let (_realm, server) = start();
    let mut answer = server.introspect(&server.token("app"));
    let (iat, exp) = (answer["iat"].take().as_i64().unwrap(), answer["exp"].take().as_i64().unwrap());
    assert_eq!(exp - iat, 300);
    assert_eq!(answer["jti"].take().as_str().unwrap().len(), 22);
    let expected = json!({
        "active": true, "scope": "orders:read invoices:write", "client_id": "ns.app", "sub": "ns.app",
        "token_type": "Bearer", "aud": ISSUER, "iss": ISSUER, "namespace": "ns", "iat": null, "exp": null, "jti": null,
    });
    assert_eq!(answer, expected);
}

#[test]
fn garbage_and_foreign_tokens_are_inactive() {
    let (realm, server) = start();
    let token = server.token("app");
    let foreign = Realm::new();
    foreign.client("app", |_| {});
    let foreign = foreign.start(&[]).token("app");
    let (head, signature) = token.rsplit_once('.').unwrap();
    let changed = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let unsigned = format!("{head}.");
    for text in ["x", "a.b.c", "\0", "é", "....", &foreign, &changed, &unsigned, &"x".repeat(60_000)] {
        assert_eq!(server.introspect(text), inactive(), "{text}");
    }
    assert_eq!(server.introspect(&token)["active"], true);
    drop(realm);
}

#[test]
fn a_token_dies_with_its_credential_and_another_life_does_not_wake_it() {
    let (realm, server) = start();
    let token = server.token("app");
    assert_eq!(server.introspect(&token)["active"], true);
    let dies = |why: &str| {
        server.wait_until(why, || server.introspect(&token) == inactive());
    };
    let lives = || server.wait_until("active", || server.introspect(&token)["active"] == true);

    realm.client("app", |record| record.suspended = true);
    dies("suspended");
    realm.client("app", |_| {});
    lives();
    realm.client("app", |record| record.expires_at = Some(in_seconds(0)));
    dies("expired");
    realm.client("app", |_| {});
    lives();
    realm.client("app", |record| record.tokens_not_before = Some(in_seconds(1)));
    dies("ended by tokensNotBefore");
    realm.client("app", |_| {});
    lives();
    realm.remove_client("app");
    dies("deleted");
    realm.client("app", |record| record.revoked = true);
    dies("revoked");
    realm.client("app", |record| record.generation = GenerationId::from_random([2; 16]));
    server.wait_until("served again", || server.send(&Request::token(&[]).basic("ns.app", SECRET)).status == 200);
    assert_eq!(server.introspect(&token), inactive(), "of another generation");
    assert_eq!(server.introspect(&server.token("app"))["active"], true);
}

#[test]
fn a_token_ends_by_the_servers_clock() {
    let (realm, server) = start();
    realm.client("brief", |record| record.token_lifetime_seconds = 2);
    server.wait_until("served", || server.send(&Request::token(&[]).basic("ns.brief", SECRET)).status == 200);
    let token = server.token("brief");
    assert_eq!(server.introspect(&token)["active"], true);
    server.wait_until("expired", || server.introspect(&token) == inactive());
}

#[test]
fn only_callers_with_the_scope_are_told_and_only_about_their_audiences() {
    let (realm, server) = start();
    realm.client("for-a", |record| record.audiences = vec![A.to_owned()]);
    realm.client("api-a", |record| {
        may_introspect(record);
        record.introspect_audiences = Some(vec![A.to_owned()]);
    });
    server.wait_until("served", || server.send(&Request::introspect("x").basic("ns.api-a", SECRET)).status == 200);
    let (token, token_for_a) = (server.token("app"), server.token("for-a"));
    let active = |caller: &str, token: &str| {
        let response = server.send(&Request::introspect(token).basic(caller, SECRET));
        assert_eq!(response.status, 200);
        let active = response.json()["active"].as_bool().unwrap();
        assert!(active || response.json() == inactive());
        active
    };
    assert!(active("ns.api", &token) && active("ns.api", &token_for_a));
    assert!(active("ns.api-a", &token_for_a) && !active("ns.api-a", &token));
    assert!(!active("ns.app", &token), "not even about its own");
}

#[test]
fn a_caller_must_prove_himself_and_send_a_token() {
    let (_realm, server) = start();
    let refused = |request: &Request| {
        let response = server.send(request);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("www-authenticate").is_some(), response.status == 401);
        (response.status, response.error())
    };
    let unauthorized = (401, "invalid_client".to_owned());
    assert_eq!(refused(&Request::introspect("x")), unauthorized);
    assert_eq!(refused(&Request::introspect("x").basic("ns.api", "wrong")), unauthorized);
    assert_eq!(refused(&Request::introspect("x").header("Authorization", "Bearer x")), unauthorized);
    let missing = Request::form("/oauth/introspect", &[("token", "")]).basic("ns.api", SECRET);
    assert_eq!(refused(&missing), (400, "invalid_request".to_owned()));
}

#[test]
fn a_hint_is_no_reason_to_miss_a_token() {
    let (_realm, server) = start();
    let token = server.token("app");
    for hint in ["access_token", "refresh_token", "nonsense", ""] {
        let request = Request::form("/oauth/introspect", &[("token", &token), ("token_type_hint", hint)]);
        assert_eq!(server.send(&request.basic("ns.api", SECRET)).json()["active"], true, "{hint}");
    }
}

#[test]
fn a_token_outlives_its_keys_successor_and_ends_with_its_own() {
    let realm = Realm::new();
    let (old, new) = (key(Algorithm::EdDSA, -600), key(Algorithm::ES256, -10));
    realm.keys(ISSUER, vec![old.clone()]);
    realm.client("app", |_| {});
    realm.client("api", may_introspect);
    let server = realm.start(&[]);
    let token = server.token("app");
    let signed_by_new =
        |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.as_deref() == Some(new.kid.as_str());
    realm.keys(ISSUER, vec![old.clone(), new.clone()]);
    server.wait_until("signed by the new key", || signed_by_new(&server.token("app")));
    assert_eq!(server.introspect(&token)["active"], true);
    realm.keys(
        ISSUER,
        vec![
            {
                let mut old = old;
                old.verify_until = Some(in_seconds(0));
                old
            },
            new,
        ],
    );
    server.wait_until("ended with its key", || server.introspect(&token) == inactive());
}

#[test]
fn a_token_of_the_issuer_before_is_inactive() {
    let realm = Realm::new();
    let key = key(Algorithm::EdDSA, -600);
    realm.keys(ISSUER, vec![key.clone()]);
    realm.client("app", |_| {});
    realm.client("api", may_introspect);
    let server = realm.start(&[]);
    let token = server.token("app");
    assert_eq!(server.introspect(&token)["active"], true);
    realm.keys("https://other.test", vec![key]);
    server.wait_until("of another issuer", || server.introspect(&token) == inactive());
}
