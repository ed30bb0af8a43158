//! Whatever is posted to whatever handler compiles: no panic, within the bounds, nothing told that was posted.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::Post;
use crate::{
    inbound::handler::{Event, Handler, Invalid, MAX_ID_BYTES, Verdict, output::MAX_RESULT_BYTES},
    record::endpoint::HandlerType::{self, Alertmanager, CloudEvents, Json, Raw},
};

/// In every text that is posted, and in no expression.
const POSTED: &str = "c4nary";

/// Every operation of the grammar over every other, but for loops in loops.
fn expression() -> impl Strategy<Value = String> {
    let in_loop = operations(prop_oneof![Just("x".to_owned()), operand()].boxed());
    let name = select(vec!["all", "exists", "exists_one", "map", "filter"]);
    let a_loop = (operand(), name, in_loop).prop_map(|(of, name, body)| format!("{of}.{name}(x, {body})"));
    operations(prop_oneof![3 => operand(), 1 => a_loop].boxed())
}

fn operations(operand: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let binary = vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"];
    let functions = vec!["size", "string", "bytes", "int", "uint", "double", "bool", "timestamp", "duration", "type"];
    let methods = vec!["contains", "startsWith", "endsWith", "getHours", "getFullYear"];
    let patterns = vec!["", "^a*$", r"\\d+", ".{3}", "(a|b)*c"];
    let all = operand.prop_recursive(5, 24, 3, move |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (two.clone(), select(binary.clone())).prop_map(|((left, right), sign)| format!("({left} {sign} {right})")),
            (two.clone(), inner.clone()).prop_map(|((a, b), c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), select(vec!["!", "-"])).prop_map(|(one, sign)| format!("{sign}{one}")),
            two.clone().prop_map(|(of, at)| format!("{of}[{at}]")),
            inner.clone().prop_map(|of| format!("{of}.a")),
            inner.clone().prop_map(|of| format!("has({of}.a)")),
            (inner.clone(), select(functions.clone())).prop_map(|(one, name)| format!("{name}({one})")),
            (two.clone(), select(methods.clone())).prop_map(|((of, with), name)| format!("{of}.{name}({with})")),
            (inner.clone(), select(patterns.clone())).prop_map(|(of, pattern)| format!("{of}.matches('{pattern}')")),
            vec(inner, 0..3).prop_map(|all| format!("[{}]", all.join(", "))),
            two.prop_map(|(key, value)| format!("{{{key}: {value}, 'b': {value}}}")),
        ]
    });
    all.boxed()
}

fn operand() -> impl Strategy<Value = String> {
    let variables = vec!["body", "body.a", "body.b", "headers", "query", "query.a", "headers['x-a']"];
    let numbers = vec!["0", "-1", "2u", "1.5", "9223372036854775807", "-9223372036854775808"];
    let texts = vec!["''", "'a'", "b'a'", "'2026-11-22T23:00:00Z'", "'1h'"];
    prop_oneof![3 => select(variables), 1 => select(numbers), 1 => select(texts), 1 => select(vec!["true", "null", "[]", "{}"])]
        .prop_map(str::to_owned)
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(|text| Value::from(format!("{text}{POSTED}"))),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![select(vec!["a", "b", "id", "status"]).prop_map(str::to_owned), Just(POSTED.to_owned())];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((key, inner.clone()), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            inner.clone().prop_map(|data| {
                json!({"specversion": "1.0", "id": POSTED, "source": "/", "type": "t", "a": data, "data": data})
            }),
            inner.prop_map(|a| json!({"version": "4", "groupKey": POSTED, "status": "firing", "alerts": [a], "a": a})),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let text = || json().prop_map(|json| json.to_string());
    let batch = vec(json(), 0..4).prop_map(|all| serde_json::Value::from(all).to_string().into_bytes());
    let form = text().prop_map(|json| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("payload", &json).finish().into_bytes()
    });
    let changed = (text(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(json, place, byte)| {
        let (mut json, place) = (json.clone().into_bytes(), place.index(json.len()));
        json[place] = byte;
        json
    });
    let nested = (0..200_usize).prop_map(|depth| [vec![b'['; depth], vec![b']'; depth]].concat());
    prop_oneof![4 => text().prop_map(String::into_bytes), 2 => batch, 1 => form, 2 => changed, 1 => nested, 1 => vec(any::<u8>(), 0..300)]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof![
        select(vec!["x-a", "x-b", "authorization", "x-hub-signature", "cookie", "ce-id", "ce-source", "ce-type"]),
        select(vec!["ce-specversion", "ce-a", "content-encoding", "x-api-key", "content-length", "ce-token"]),
    ];
    let value = prop_oneof![
        Just(b"1.0".to_vec()),
        Just(format!("%{POSTED}%C3%BC").into_bytes()),
        vec(prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8], 0..30),
    ];
    let types = [
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "a/b+json; x=y",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
        "application/cloudevents+xml",
    ];
    (vec((name, value), 0..8), option::of(select(types.to_vec()))).prop_map(|(others, type_)| {
        let mut headers = HeaderMap::new();
        for (name, value) in others {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap());
        }
        headers.extend(type_.map(|type_| (header::CONTENT_TYPE, HeaderValue::from_static(type_))));
        headers
    })
}

fn post() -> impl Strategy<Value = Post> {
    let query = prop_oneof![".{0,40}", Just(format!("a={POSTED}&a=%ff&&=")), Just("&".repeat(10_001))];
    (headers(), query, body()).prop_map(|(headers, query, body)| Post { headers, query, body: body.into() })
}

fn handler() -> impl Strategy<Value = super::record::Handler> {
    let field = || option::of(expression());
    let type_ = select(vec![Raw, Json, CloudEvents, Alertmanager]);
    (type_, field(), field(), field()).prop_map(|(type_, filter, transform, key)| super::record::Handler {
        type_,
        filter,
        transform,
        key,
    })
}

/// What two runs can be compared by.
fn shown(result: &Result<Vec<Event>, Invalid>) -> Result<Vec<String>, &Invalid> {
    let events = result.as_ref()?.iter();
    Ok(events.map(|event| format!("{event:?} {:?}", event.body)).collect())
}

fn is_within_bounds(event: &Event, type_: HandlerType, post: &Post) -> bool {
    let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_ID_BYTES);
    let transformed = type_ != CloudEvents && event.body != post.body;
    short(&event.key)
        && short(&event.dedupe_id)
        && event.body.len() <= post.body.len().max(MAX_RESULT_BYTES)
        && (!transformed || serde_json::from_slice::<serde_json::Value>(&event.body).is_ok())
}

proptest! {
    #[test]
    fn any_post_to_any_handler_ends_within_the_bounds(handler in handler(), post in post()) {
        let compiled = Handler::compile(&handler);
        prop_assume!(compiled.is_ok(), "{:?}", compiled);
        let compiled = compiled.unwrap();
        let (result, again) = (post.to_compiled(&compiled), post.to_compiled(&compiled));
        prop_assert_eq!(shown(&result), shown(&again), "not the same twice");
        let events = match result {
            Ok(events) => events,
            Err(invalid) => {
                prop_assert!(!invalid.to_string().contains(POSTED), "{}", invalid);
                return Ok(());
            }
        };
        prop_assert!(handler.type_ == CloudEvents || events.len() == 1);
        for event in &events {
            prop_assert!(is_within_bounds(event, handler.type_, &post), "{:?}", event);
            let own = [header::AUTHORIZATION, header::COOKIE, header::CONTENT_TYPE, header::CONTENT_LENGTH];
            prop_assert!(own.iter().all(|name| !event.headers.contains_key(name)), "{:?}", event.headers);
            if let Verdict::Failed(failure) = &event.verdict {
                prop_assert!(!failure.to_string().contains(POSTED), "{}", failure);
                prop_assert!(event.body == post.body || handler.type_ == CloudEvents);
            }
        }
    }
}
