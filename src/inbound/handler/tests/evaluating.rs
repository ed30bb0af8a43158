//! What expressions come to: variables, results, errors, bounds.

use proptest::{prelude::*, proptest};

use super::{Post, failure, filter, key, record, text, transform};
use crate::{
    inbound::handler::{Failure, Handler, Reason, Verdict},
    record::endpoint::HandlerType::{CloudEvents, Json, Raw},
};

const ALERT: &str = r#"{
  "status": "firing", "count": 3, "big": 18446744073709551615, "ratio": 1.5, "none": null, "yes": true,
  "labels": {"severity": "critical", "alertname": "Düse", "a.b/c": "x"},
  "alerts": [{"name": "a", "n": 1}, {"name": "b", "n": 2}, {"name": "c"}]
}"#;

fn post() -> Post {
    Post::new(ALERT)
        .content_type("application/json")
        .header("x-github-event", "push")
        .query("env=prod&env=test&q=a%20b+c")
}

/// What a transform comes to.
fn made(expression: &str) -> String {
    let event = post().one(&transform(Json, expression));
    assert_eq!(event.verdict, Verdict::Kept, "{expression}");
    text(&event).to_owned()
}

/// How an expression fails as a transform.
fn fails(expression: &str) -> String {
    failure(&post().one(&transform(Json, expression)))
}

#[test]
fn expressions_come_to_what_cel_says() {
    for (expression, expected) in [
        // Values.
        ("body.status", r#""firing""#),
        ("body['status']", r#""firing""#),
        ("body.labels['a.b/c']", r#""x""#),
        ("[body.count, body.big, body.ratio, body.none, body.yes]", "[3,18446744073709551615,1.5,null,true]"),
        ("body.alerts[1].name", r#""b""#),
        ("body.alerts[1.0].name", r#""b""#),
        ("{'b': 1, 'a': {'d': [], 'c': {}}}", r#"{"a":{"c":{},"d":[]},"b":1}"#),
        ("{'a': body.labels, 'b': body.labels.alertname + '!'}['b']", r#""Düse!""#),
        // Operators.
        ("1 + 2 * 3 - 4 / 2 % 3", "5"),
        ("body.count + 1 > 3 && !(body.ratio >= 2.0)", "true"),
        ("body.count == 3.0 && body.count == 3u && 3u < 3.5", "true"),
        ("body.yes ? 'a' : 'b'", r#""a""#),
        ("'a' in body.labels || 'severity' in body.labels", "true"),
        ("2 in [1, 2] && !('x' in ['y'])", "true"),
        ("-body.count", "-3"),
        ("body.alerts + [body.none]", r#"[{"n":1,"name":"a"},{"n":2,"name":"b"},{"name":"c"},null]"#),
        ("b'ab' + b'c' == b'abc' && b'a' < b'b'", "true"),
        ("body.labels == {'severity': 'critical', 'alertname': 'Düse', 'a.b/c': 'x'}", "true"),
        // An error beside what decides counts for nothing.
        ("body.missing == 1 || true", "true"),
        ("false && body.missing == 1", "false"),
        // Macros.
        ("has(body.status) && !has(body.state)", "true"),
        ("body.alerts.all(x, x.name != '')", "true"),
        ("body.alerts.exists(x, x.n == 2)", "true"),
        ("body.alerts.exists_one(x, has(x.n) && x.n > 1)", "true"),
        ("body.alerts.existsOne(x, has(x.n))", "false"),
        ("body.alerts.map(x, x.name)", r#"["a","b","c"]"#),
        ("body.alerts.map(x, has(x.n), x.n * 10)", "[10,20]"),
        ("body.alerts.filter(x, x.name > 'a').size()", "2"),
        ("[1, 2, 3].map(x, x + size(body.alerts))", "[4,5,6]"),
        ("[].map(x, x)", "[]"),
        // In their order, though maps have none.
        ("body.labels.map(k, k)", r#"["a.b/c","alertname","severity"]"#),
        ("{2: 'b', 10: 'c', 1: 'a'}.map(k, k)", "[1,2,10]"),
        ("body.labels.all(k, size(k) > 3)", "true"),
        ("body.alerts.map(x, [x.name])", r#"[["a"],["b"],["c"]]"#),
        ("body.alerts.all(body, body.name != '') && body.status == 'firing'", "true"),
        // Functions.
        ("[size(body.labels), body.alerts.size(), size(body.labels.alertname), size(b'abc')]", "[3,3,4,3]"),
        ("body.status.startsWith('fir') && body.status.endsWith('ing') && body.status.contains('iri')", "true"),
        (r"body.labels.alertname.matches('^D.se$') && matches(body.status, r'^\w+$')", "true"),
        ("body.alerts.map(x, x.name.matches('[ab]'))", "[true,true,false]"),
        ("string(body.count) + string(body.ratio) + string(true) + string(b'x')", r#""31.5truex""#),
        ("int('42') + int(1.9) + int(uint(1)) + int(timestamp('1970-01-01T00:01:00Z'))", "104"),
        ("[double('1.5'), double(2)]", "[1.5,2.0]"),
        ("string(timestamp('2026-11-22T10:00:00Z') + duration('1h30m'))", r#""2026-11-22T11:30:00Z""#),
        ("timestamp('2026-11-22T23:00:00Z').getHours('+05:30')", "4"),
        ("duration('90s') > duration('1m')", "true"),
        ("type(body.count) == int && type(body.labels) == map && type(body) != list", "true"),
        ("dyn(body.count) == 3", "true"),
        ("bool('true')", "true"),
        // Headers and the query.
        ("headers['x-github-event']", r#""push""#),
        ("headers", r#"{"content-type":"application/json","x-github-event":"push"}"#),
        ("query", r#"{"env":"prod","q":"a b c"}"#),
        ("has(query.env) && !has(query.dev)", "true"),
    ] {
        assert_eq!(made(expression), expected, "{expression}");
    }
}

#[test]
fn a_filter_keeps_or_drops() {
    assert_eq!(post().one(&filter(Json, "body.status == 'firing'")).verdict, Verdict::Kept);
    assert_eq!(post().one(&filter(Json, "body.status == 'resolved'")).verdict, Verdict::Filtered);
    // What it drops is not looked at further.
    let mut handler = filter(Json, "false");
    handler.transform = Some("body.missing".to_owned());
    handler.key = Some("1.5".to_owned());
    assert_eq!(post().one(&handler).verdict, Verdict::Filtered);
}

#[test]
fn a_key_is_a_string_or_a_whole_number() {
    for (expression, expected) in [
        ("body.labels.alertname", "Düse"),
        ("body.count", "3"),
        ("body.big", "18446744073709551615"),
        ("-1", "-1"),
        ("''", ""),
    ] {
        assert_eq!(post().one(&key(Json, expression)).key.as_deref(), Some(expected), "{expression}");
    }
    let long = format!("'{}'", "k".repeat(257));
    let key = post().one(&key(Json, &long)).key.unwrap();
    assert!(key.starts_with("sha256:") && key.len() == 71, "{key}");
    assert_eq!(post().one(&record(Json)).key, None);
}

#[test]
fn what_cannot_be_is_a_dead_letter_with_field_and_reason() {
    for (expression, expected) in [
        ("body.missing", "no such key `missing`"),
        ("body[body.status]", "no such key"),
        ("body.status.missing", "found no matching overload for '_._' applied to '(string, string)'"),
        ("body.alerts[3]", "the list is not that long"),
        ("body.alerts[-1]", "the list is not that long"),
        ("body.alerts['a']", "found no matching overload for '_[_]' applied to '(list, string)'"),
        ("body.alerts[0.5]", "found no matching overload for '_[_]' applied to '(list, double)'"),
        ("body.count + body.status", "cannot add values of the types int and string"),
        ("body.count + 1.5", "cannot add values of the types int and double"),
        ("body.count < body.status", "found no matching overload for '_<_' applied to '(int, string)'"),
        ("body.count / 0", "division by zero"),
        ("body.count % 0", "division by zero"),
        ("9223372036854775807 + body.count", "the result is too large: add values of the types int and int"),
        ("!body.count", "found no matching overload for '!_' applied to '(int)'"),
        ("body.count && true", "found no matching overload for '_&&_' applied to '(int, bool)'"),
        ("body.status.all(x, true)", "a value of the type string where list or map is needed"),
        ("body.count.matches('a')", "found no matching overload for 'matches' applied to '(int, string)'"),
        ("size(body.count)", "found no matching overload for 'size' applied to '(int)'"),
        ("size()", "found no matching overload for 'size' applied to '()'"),
        ("int(body.status)", "`int` cannot take this value"),
        ("timestamp(body.status)", "`timestamp` cannot take this value"),
        ("timestamp('2026-11-22T23:00:00Z').getHours(body.status)", "`timezone` cannot take this value"),
        ("{body.none: 1}", "a value of the type null cannot be a key"),
        ("{'a': 1, 'a': 2}", "a key comes twice in one map"),
        ("1 in body.status", "found no matching overload for '@in' applied to '(int, string)'"),
        // JSON has none of them.
        ("b'a'", "JSON has no values of the type bytes: convert it with string(…)"),
        ("[timestamp(0)]", "JSON has no values of the type google.protobuf.Timestamp: convert it with string(…)"),
        ("{'a': duration('1s')}", "JSON has no values of the type google.protobuf.Duration: convert it with string(…)"),
        ("type(1)", "JSON has no values of the type type: convert it with string(…)"),
        ("1.0 / 0.0", "JSON has neither infinity nor NaN"),
        ("[0.0 / 0.0]", "JSON has neither infinity nor NaN"),
        ("{1: 2}", "the keys of maps in JSON are texts: convert them with string(…)"),
    ] {
        assert_eq!(fails(expression), format!("CelError: spec.handler.transform: {expected}"), "{expression}");
    }
    let filter = failure(&post().one(&filter(Json, "body.status")));
    assert_eq!(filter, "CelError: spec.handler.filter: it must come to a bool, not to a value of the type string");
    for (expression, type_) in
        [("1.5", "double"), ("null", "null_type"), ("true", "bool"), ("[1]", "list"), ("body", "map")]
    {
        let expected = format!(
            "CelError: spec.handler.key: it must come to a string or an int, not to a value of the type {type_}"
        );
        assert_eq!(failure(&post().one(&key(Json, expression))), expected);
    }
}

#[test]
fn a_failure_shows_nothing_of_what_was_posted() {
    let post = Post::new(r#"{"a": "s3cret", "s3cret": {"s3cret": 1}, "l": ["s3cret"]}"#).query("q=s3cret");
    for expression in [
        "body[body.a].x",
        "body[body.a][body.a].x",
        "body.l[0] + 1",
        "1 + body.l[0]",
        "body.l < 1",
        "{body: 1}",
        "{body.l: 1}",
        "int(body.a)",
        "timestamp(body.a)",
        "duration(body.a)",
        "timestamp(0).getHours(body.a)",
        "body.l[body.a]",
        "-body.a",
        "body.a / 2",
        "body.l[0.5]",
        "bool(body.a)",
        "body.l * body.l",
        "{body.a: 1, query.q: 1}",
        "double(body.a)",
        "body.a % 2",
        "query[query.q]",
        "body.l.map(x, x + 1)",
        "body.l.all(x, x)",
        "[b'a', body.a]",
        "uint(body.a)",
        "string(body)",
    ] {
        let event = post.one(&transform(Json, expression));
        let shown = format!("{} {event:?}", failure(&event));
        assert!(!shown.contains("s3cret"), "{expression}: {shown}");
    }
}

#[test]
fn a_failed_event_keeps_what_was_posted() {
    let event = post().one(&transform(Json, "body.missing"));
    assert_eq!(text(&event), ALERT);
    assert_eq!(event.content_type.unwrap(), "application/json");
    assert_eq!(event.headers["x-github-event"], "push");
}

#[test]
fn credentials_are_out_of_sight() {
    let post = Post::new("{}")
        .header("authorization", "Bearer a")
        .header("proxy-authorization", "Basic b")
        .header("cookie", "c=d")
        .header("x-hub-signature-256", "sha256=e")
        .header("x-gitlab-token", "f")
        .header("x-shopify-hmac-sha256", "g")
        .header("webhook-signature", "v1,h")
        .header("stripe-signature", "t=1,v1=i")
        .header("x-custom", "j")
        .header("accept", "a")
        .header("accept", "b");
    let handler = Handler::compile(&transform(Json, "headers")).unwrap().hiding("x-custom".parse().unwrap());
    let events = post.to_compiled(&handler).unwrap();
    assert_eq!(text(&events[0]), r#"{"accept":"a, b"}"#);
    let passed = &post.to_compiled(&Handler::compile(&record(Json)).unwrap()).unwrap()[0].headers;
    assert_eq!(passed.keys().collect::<Vec<_>>(), ["x-custom", "accept"]);
    assert_eq!(passed.get_all("accept").iter().count(), 2);
}

fn reason(post: &Post, handler: &super::record::Handler) -> Option<Reason> {
    match post.one(handler).verdict {
        Verdict::Failed(Failure { reason, .. }) => Some(reason),
        _ => None,
    }
}

#[test]
fn lists_and_maps_beyond_ten_thousand_are_too_large() {
    let list = |elements| format!("[{}]", vec!["0"; elements].join(","));
    let members: Vec<_> = (0..10_001).map(|number| format!("\"{number}\":0")).collect();
    let map = format!("{{{}}}", members.join(","));
    let all = filter(Json, "size(body) >= 0");
    assert_eq!(reason(&Post::new(list(10_000)), &all), None);
    for body in [list(10_001), map, format!("{{\"a\":[[{}]]}}", list(10_001))] {
        assert_eq!(reason(&Post::new(body.clone()), &all), Some(Reason::CelInputTooLarge));
        // It is not in the way of what does not read it.
        assert_eq!(reason(&Post::new(body.clone()), &filter(Json, "size(headers) == 0")), None);
        assert_eq!(reason(&Post::new(body), &record(Json)), None);
    }
    let query = Post::new("{}").query(&"a&".repeat(10_000));
    assert_eq!(reason(&query, &filter(Json, "size(query) == 1")), Some(Reason::CelInputTooLarge));
    assert_eq!(reason(&query, &all), None);
}

#[test]
fn what_costs_too_much_ends() {
    let big = "x".repeat(500_000);
    let numbers = vec!["0"; 10_000].join(",");
    let post = Post::new(format!(r#"{{"s": "{big}", "t": "{big}", "l": [{numbers}]}}"#));
    let sum = vec!["body.s"; 90].join(" + ");
    let doubled = "body.l.map(x, body.s + body.s)";
    let long = format!("body.l.all(x, {})", vec!["x == 0"; 100].join(" && "));
    for expression in [
        &sum,
        doubled,
        &long,
        "body.l.map(x, body)",
        "body.l.all(x, body.s == body.t)",
        "body.l.all(x, body.s.contains('xy') || true)",
        "body.l.all(x, x in body.l)",
        "body.l.all(x, body < 1)",
        "body.l.all(x, body.s.matches('y') || true)",
        "body.l.exists(x, body.l == [1] || body.l == body.l && x == 1)",
        "body.l.filter(x, body.s.size() < 1)",
        "body.l.all(x, string(body.s) != '')",
        "body.l.map(x, {'a': [body.l]})",
    ] {
        assert_eq!(reason(&post, &transform(Json, expression)), Some(Reason::CelTooExpensive), "{expression}");
    }
    // What is usual costs little.
    for expression in
        ["body.l.all(x, x == 0)", "body.l.map(x, {'n': x})", "body.s == body.t", "body.s.matches('y')", "[body.s]"]
    {
        assert_eq!(reason(&post, &transform(Json, expression)), None, "{expression}");
    }
}

#[test]
fn the_events_of_a_batch_share_what_the_post_has_and_each_costs() {
    let batch = |events: usize| {
        let event = r#"{"specversion":"1.0","id":"1","source":"/","type":"t"}"#;
        let query = (0..9_000).map(|number| format!("k{number}=v&")).collect::<Vec<_>>().concat();
        let post = Post::new(format!("[{}]", vec![event; events].join(",")));
        post.content_type("application/cloudevents-batch+json").query(&query)
    };
    let verdicts = |events, expression| {
        let handler = Handler::compile(&filter(CloudEvents, expression)).unwrap();
        let events = batch(events).to_compiled(&handler).unwrap();
        let failed = |verdict: &Verdict| matches!(verdict, Verdict::Failed(failure) if failure.reason == Reason::CelTooExpensive);
        events.iter().filter(|event| failed(&event.verdict)).count()
    };
    // Made for each event, the query would be 90,000,000 values.
    assert_eq!(verdicts(10_000, "query.k1 == 'v'"), 0);
    assert_eq!(verdicts(10_000, "true"), 0);
    // What an event costs adds up, though a part of an expression is little.
    assert!(verdicts(10_000, &vec!["true"; 20].join(" && ")) > 0);
}

#[test]
fn a_result_of_more_than_a_mebibyte_is_an_error() {
    let post = Post::new(format!("\"{}\"", "x".repeat(600_000)));
    assert_eq!(
        failure(&post.one(&transform(Json, "body + body"))),
        "CelError: spec.handler.transform: it comes to more than 1048576 bytes"
    );
    assert_eq!(failure(&post.one(&transform(Json, "[body, body]"))).split(": ").next(), Some("CelError"));
}

#[test]
fn raw_bodies_are_strings_or_bytes() {
    assert_eq!(
        text(&Post::new("ünit").one(&transform(Raw, "[body, size(body), type(body) == string]"))),
        r#"["ünit",4,true]"#
    );
    assert_eq!(text(&Post::new(b"\xff\xfe").one(&transform(Raw, "[size(body), type(body) == bytes]"))), "[2,true]");
    assert_eq!(text(&Post::new("").one(&transform(Raw, "body"))), r#""""#);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_compiles_evaluates(
        pieces in prop::collection::vec(prop::sample::select(PIECES.as_slice()), 1..6),
        operators in prop::collection::vec(prop::sample::select(OPERATORS.as_slice()), 6),
        posted in prop::sample::select(POSTED.as_slice()),
    ) {
        let mut expression = String::new();
        for (piece, operator) in pieces.iter().zip(&operators) {
            expression.push_str(if expression.is_empty() { "" } else { operator });
            expression.push_str(piece);
        }
        if let Ok(handler) = Handler::compile(&transform(Json, &expression)) {
            let event = &Post::new(posted).to_compiled(&handler).unwrap()[0];
            prop_assert!(event.verdict != Verdict::Filtered);
        }
    }
}

const POSTED: [&str; 8] = [
    "null",
    "[]",
    "{}",
    r#"{"a": [1, 2.5, "x", null, {"a": []}], "b": {"a": "2026-11-22T23:59:60Z", "": 1}}"#,
    r#"{"a": "-9223372036854775808", "b": [-9223372036854775808, 9223372036854775807, 18446744073709551615]}"#,
    r#"{"a": "0001-01-01T00:00:00Z", "b": "-23:59"}"#,
    r#"{"a": "9999-12-31T23:59:59.999999999Z", "b": "23:59"}"#,
    r#"{"a": "-9223372036854775807ns", "b": "1e300h"}"#,
];

const OPERATORS: [&str; 14] =
    [" + ", " - ", " * ", " / ", " % ", " == ", " < ", " in ", " && ", " || ", " ? 1 : ", ", ", "[", "]"];

const PIECES: [&str; 46] = [
    "body",
    "body.a",
    "body.b",
    "body.a[0]",
    "body.b[1]",
    "body[body.a]",
    "-body.b[0]",
    "-1",
    "0",
    "1.5",
    "0u",
    "''",
    "'x'",
    "b'x'",
    "null",
    "[",
    "]",
    "(",
    ")",
    "{'a': body}",
    "{body.a: 1}",
    "[1, body]",
    "int(body.a)",
    "int(body.b[0])",
    "uint(body.b)",
    "double(body.a)",
    "string(body.a)",
    "bytes(body.a)",
    "duration(body.a)",
    "duration(body.b)",
    "timestamp(body.a)",
    "timestamp(body.b[0])",
    "timestamp(body.a).getDayOfYear(body.b)",
    "timestamp(body.a).getFullYear('-23:59')",
    "timestamp(body.a).getDate()",
    "(timestamp(body.a) - timestamp(0))",
    "(timestamp(body.a) + duration('2562047h'))",
    "(timestamp(body.a) - duration('2562047h'))",
    "duration(body.a).getHours()",
    "size(body.a)",
    "body.a.contains('')",
    "body.a.matches('^.')",
    "has(body.a)",
    "type(body.a)",
    "body.b.map(x, x)",
    "body.a.all(x, x == 1)",
];
