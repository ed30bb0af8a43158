//! Flow 3, pure: what an expression may hold. Everything else is refused when the handler compiles.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};

use super::{error::Problem, pattern::Patterns};

/// Operations on the result of one another, such as the `+`s of a sum: each takes some 2 KB of stack when evaluated.
pub(super) const MAX_DEPTH: usize = 100;

/// Names of what the server hands in.
pub(super) const VARIABLES: [&str; 3] = [HEADERS, QUERY, BODY];
pub(super) const HEADERS: &str = "headers";
pub(super) const QUERY: &str = "query";
pub(super) const BODY: &str = "body";

/// What `type(x)` can be compared with.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
];

/// The standard library: all of them depend on nothing but their arguments, and take a time that their lengths bound.
const FUNCTIONS: [&str; 26] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
    operators::NOT_STRICTLY_FALSE,
];

/// A problem and the id of the part that has it.
pub(super) type Found = (u64, Problem);

/// Checks one expression, and compiles its patterns.
pub(super) struct Check<'a> {
    /// What loops have named, innermost last.
    scope: Vec<&'a str>,
    in_loop: bool,
    /// Which variables it reads.
    pub(super) reads: [bool; VARIABLES.len()],
    patterns: &'a mut Patterns,
}

impl<'a> Check<'a> {
    pub(super) fn new(patterns: &'a mut Patterns) -> Self {
        Self { scope: Vec::new(), in_loop: false, reads: [false; VARIABLES.len()], patterns }
    }

    /// The first thing that must not be there.
    pub(super) fn expression(&mut self, part: &'a IdedExpr, depth: usize) -> Result<(), Found> {
        if depth > MAX_DEPTH {
            return Err((part.id, Problem::TooDeep));
        }
        let depth = depth + 1;
        match &part.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(part.id, name),
            Expr::Select(select) => self.expression(&select.operand, depth),
            Expr::Call(call) => self.call(part.id, call, depth),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(entry, depth)),
            Expr::Comprehension(comprehension) => self.comprehension(part.id, comprehension, depth),
            Expr::Struct(_) => Err((part.id, Problem::Message)),
            Expr::Unspecified => Err((part.id, Problem::Syntax("an expression is missing".to_owned()))),
        }
    }

    fn name(&mut self, id: u64, name: &'a str) -> Result<(), Found> {
        if self.scope.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        let Some(place) = VARIABLES.iter().position(|variable| *variable == name) else {
            return Err((id, Problem::UnknownName(name.to_owned())));
        };
        self.reads[place] = true;
        Ok(())
    }

    fn call(&mut self, id: u64, call: &'a CallExpr, depth: usize) -> Result<(), Found> {
        let name = call.func_name.as_str();
        if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) {
            return Err((id, Problem::UnknownFunction(name.to_owned())));
        }
        if name == "matches" {
            self.pattern(id, call)?;
        }
        if let Some(target) = &call.target {
            self.expression(target, depth)?;
        }
        call.args.iter().try_for_each(|argument| self.expression(argument, depth))
    }

    fn pattern(&mut self, id: u64, call: &CallExpr) -> Result<(), Found> {
        let (_, pattern) = subject_and_pattern(call).ok_or((id, Problem::PatternNotLiteral))?;
        self.patterns.add(pattern).map_err(|problem| (call.args.last().map_or(id, |argument| argument.id), problem))
    }

    fn entry(&mut self, entry: &'a IdedEntryExpr, depth: usize) -> Result<(), Found> {
        let EntryExpr::MapEntry(map_entry) = &entry.expr else { return Err((entry.id, Problem::Message)) };
        self.expression(&map_entry.key, depth)?;
        self.expression(&map_entry.value, depth)
    }

    /// A loop, which is what the macros have become.
    fn comprehension(&mut self, id: u64, parts: &'a ComprehensionExpr, depth: usize) -> Result<(), Found> {
        if self.in_loop {
            return Err((id, Problem::NestedLoop));
        }
        self.in_loop = true;
        self.expression(&parts.iter_range, depth)?;
        self.scope = vec![&parts.iter_var, &parts.accu_var];
        for part in [&parts.accu_init, &parts.loop_cond, &parts.loop_step, &parts.result] {
            self.expression(part, depth)?;
        }
        self.scope.clear();
        self.in_loop = false;
        Ok(())
    }
}

/// The parts of `subject.matches('pattern')` or `matches(subject, 'pattern')`. None: the pattern is computed, or something
/// is missing.
pub(super) fn subject_and_pattern(call: &CallExpr) -> Option<(&IdedExpr, &str)> {
    let (subject, pattern) = match (&call.target, call.args.as_slice()) {
        (Some(target), [pattern]) => (target.as_ref(), pattern),
        (None, [subject, pattern]) => (subject, pattern),
        _ => return None,
    };
    match &pattern.expr {
        Expr::Literal(LiteralValue::String(text)) => Some((subject, text.inner())),
        _ => None,
    }
}
