//! Flow 3, pure: weighing is built into an expression, since the library of CEL has no budget and cannot be stopped.
//!
//! Every operand is handed through a function that takes its size off a [`Budget`](super::budget::Budget) before the
//! operation sees it, and every range of a loop through one that takes off all rounds at once. So no operation begins that
//! is not paid for, and whatever the sender chose, an evaluation ends in a known time and with a known amount of memory.

use cel::common::{
    ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators},
    types::CelInt,
};

use super::{check::subject_and_pattern, pattern::Patterns};

/// Takes off the size of its argument, all that is in it included, and returns it.
pub(super) const PAY: &str = "@pay";
/// As [`PAY`], for what stands in brackets behind a list or map.
pub(super) const PAY_KEY: &str = "@pay_key";
/// As [`PAY`], but what is in a list or map is not looked at.
pub(super) const PAY_TEXT: &str = "@pay_text";
/// As [`PAY_TEXT`], for what is read as a number or a time.
pub(super) const PAY_READ: &str = "@pay_read";
/// As [`PAY`], for what is searched: a map finds a key without looking at the others.
pub(super) const PAY_LIST: &str = "@pay_list";
/// Takes off all rounds of a loop over its first argument, where its second says how many parts a round evaluates.
pub(super) const PAY_LOOP: &str = "@pay_loop";
/// Whether its first argument matches the pattern with the number of its second.
pub(super) const MATCHES: &str = "@matches";

/// The accumulator of loops. Cannot be written in CEL.
const ACCUMULATOR: &str = "@result";

/// Builds the weighing into an expression.
pub(super) struct Meter<'a> {
    patterns: &'a Patterns,
}

impl<'a> Meter<'a> {
    pub(super) fn new(patterns: &'a Patterns) -> Self {
        Self { patterns }
    }

    /// The same, with weighing in it.
    pub(super) fn expression(&self, part: IdedExpr) -> IdedExpr {
        let expr = match part.expr {
            Expr::Call(call) => self.call(call),
            Expr::Select(mut select) => {
                *select.operand = self.expression(*select.operand);
                Expr::Select(select)
            }
            Expr::List(mut list) => {
                list.elements = list.elements.into_iter().map(|element| self.paid(PAY, element)).collect();
                Expr::List(list)
            }
            Expr::Map(mut map) => {
                for entry in &mut map.entries {
                    let EntryExpr::MapEntry(pair) = &mut entry.expr else { continue };
                    pair.key = self.paid(PAY, std::mem::take(&mut pair.key));
                    pair.value = self.paid(PAY, std::mem::take(&mut pair.value));
                }
                Expr::Map(map)
            }
            Expr::Comprehension(comprehension) => self.comprehension(*comprehension),
            other => other,
        };
        IdedExpr { id: part.id, expr }
    }

    fn call(&self, mut call: CallExpr) -> Expr {
        if let Some(matches) = self.matches(&call) {
            return matches;
        }
        if is_append(&call) {
            // The evaluator appends in place where a step has this very form; what is added is paid inside the list.
            call.args = call.args.into_iter().map(|argument| self.expression(argument)).collect();
            return Expr::Call(call);
        }
        let ways = ways(&call.func_name);
        call.target = call.target.map(|target| Box::new(self.handed(ways.0, *target)));
        let skip = usize::from(call.target.is_some());
        let ways = [ways.0, ways.1, ways.1];
        let ways = ways.into_iter().skip(skip).chain(std::iter::repeat(ways[1]));
        call.args = call.args.into_iter().zip(ways).map(|(argument, way)| self.handed(way, argument)).collect();
        Expr::Call(call)
    }

    /// The pattern was compiled with the handler: its number takes its place.
    fn matches(&self, call: &CallExpr) -> Option<Expr> {
        if call.func_name != "matches" {
            return None;
        }
        let (subject, pattern) = subject_and_pattern(call)?;
        let number = self.patterns.place(pattern)?;
        Some(function(MATCHES, vec![self.expression(subject.clone()), integer(number)]))
    }

    fn comprehension(&self, mut parts: ComprehensionExpr) -> Expr {
        parts.loop_step = self.expression(parts.loop_step);
        let round = Self::parts(&parts.loop_step) + Self::parts(&parts.loop_cond);
        let range = self.expression(parts.iter_range);
        let round = integer(usize::try_from(round).unwrap_or(usize::MAX));
        parts.iter_range = IdedExpr { id: range.id, expr: function(PAY_LOOP, vec![range, round]) };
        Expr::Comprehension(Box::new(parts))
    }

    fn handed(&self, way: Option<&str>, part: IdedExpr) -> IdedExpr {
        match way {
            Some(way) => self.paid(way, part),
            None => self.expression(part),
        }
    }

    /// What is written in the expression has a length that its own bound has bounded; a key may be one that is refused.
    fn paid(&self, way: &str, part: IdedExpr) -> IdedExpr {
        if matches!(part.expr, Expr::Literal(_)) && way != PAY_KEY {
            return part;
        }
        let part = self.expression(part);
        IdedExpr { id: part.id, expr: function(way, vec![part]) }
    }

    /// How many parts are evaluated, the rounds of loops not counted.
    pub(super) fn parts(part: &IdedExpr) -> u64 {
        let below: u64 = match &part.expr {
            Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).map(Self::parts).sum(),
            Expr::Select(select) => Self::parts(&select.operand),
            Expr::List(list) => list.elements.iter().map(Self::parts).sum(),
            Expr::Map(map) => {
                let pairs = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(pair) => Some(Self::parts(&pair.key) + Self::parts(&pair.value)),
                    EntryExpr::StructField(_) => None,
                });
                pairs.sum()
            }
            Expr::Comprehension(parts) => Self::parts(&parts.iter_range) + Self::parts(&parts.result),
            _ => 0,
        };
        below + 1
    }
}

/// How the first operand of an operation is handed to it, and how all others. None: as it is, since the operation looks at
/// no more of it than one value.
fn ways(name: &str) -> (Option<&'static str>, Option<&'static str>) {
    match name {
        operators::CONDITIONAL
        | operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::NOT_STRICTLY_FALSE
        | "dyn"
        | "type" => (None, None),
        operators::INDEX => (None, Some(PAY_KEY)),
        operators::IN => (Some(PAY), Some(PAY_LIST)),
        "size" => (Some(PAY_TEXT), Some(PAY_TEXT)),
        "bool" | "double" | "duration" | "int" | "timestamp" | "uint" => (Some(PAY_READ), Some(PAY_READ)),
        // Functions of times, whose argument is a time zone.
        name if name.starts_with("get") => (None, Some(PAY_READ)),
        // Errors hold a copy of both operands, so that arithmetic on lists is no cheaper than on numbers.
        _ => (Some(PAY), Some(PAY)),
    }
}

/// The step of `map` and `filter`.
fn is_append(call: &CallExpr) -> bool {
    let accumulator = |part: &IdedExpr| matches!(&part.expr, Expr::Ident(name) if name == ACCUMULATOR);
    call.func_name == operators::ADD && call.args.first().is_some_and(accumulator)
}

fn function(name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args })
}

fn integer(number: usize) -> IdedExpr {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(CelInt::from(number))) }
}
