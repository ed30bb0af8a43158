//! What compiles, what does not, and where the error points.

use proptest::{prelude::*, proptest};

use super::{filter, key, record, refusal, transform};
use crate::{
    inbound::handler::{Handler, Problem},
    record::endpoint::HandlerType::{Json, Raw},
};

#[test]
fn the_error_names_field_line_and_column() {
    for (handler, expected) in [
        (filter(Json, "body.status == "), "spec.handler.filter: line 1, column 16: "),
        (filter(Json, "bodi.status == 'firing'"), "spec.handler.filter: line 1, column 1: unknown name `bodi`"),
        (
            transform(Json, "{\n  'a': 1,\n  'b': now\n}"),
            "spec.handler.transform: line 3, column 8: unknown name `now`",
        ),
        (key(Json, "'ü' +\n 'äöü' + lower(body.x)"), "spec.handler.key: line 2, column 15: unknown function `lower`"),
        (filter(Json, "body.a.matches('a(b')"), "spec.handler.filter: line 1, column 16: bad pattern: unclosed group"),
        (filter(Json, "'äöü' + "), "spec.handler.filter: line 1, column 9: "),
        (filter(Json, ""), "spec.handler.filter: line 1, column 1: "),
        (filter(Json, "'open"), "spec.handler.filter: line 1, column 1: "),
    ] {
        let error = refusal(&handler).to_string();
        assert!(error.starts_with(expected), "{error}\nnot: {expected}");
    }
}

#[test]
fn loops_inside_loops_are_refused_in_every_spelling() {
    for expression in [
        "body.a.all(x, body.b.all(y, x == y))",
        "body.a.exists(x, x.b.exists(y, y == 1))",
        "body.a.map(x, x.map(y, y))",
        "body.a.map(x, x.b.size() > 1, x.b.filter(y, y > 1))",
        "body.a.map(x, x.b.filter(y, y > 1).size() > 1, x)",
        "body.a.filter(x, body.b.exists_one(y, y == x))",
        "body.a.filter(x, body.b.existsOne(y, y == x))",
        "body.a.filter(x, x > 1).map(x, x + 1)",
        "body.a.map(x, x).map(x, x).map(x, x)",
        "body[body.a.map(x, x)[0]].all(y, y)",
        "(true ? body.a.map(x, x) : []).all(y, y)",
        "[body.a.map(x, x)].all(y, y)",
        "body.a.all(x, {'a': body.b.all(y, y)}['a'])",
        "body.a.all(x, has(x.b) && x.b.all(y, y))",
        "body.a.all(x, !(body.b.all(y, y)))",
        "body.a.all(x, size(body.b.map(y, y)) > 1)",
        "body.a.all(x, 1 in body.b.map(y, y))",
        "body\n.a\n.all(\nx,\nbody // b\n.b.all(y, y))",
    ] {
        assert_eq!(refusal(&filter(Json, expression)).problem, Problem::NestedLoop, "{expression}");
    }
}

#[test]
fn loops_beside_each_other_compile() {
    for expression in [
        "body.a.all(x, x > 1) && body.b.exists(x, x > 1)",
        "[body.a.map(x, x), body.b.map(x, x)] == []",
        "body.a.map(x, x > 1, x + 1).size() > 1",
        "body.a.filter(x, has(x.y) && x.y == 'all').size() > 1",
        "body.a.all(body, body == 1)",
        "body.a.all(headers, headers == 1) && headers['a'] == 'b'",
    ] {
        assert!(Handler::compile(&filter(Json, expression)).is_ok(), "{expression}");
    }
}

#[test]
fn names_count_only_where_they_are_declared() {
    for expression in [
        "x",
        "body.a.all(x, x) && x",
        "body.a.all(x, y)",
        "x.all(x, x)",
        "now",
        "request.body",
        "google.protobuf.Timestamp",
        "optional_type",
        "@result",
        ".body",
        "_",
    ] {
        let problem = refusal(&filter(Json, expression)).problem;
        assert!(matches!(problem, Problem::UnknownName(_) | Problem::Syntax(_)), "{expression}: {problem}");
    }
}

#[test]
fn functions_beyond_the_standard_library_are_refused() {
    for expression in [
        "now()",
        "rand()",
        "body.lowerAscii()",
        "body.split(',')",
        "body.replace('a', 'b')",
        "'a'.format([])",
        "max(1, 2)",
        "base64.encode(b'a')",
        "optional.of(1)",
        "optional.none().hasValue()",
        "body.optMap(x, x)",
        "body.a.optFlatMap(x, x)",
        ".size(body)",
        "body.size.foo()",
        "body.a.sortBy(x, x)",
        "cel.bind(x, 1, x)",
        "body.a.all(x)",
        "body.a.map(x, 1, 2, 3)",
        "all(body, x, x)",
        "has(body.a, 1)",
    ] {
        let problem = refusal(&filter(Json, expression)).problem;
        assert!(matches!(problem, Problem::UnknownFunction(_) | Problem::UnknownName(_)), "{expression}: {problem}");
    }
}

#[test]
fn optional_syntax_and_message_types_are_refused() {
    for expression in
        ["body.?a", "body[?'a']", "[?body.a]", "{?'a': body.a}", "has(body)", "body.a.map(1, 1)", "body.`a`"]
    {
        let problem = refusal(&filter(Json, expression)).problem;
        assert!(matches!(problem, Problem::Syntax(_)), "{expression}: {problem}");
    }
    assert_eq!(refusal(&filter(Json, "Foo{a: 1}")).problem, Problem::Message);
    assert_eq!(refusal(&filter(Json, "body.a.map(x, a.b.Foo{})")).problem, Problem::Message);
}

#[test]
fn a_pattern_is_a_literal() {
    for expression in
        ["body.a.matches(body.b)", "body.matches('a' + 'b')", "matches(body, body)", "matches(body)", "body.matches(1)"]
    {
        assert_eq!(refusal(&filter(Json, expression)).problem, Problem::PatternNotLiteral, "{expression}");
    }
    assert!(Handler::compile(&filter(Raw, r"matches(body, '''a\\d''') && body.matches(r'\d')")).is_ok());
}

#[test]
fn patterns_are_counted_over_all_expressions() {
    let many = |from: u32, to: u32| {
        let calls: Vec<_> = (from..to).map(|number| format!("body.matches('a{number}')")).collect();
        calls.join(" || ")
    };
    let mut handler = filter(Raw, &many(0, 6));
    handler.transform = Some(many(4, 8));
    assert!(Handler::compile(&handler).is_ok());
    handler.key = Some(many(7, 9));
    assert!(refusal(&handler).to_string().starts_with("spec.handler.key: "), "{}", refusal(&handler));
}

#[test]
fn what_would_take_too_much_stack_or_time_to_read_is_refused() {
    let nested = |open: &str, close: &str, depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let chain = |link: &str, count| format!("body{}", link.repeat(count));
    for (expression, expected) in [
        (format!("'{}'", "a".repeat(4_095)), Problem::TooLong),
        (chain(".a", 501), Problem::TooManyLinks),
        (format!("1{}", "+1".repeat(501)), Problem::TooManyLinks),
        (format!("'{}'", ".".repeat(501)), Problem::TooManyLinks),
        (chain(".a", 101), Problem::TooDeep),
        (chain("[0]", 101), Problem::TooDeep),
        (chain(".size()", 101), Problem::TooDeep),
        (format!("1{}", "<1".repeat(101)), Problem::TooDeep),
        (nested("(", ")", 33), Problem::TooNested),
        (nested("[", "]", 33), Problem::TooNested),
        (nested("size(", ")", 33), Problem::TooNested),
        (nested("{'a':", "}", 33), Problem::TooNested),
        (nested("-(", ")", 33), Problem::TooNested),
        (nested("true?1:", "", 33), Problem::TooNested),
        (nested("(", ")", 2_000), Problem::TooNested),
    ] {
        let error = refusal(&filter(Json, &expression));
        assert_eq!(error.problem, expected, "{expression}");
    }
}

/// The deepest expressions that compile, with the stack of a thread of the server less half a megabyte.
#[test]
fn the_deepest_expressions_compile_in_their_stack() {
    let sum = |piece: &str, pieces: usize| vec![piece; pieces].join(" + ");
    let inner = sum("string(body.a[0])", 90);
    let wrapped = format!("{}{}{}", "[".repeat(30), sum("1", 60), "]".repeat(30));
    let calls = format!("{}1{}", "size([".repeat(16), "])".repeat(16));
    let and = vec!["!(1 == 2)"; 160].join(" && ");
    let wide = format!("[{}]", vec!["1"; 2_000].join(","));
    // Reads to the end before it is refused.
    let refused = format!("{}{}{}", "(".repeat(31), vec!["1"; 490].join("+"), ")".repeat(31));
    let check = move || {
        for expression in [inner, wrapped, calls, and, wide] {
            let result = Handler::compile(&transform(Json, &expression));
            assert!(result.is_ok(), "{expression}: {result:?}");
            let event = super::Post::new("{\"a\": [1]}").one(&transform(Json, &expression));
            assert_eq!(event.verdict, super::Verdict::Kept, "{expression}");
        }
        assert_eq!(refusal(&filter(Json, &refused)).problem, Problem::TooDeep);
    };
    std::thread::Builder::new().stack_size(1_536 << 10).spawn(check).unwrap().join().unwrap();
}

#[test]
fn a_handler_is_shared_and_shows_nothing() {
    fn shared<T: Send + Sync>(_: &T) {}
    let handler = Handler::compile(&filter(Json, "body.password == 's3cret'")).unwrap();
    shared(&handler);
    assert_eq!(format!("{handler:?}"), "Handler { type: Json, filter: true, transform: false, key: false, .. }");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text_compiles_or_does_not(text in ".{0,80}") {
        let _ = Handler::compile(&filter(Json, &text));
    }

    #[test]
    fn any_tokens_compile_or_do_not(tokens in prop::collection::vec(prop::sample::select(TOKENS.as_slice()), 0..30)) {
        let _ = Handler::compile(&filter(Json, &tokens.concat()));
        let _ = Handler::compile(&filter(Json, &tokens.join(" ")));
    }
}

/// Of everything that the grammar has, and what it has not.
const TOKENS: [&str; 72] = [
    "body",
    "headers",
    "query",
    "x",
    "_",
    ".",
    ",",
    ":",
    "?",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    " in ",
    "true",
    "false",
    "null",
    "1",
    "1u",
    "0x1F",
    "1.5",
    "1e9",
    "1e999",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999u",
    "'a'",
    "\"b\"",
    "'''c'''",
    "r'\\d'",
    "b'\\xff'",
    "'\\u00e9'",
    "'\\ud800'",
    "'\\400'",
    "'",
    "\"",
    "'''",
    "\\",
    "`a`",
    "//",
    "\n",
    "\r",
    "\0",
    "ü",
    "😀",
    "has(",
    ".all(x,",
    ".exists(x,",
    ".exists_one(x,",
    ".map(x,",
    ".filter(x,",
    ".matches('a')",
    ".size()",
    "int(",
    "@result",
    "if",
];

#[test]
fn without_expressions_there_is_nothing_to_refuse() {
    assert!(Handler::compile(&record(Raw)).is_ok());
}
