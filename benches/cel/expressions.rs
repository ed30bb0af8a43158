//! Expressions that compile and make the most of the budget: as much as possible of each operation that there is.

/// What it is.
pub(crate) struct Expression {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) role: Role,
    pub(crate) needs: Needs,
}

#[derive(Clone, Copy)]
pub(crate) enum Role {
    Filter,
    Transform,
    /// The handler has none.
    None,
}

/// What is measured without an expression: checking the body.
pub(crate) const NOTHING: &str = "no expression";

/// What it looks at.
#[derive(Clone, Copy)]
pub(crate) enum Needs {
    /// The members of `bodies::members`.
    Members,
    /// A body of text.
    Text,
    Anything,
}

/// Conditions that a filter can hold many of. Those that fail do so inside `… || true`, so that the next one has its turn.
const CONDITIONS: [&str; 39] = [
    "body.a == body.b",
    "!(body.a == body)",
    "body.s == body.t",
    "body.s <= body.t",
    "body.s.contains(body.t)",
    "!body.s.contains('xxxxxxxxxxxxxxxxxxxy')",
    "body.s.startsWith(body.t)",
    "body.s.endsWith(body.t)",
    "body.s.size() > 0",
    "size(body.m) > 0",
    "string(body.s) == body.t",
    "bytes(body.s) == bytes(body.t)",
    "!(body.a in [body.b, 1] && false)",
    "(0 in body.l || true)",
    "!('missing' in body.m)",
    "!body.s.matches('^$')",
    "!body.s.matches(r'[^x]\\d{9}[a-z]*z')",
    "!(body.s.matches(r'\\pL+\\pN{1,3}\\pS') && false)",
    "(duration(body.s) > duration('0s') || true)",
    "(int(body.s) > 0 || true)",
    "(double(body.s) > 0.0 || true)",
    "(timestamp(body.s) > timestamp(0) || true)",
    "(timestamp(0).getHours(body.s) > 0 || true)",
    "(body.a < 1 || true)",
    "(body + 1 == 1 || true)",
    "(body.a - body.b == 1 || true)",
    "(-body.a == 1 || true)",
    "(body.l[0.5] == 1 || true)",
    "(body.m[body.s] == 1 || true)",
    "({body: 1} == {} || true)",
    "([body.a] == [body.b] || true)",
    "({'a': body.a} == {'a': body.b} || true)",
    "body.l + body.l != []",
    "body == body",
    "body.m.map(x, x) != []",
    "body.l.filter(x, true) != []",
    "(body.l.all(x, x.missing) || true)",
    "(body.m.all(k, k.missing) || true)",
    "type(body.a) != type",
];

/// Conditions about an element `x`, for loops. They hold, so that all elements have their turn.
const ROUNDS: [&str; 26] = [
    "true",
    "x == x",
    "!(x == body)",
    "type(x) != type",
    "!(x in [1, 2, 3, 'x', {}])",
    "body.s == body.t",
    "(x.n < 0 || true)",
    "(x.s.contains('y') || true)",
    "(x.s.matches('^x+$') || true)",
    "(string(x) == '' || true)",
    "(double(string(x)) > 0.0 || true)",
    "(x + 1 > 0 || true)",
    "(x < body || true)",
    "(x + x == x || true)",
    "(body.m['k'] == x || true)",
    "('k' in body.m || true)",
    "(x in body.l || true)",
    "(x in body.m || true)",
    "({'a': x, 'b': [x]} == x || true)",
    "({x: x, 'b': {}} == x || true)",
    "(timestamp('2026-11-22T10:00:00Z') + duration('1h') > timestamp(0) || true)",
    "timestamp('2026-11-22T10:00:00Z').getHours('Europe/Berlin') == 11",
    "(has(x.n) || true)",
    "(x.n == x.n && x.n == x.n || true)",
    "(body.a == body.b || true)",
    "!(-1 == 1 ? false : 1 / 1 == 2)",
];

/// What `map` makes of an element, and other things that a transform can come to.
const RESULTS: [&str; 21] = [
    "body.l.map(x, x)",
    "body.l.map(x, [x])",
    "body.l.map(x, {'a': x, 'b': x})",
    "body.l.map(x, [[[[[[[[x]]]]]]]])",
    "body.l.map(x, body.a)",
    "body.l.map(x, body.s)",
    "body.l.map(x, {'s': body.s, 't': body.t, 'm': body.m})",
    "body.l.map(x, 'a' + string(x) + 'b' + string(x) + 'c' + string(x))",
    "body.l.map(x, x == x, x)",
    "body.m.map(k, body.m[k])",
    "body.m.map(k, {k: k + k})",
    "[body, body, body, body]",
    "[body.l, body.m, body.s, body.t, body.a, body.b]",
    "body.l + body.l + body.l + body.l + body.l + body.l + body.l + body.l",
    "[body.a, body.b] + [body.a, body.b] + [body.a, body.b] + [body.a, body.b]",
    "body.s + body.t + body.s + body.t + body.s + body.t + body.s + body.t",
    "[body.s + 'x', body.s + 'y', body.s + 'z', body.t + 'x', body.t + 'y', body.t + 'z']",
    "body.l.filter(x, true) + body.l.filter(x, true) + body.l.filter(x, true)",
    "{'a': body.l.map(x, {'n': x}), 'b': body.l.map(x, {'n': x}), 'c': body.l.map(x, {'n': x})}",
    "body",
    "{'a': {'a': {'a': {'a': {'a': {'a': {'a': {'a': body}}}}}}}}",
];

/// Over a text, over an event, or over anything.
const OTHERS: [(&str, Role, Needs); 14] = [
    (NOTHING, Role::None, Needs::Anything),
    ("body == body && body.contains('b') || size(body) > 1", Role::Filter, Needs::Text),
    ("body.matches('^(a|ü)*$') && body.matches('b$') || body.matches(r'[^\\pL]')", Role::Filter, Needs::Text),
    ("body + body", Role::Transform, Needs::Text),
    ("{'a': body, 'h': headers, 'q': query}", Role::Transform, Needs::Text),
    ("[headers, query, headers, query]", Role::Transform, Needs::Text),
    ("query.map(k, query[k])", Role::Transform, Needs::Text),
    ("query.all(k, k in query && query[k] != '' && k.startsWith('k'))", Role::Filter, Needs::Text),
    ("true", Role::Filter, Needs::Anything),
    ("size(headers) + size(query) > 0", Role::Filter, Needs::Anything),
    ("[type(body) == int, size(headers)]", Role::Transform, Needs::Anything),
    ("{'h': headers, 'q': query}", Role::Transform, Needs::Anything),
    ("has(body.type) && body.type == 't' || true", Role::Filter, Needs::Anything),
    ("{'type': body.type, 'source': body.source, 'n': body.data.l.map(x, x + 1)}", Role::Transform, Needs::Anything),
];

/// As many of a condition as the bounds allow, but no more than asked for.
fn repeated(condition: &str, most: usize) -> (usize, String) {
    let links = |text: &str| text.bytes().filter(|byte| b"+-*/%<>=!.[?".contains(byte)).count();
    let by_length = 3_900 / (condition.len() + 4);
    let by_links = 480 / links(condition).max(1);
    let count = most.min(by_length).min(by_links);
    (count, vec![condition; count].join(" && "))
}

/// Each condition once, a few times, and as often as the bounds allow, with something around it.
fn each_often(conditions: &[&str], around: [&str; 2]) -> Vec<Expression> {
    let [before, after] = around;
    let mut all = Vec::new();
    for condition in conditions {
        let mut last = 0;
        for most in [1, 4, 16, 64, 500] {
            let (count, source) = repeated(condition, most);
            if count > last {
                last = count;
                let name = format!("{before}{condition}{after}, {count} times").replace("||", "or");
                let source = format!("{before}{source}{after}");
                all.push(Expression { name, source, role: Role::Filter, needs: Needs::Members });
            }
        }
    }
    all
}

pub(crate) fn all() -> Vec<Expression> {
    let mut all = each_often(&CONDITIONS, ["", ""]);
    all.extend(each_often(&ROUNDS, ["body.l.all(x, ", ")"]));
    all.extend(each_often(&ROUNDS, ["body.l.filter(x, ", ") == body.l"]));
    all.extend(each_often(&ROUNDS, ["!body.l.exists_one(x, ", ")"]));
    let results = RESULTS.map(|source| (source, Role::Transform, Needs::Members));
    all.extend(results.into_iter().chain(OTHERS).map(|(source, role, needs)| Expression {
        name: source.replace("||", "or"),
        source: source.to_owned(),
        role,
        needs,
    }));
    all
}
