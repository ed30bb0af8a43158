//! Bodies of 1 MiB that are expensive to read, to compare, to copy or to go through.

use std::fmt::Write;

use bytes::Bytes;
use snaphook::record::endpoint::HandlerType;

use crate::expressions::{Expression, Needs};

const SIZE: usize = 1 << 20;

/// One post.
pub(crate) struct Body {
    pub(crate) name: &'static str,
    pub(crate) type_: HandlerType,
    pub(crate) bytes: Bytes,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) query: String,
}

impl Body {
    fn new(name: &'static str, type_: HandlerType, bytes: impl Into<Bytes>) -> Self {
        let bytes: Bytes = bytes.into();
        assert!(bytes.len() <= SIZE, "{name}: {}", bytes.len());
        Self { name, type_, bytes, headers: Vec::new(), query: String::new() }
    }

    /// Whether an expression finds what it looks at.
    pub(crate) fn fits(&self, expression: &Expression) -> bool {
        matches!(
            (self.type_, expression.needs),
            (HandlerType::Json, Needs::Members) | (HandlerType::Raw, Needs::Text) | (_, Needs::Anything)
        )
    }
}

/// An object whose `l` is a list to go through, `m` a map, `s` and `t` two texts that are alike, `a` and `b` two values
/// that are alike.
fn members(name: &'static str, parts: &[(&str, &str)]) -> Body {
    let mut all = vec![("l", "[0]"), ("m", "{\"k\":0}"), ("s", "\"s\""), ("t", "\"s\""), ("a", "0"), ("b", "0")];
    for (member, value) in &mut all {
        if let Some((_, given)) = parts.iter().find(|(known, _)| known == member) {
            *value = given;
        }
    }
    let members: Vec<_> = all.iter().map(|(member, value)| format!("\"{member}\":{value}")).collect();
    Body::new(name, HandlerType::Json, format!("{{{}}}", members.join(",")))
}

fn list(elements: usize, element: impl Fn(usize) -> String) -> String {
    let elements: Vec<_> = (0..elements).map(element).collect();
    format!("[{}]", elements.join(","))
}

fn map(members: usize, member: impl Fn(usize) -> String) -> String {
    let members: Vec<_> = (0..members).map(member).collect();
    format!("{{{}}}", members.join(","))
}

fn text(piece: &str, bytes: usize) -> String {
    format!("\"{}\"", piece.repeat(bytes / piece.len()))
}

fn lists() -> Vec<Body> {
    let zeros = |elements| list(elements, |_| "0".to_owned());
    let objects = list(10_000, |number| format!("{{\"n\":{number},\"s\":\"{}\",\"l\":[1]}}", "x".repeat(60)));
    let texts = list(10_000, |number| format!("\"{number:0>95}\""));
    let floats = list(10_000, |number| format!("{number}.123456789012345e-{}", number % 300));
    vec![
        members(
            "10,000 numbers, two texts",
            &[("l", &zeros(10_000)), ("s", &text("x", 500_000)), ("t", &text("x", 500_000))],
        ),
        members(
            "1,000 numbers, two texts",
            &[("l", &zeros(1_000)), ("s", &text("x", 500_000)), ("t", &text("x", 500_000))],
        ),
        members(
            "100 numbers, two lists of 40,000 lists",
            &[
                ("l", &zeros(100)),
                ("a", &list(8, |_| list(5_000, |_| "[0]".to_owned()))),
                ("b", &list(8, |_| list(5_000, |_| "[0]".to_owned()))),
            ],
        ),
        members("10,000 numbers, 10,000 small objects", &[("l", &zeros(10_000)), ("a", &objects)]),
        members("10,000 small objects", &[("l", &objects)]),
        members("10,000 texts", &[("l", &texts)]),
        members("10,000 floats", &[("l", &floats)]),
        members("10,000 long floats", &[("l", &list(10_000, |_| format!("0.{}", "7".repeat(90))))]),
        members("lists of 10,000 numbers", &[("l", &list(50, |_| zeros(10_000)))]),
        members(
            "two lists of lists of 10,000 numbers",
            &[("a", &list(11, |_| zeros(10_000))), ("b", &list(11, |_| zeros(10_000)))],
        ),
        members("lists of nothing", &[("l", &list(35, |_| list(9_900, |_| "[]".to_owned())))]),
    ]
}

fn maps() -> Vec<Body> {
    let keys = |members: usize, width: usize| map(members, |number| format!("\"{number:k>width$}\":0"));
    vec![
        members("10,000 keys of 90 bytes", &[("m", &keys(10_000, 90)), ("l", &list(100, |_| "0".to_owned()))]),
        members(
            "two maps of 10,000 keys",
            &[("a", &keys(10_000, 40)), ("b", &keys(10_000, 40)), ("m", &keys(3_000, 20))],
        ),
        members(
            "two lists of maps of 10,000 keys",
            &[("a", &list(5, |_| keys(10_000, 5))), ("b", &list(5, |_| keys(10_000, 5)))],
        ),
        members(
            "10,000 maps of 8 keys",
            &[("l", &list(10_000, |_| map(8, |number| format!("\"k{number}\":{number}"))))],
        ),
        members(
            "two lists of 10,000 maps",
            &[
                ("a", &list(10_000, |number| format!("{{\"k{number}\":[{number},{{}}]}}"))),
                ("b", &list(10_000, |number| format!("{{\"k{number}\":[{number},{{}}]}}"))),
                ("l", &list(1_000, |_| "0".to_owned())),
            ],
        ),
        members(
            "maps in maps",
            &[("m", &map(2_500, |number| format!("\"k{number}\":{}", map(40, |inner| format!("\"{inner}\":0")))))],
        ),
        members("a key that comes 100,000 times", &[("m", &list(11, |_| map(9_900, |_| "\"k\":0".to_owned())))]),
    ]
}

fn texts() -> Vec<Body> {
    let two = |name, piece| members(name, &[("s", &text(piece, 520_000)), ("t", &text(piece, 520_000))]);
    let nearly = format!("{}b\"", &text("a", 260_000)[..260_001]);
    vec![
        two("two texts of ASCII", "ab"),
        two("two texts of umlauts", "ü"),
        two("two texts of escaped umlauts", "\\u00fc"),
        two("two texts of escaped surrogates", "\\ud83d\\ude00"),
        two("two texts of line ends", "\\n"),
        two("two texts of digits", "7"),
        two("two texts of hours", "1h"),
        members("a text that is nearly found", &[("s", &text("a", 700_000)), ("t", &nearly)]),
    ]
}

fn deep() -> Vec<Body> {
    let nested = |open: &str, close: &str, depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
    vec![
        members("lists 120 deep", &[("l", &list(4_000, |_| nested("[", "]", 120)))]),
        members(
            "two lists of lists 120 deep",
            &[("a", &list(2_100, |_| nested("[", "]", 120))), ("b", &list(2_100, |_| nested("[", "]", 120)))],
        ),
        members("maps 120 deep", &[("l", &list(1_400, |_| nested("{\"\":", "}", 120)))]),
        members(
            "two lists of maps 120 deep",
            &[("a", &list(700, |_| nested("{\"\":", "}", 120))), ("b", &list(700, |_| nested("{\"\":", "}", 120)))],
        ),
    ]
}

fn others() -> Vec<Body> {
    let mut query = Body::new("10,000 parameters, 60 headers", HandlerType::Raw, "x".repeat(SIZE));
    for number in 0..10_000 {
        write!(query.query, "k{number}=%41+%42{number}&").unwrap();
    }
    query.query.pop();
    for _ in 0..60 {
        query.headers.push(("x-header", "v".repeat(1_000)));
    }
    let batch = |name, event: &str| {
        let events = vec![event; ((SIZE - 2) / (event.len() + 1)).min(10_000)];
        let mut body = Body::new(name, HandlerType::CloudEvents, format!("[{}]", events.join(",")));
        body.headers.push(("content-type", "application/cloudevents-batch+json".to_owned()));
        body
    };
    let with_query = |mut body: Body, parameters: usize| {
        body.query = (0..parameters).map(|number| format!("k{number}=%41&")).collect::<Vec<_>>().concat();
        body.headers.extend((0..60).map(|_| ("x-header", "v".repeat(300))));
        body
    };
    let small = r#"{"specversion":"1.0","id":"1","source":"/","type":"t"}"#;
    let usual =
        r#"{"specversion":"1.0","id":"1","source":"/","type":"t","data":{"l":[1,2,3],"m":{"a":1,"b":"2"},"s":"text"}}"#;
    vec![
        query,
        Body::new("a text of umlauts", HandlerType::Raw, "ü".repeat(SIZE / 2)),
        Body::new("a text of one letter", HandlerType::Raw, "a".repeat(SIZE)),
        Body::new("no text", HandlerType::Raw, vec![0xFF; SIZE]),
        batch("a batch of 10,000 events", small),
        with_query(batch("a batch of 10,000 events, with 60 headers and 2,000 parameters", small), 2_000),
        batch("a batch of 9,000 usual events", usual),
    ]
}

pub(crate) fn all() -> Vec<Body> {
    [lists(), maps(), texts(), deep(), others()].into_iter().flatten().collect()
}
