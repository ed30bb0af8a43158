//! Who may post: signatures, handshakes, tokens.

use aws_lc_rs::hmac;
use jiff::Timestamp;
use snaphook::record::endpoint::{HandlerType, TokenRequirements, Verification};

use crate::{
    hooks::{Hooks, SIGNING_SECRET, github, hex, post, secret, verified},
    receiver::{OK, Receiver},
    request::Request,
};

fn slack(name: &str, seconds: i64, body: &str) -> Request {
    let time = (Timestamp::now().as_second() + seconds).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_SECRET.as_bytes());
    let signature = hmac::sign(&key, format!("v0:{time}:{body}").as_bytes());
    post(name)
        .header("X-Slack-Request-Timestamp", &time)
        .header("X-Slack-Signature", &format!("v0={}", hex(signature.as_ref())))
        .body(body)
}

#[test]
fn the_example_of_github_is_taken() {
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let mut record = verified("repo", &receiver.url("/"), Verification::GitHub);
    record.secrets = vec![secret("another"), secret("It's a Secret to Everybody")];
    hooks.endpoint(&record);
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    hooks.stored(&post("repo").header("X-Hub-Signature-256", signature).body("Hello, World!"));
    let received = hooks.received(&receiver, 1).remove(0);
    assert!(received.header("x-hub-signature-256").is_empty(), "it proves something to this server alone");
    record.secrets.pop();
    hooks.endpoint(&record);
    assert_eq!(hooks.send(&post("repo").header("X-Hub-Signature-256", signature).body("Hello, World!")).status, 401);
}

#[test]
fn what_is_no_business_of_the_receiver_stays_behind() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&verified("repo", &receiver.url("/"), Verification::GitHub));
    let behind = [
        ("Authorization", "Bearer x"),
        ("X-Api-Key", "x"),
        ("x_api_key", "x"),
        ("apikey", "x"),
        ("X-Gitlab-Token", "x"),
        ("Cookie", "x=y"),
        ("Via", "1.1 x"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "GitHub-Hookshot/1"),
        ("webhook-id", "x"),
        ("TE", "trailers"),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "x"),
    ];
    let github = github("repo", "one", "{}").header("X-Kept", "1").header("x-kept", "2");
    hooks.stored(&behind.iter().fold(github, |request, (name, value)| request.header(name, value)));
    let received = hooks.received(&receiver, 1).remove(0);
    let mut names: Vec<_> = received.headers.iter().filter_map(|line| line.split(':').next()).collect();
    names.sort_unstable();
    let described = ["content-length", "content-type", "host", "user-agent"];
    let others = ["accept-encoding", "webhook-id", "x-github-delivery", "x-kept", "x-kept"];
    let mut expected = [&described[..], &others[..]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected, "{received:?}");
    assert!(!received.echo().contains("GitHub-Hookshot"), "{received:?}");
}

#[test]
fn who_does_not_prove_himself_learns_nothing_and_stores_nothing() {
    let (mut hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&verified("repo", &receiver.url("/"), Verification::GitHub));
    let good = github("repo", "one", "{}");
    let signed = |signature: &str| github("repo", "one", "{}").header("X-Hub-Signature-256", signature);
    let refusal = hooks.send(&good.clone().without("X-Hub-Signature-256"));
    let zeros = format!("sha256={}", "0".repeat(64));
    for request in [
        good.clone().body("{} "),
        signed("abc"),
        signed("sha256="),
        signed("sha256=zz"),
        signed("sha1=0000"),
        signed(&zeros),
        signed(&format!("{zeros},{zeros}")),
        signed("sha256=\u{e9}\u{fffd}"),
        signed(&"sha256=00,".repeat(700)),
        // Two headers, of which one would do.
        good.clone().header("x-hub-signature-256", &zeros),
    ] {
        let answer = hooks.send(&request);
        assert_eq!((answer.status, &answer.body), (401, &refusal.body), "{request:?}");
    }
    for (reason, least) in [("NoSignature", 1), ("BadSignature", 1), ("Malformed", 1)] {
        let name = format!(r#"snaphook_hook_posts_total{{outcome="{reason}"}}"#);
        assert!(hooks.metric(&name) >= least, "{reason}");
        assert!(!refusal.body.contains(reason));
    }
    hooks.stored(&good);
    assert_eq!(hooks.received(&receiver, 1).len(), 1);
    assert_eq!(hooks.messages().len(), 1);
}

#[test]
fn slack_asks_before_it_sends_and_an_old_signature_does_not_count() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&verified("chat", &receiver.url("/"), Verification::Slack));
    let question = r#"{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595","type":"url_verification"}"#;
    let answer = hooks.send(&slack("chat", 0, question));
    assert_eq!((answer.status, answer.body.as_str()), (200, "3eZbrw1aBm2rZgRNFdxV2595"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(hooks.post("chat", question).status, 401, "unsigned");
    for seconds in [-310, 310, i64::MAX / 2] {
        assert_eq!(hooks.send(&slack("chat", seconds, question)).status, 401, "{seconds}");
    }
    hooks.counts(r#"snaphook_hook_posts_total{outcome="StaleTimestamp"}"#, 3);
    hooks.counts(r#"snaphook_hook_posts_total{outcome="handshake"}"#, 1);
    hooks.stored(&slack("chat", -200, r#"{"type":"event_callback"}"#));
    assert_eq!(hooks.received(&receiver, 1).remove(0).body, br#"{"type":"event_callback"}"#);
}

#[test]
fn a_token_of_this_server_needs_the_scope_that_the_webhook_names() {
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    hooks.endpoint(&verified("orders", &receiver.url("/"), tokens(&["orders:read"], None, &[])));
    hooks.endpoint(&verified("both", &receiver.url("/"), tokens(&["orders:read", "other:scope"], None, &[])));
    hooks.realm.client("app", |_| {});
    hooks.settled();
    let token = hooks.server().token("app");
    let with = |name: &str, token: &str| post(name).header("Authorization", &format!("Bearer {token}"));
    hooks.stored(&with("orders", &token));
    let forbidden = hooks.send(&with("both", &token));
    assert_eq!((forbidden.status, forbidden.error().as_str()), (403, "insufficient_scope"));
    let nobody = hooks.post("orders", "");
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some(r#"Bearer realm="webhook""#)));
    let last = if token.ends_with('A') { "B" } else { "A" };
    for wrong in ["", "x", "a.b.c", &token[1..], &(token[..token.len() - 1].to_owned() + last)] {
        assert_eq!(hooks.send(&with("orders", wrong)).status, 401, "{wrong}");
    }
    hooks.realm.client("app", |record| record.revoked = true);
    hooks.settled();
    assert_eq!(hooks.send(&with("orders", &token)).status, 401, "revoked");
    let received = hooks.received(&receiver, 1);
    assert!(received.len() == 1 && received[0].header("authorization").is_empty(), "{received:?}");
}

#[test]
fn a_token_for_others_or_of_others_does_not_count() {
    const API: &str = "https://api.example.com";
    let (hooks, receiver) = (Hooks::start(), Receiver::answering(OK));
    let scopes = &["orders:read"];
    for (name, audience, clients) in [
        ("own", None, &[][..]),
        ("api", Some(API), &[]),
        ("named", None, &["other/app"]),
        ("globs", None, &["other/a*", "ns/app"]),
    ] {
        hooks.endpoint(&verified(name, &receiver.url("/"), tokens(scopes, audience, clients)));
    }
    hooks.realm.client("app", |_| {});
    hooks.realm.client("api", |record| record.audiences = vec![API.to_owned()]);
    hooks.realm.client("foreign", |record| {
        record.source.namespace = "other".to_owned();
        record.source.name = "app".to_owned();
    });
    hooks.settled();
    let [app, api, foreign] = ["app", "api", "foreign"].map(|client| hooks.server().token(client));
    let status = |name: &str, token: &str| {
        let answer = hooks.send(&post(name).header("Authorization", &format!("Bearer {token}")));
        (answer.status, answer.error())
    };
    let accepted = (200, String::new());
    let unauthorized = (401, "unauthorized".to_owned());
    let denied = (403, "access_denied".to_owned());
    for (name, expected) in [
        // In the order of the tokens: for the issuer, for the API, for the issuer and of another namespace.
        ("own", [&accepted, &unauthorized, &denied]),
        ("api", [&unauthorized, &accepted, &unauthorized]),
        ("named", [&denied, &unauthorized, &accepted]),
        ("globs", [&accepted, &unauthorized, &accepted]),
    ] {
        for (token, expected) in [&app, &api, &foreign].into_iter().zip(expected) {
            assert_eq!(&status(name, token), expected, "{name}");
        }
    }
    hooks.counts(r#"snaphook_hook_posts_total{outcome="OtherAudience"}"#, 5);
    hooks.counts(r#"snaphook_hook_posts_total{outcome="other_client"}"#, 2);
}

fn tokens(scopes: &[&str], audience: Option<&str>, clients: &[&str]) -> Verification {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let (scopes, clients) = (owned(scopes), owned(clients));
    Verification::AppCredential(TokenRequirements { scopes, audience: audience.map(str::to_owned), clients })
}

#[test]
fn raw_bytes_are_verified_before_anything_reads_them() {
    let hooks = Hooks::start();
    let mut record = verified("json", "https://receiver.example.net/", Verification::GitHub);
    record.handler.type_ = HandlerType::Json;
    hooks.endpoint(&record);
    assert_eq!(hooks.send(&github("json", "1", "no json").header("X-Hub-Signature-256", "sha256=00")).status, 401);
    assert_eq!(hooks.send(&github("json", "1", "no json")).status, 400);
    hooks.stored(&github("json", "1", "{}"));
}
