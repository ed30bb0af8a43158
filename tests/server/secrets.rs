//! No secret and no token shows in what the server says about itself.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    realm::{Realm, SECRET, may_introspect},
    request::Request,
};

#[test]
fn secrets_and_tokens_are_in_no_log_error_or_metric() {
    let realm = Realm::new();
    realm.client("app", |_| {});
    realm.client("api", may_introspect);
    let server = realm.start(&[]);
    let token = server.token("app");
    assert_eq!(server.introspect(&token)["active"], true);
    let planted = [
        Request::token(&[]).basic("ns.nobody", SECRET),
        Request::token(&[]).basic(SECRET, SECRET),
        Request::token(&[("scope", SECRET)]).basic("ns.app", SECRET),
        Request::token(&[("resource", SECRET)]).basic("ns.app", SECRET),
        Request::token(&[("grant_type", SECRET)]).basic("ns.app", SECRET),
        Request::token(&[(SECRET, "1"), (SECRET, "2")]).basic("ns.app", SECRET),
        Request::form("/oauth/token", &[("grant_type", SECRET)]).basic("ns.app", SECRET),
        Request::token(&[("client_secret", SECRET)]).basic("ns.app", SECRET),
        Request::token(&[("client_secret", SECRET)]).header("Content-Type", "application/json"),
        Request::introspect(&token),
        Request::get("/oauth/forward-auth/admin").bearer(&token),
        Request::get("/oauth/forward-auth/elsewhere").bearer(&token),
        Request::get("/oauth/forward-auth/orders").bearer(&format!("{token} {token}")),
        Request::get(&format!("/oauth/forward-auth/{SECRET}?access_token={token}")),
        Request::get("/oauth/forward-auth/orders").basic("ns.app", SECRET),
        Request::introspect(SECRET).basic("ns.api", SECRET),
    ];
    let answers: Vec<_> = planted.iter().map(|request| server.send(request)).collect();
    let mut said = format!("{answers:?}");
    said += &server.probe("/metrics").body;
    said += &server.log();
    let encoded = STANDARD.encode(format!("ns.app:{SECRET}"));
    let signature = token.rsplit('.').next().unwrap();
    for secret in [SECRET, &encoded, signature] {
        assert!(!said.contains(secret), "{secret} shows in {said}");
    }
    assert!(format!("{said}{SECRET}").contains(SECRET), "the search finds what is there");
}
