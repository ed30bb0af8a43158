//! Flow 3, pure: an expression of a resource, read, checked and metered once.

use cel::{
    common::ast::{IdedExpr, SourceInfo},
    parser::{ParseErrors, Parser},
};

use super::{
    check::{Check, VARIABLES},
    error::{Field, HandlerError, Problem},
    meter::Meter,
    pattern::Patterns,
};

/// Longer expressions are refused. Reading the longest takes some 20 ms.
pub(super) const MAX_EXPRESSION_BYTES: usize = 4_096;
/// More operators, dots and indexes are refused, wherever they stand: reading a chain of them recurses, some 2 KB of stack
/// each, and only reading tells what is inside a text.
pub(super) const MAX_LINKS: usize = 500;
/// More brackets around anything are refused: each takes some 10 KB of stack.
pub(super) const MAX_NESTING: u16 = 32;

/// An expression, ready to be evaluated.
pub(super) struct Expression {
    /// With weighing in it, see [`Meter`].
    pub(super) root: IdedExpr,
    /// Which of [`VARIABLES`] it reads.
    pub(super) reads: [bool; VARIABLES.len()],
    /// Parts that are evaluated, loops not counted.
    pub(super) parts: u64,
    source: String,
}

impl Expression {
    /// # Errors
    /// The first place that must not be so.
    pub(super) fn compile(field: Field, source: &str, patterns: &mut Patterns) -> Result<Self, HandlerError> {
        let at = |(line, column), problem| HandlerError { field, line, column, problem };
        bounded(source).map_err(|problem| at((1, 1), problem))?;
        let parser = Parser::new().max_recursion_depth(MAX_NESTING);
        let (root, info) = parser.parse_with_source_info(source).map_err(|errors| {
            let (place, problem) = first(&errors);
            at(place, problem)
        })?;
        let mut check = Check::new(patterns);
        check.expression(&root, 1).map_err(|(id, problem)| at(place(&info, id), problem))?;
        let reads = check.reads;
        let root = Meter::new(patterns).expression(root);
        Ok(Self { parts: Meter::parts(&root), root, reads, source: source.to_owned() })
    }

    /// A text, if it is part of the expression: then it tells nothing of what was posted.
    pub(super) fn quoted<'a>(&self, text: &'a str) -> Option<&'a str> {
        (!text.is_empty() && self.source.contains(text)).then_some(text)
    }
}

/// What must hold before anything reads it.
fn bounded(source: &str) -> Result<(), Problem> {
    if source.len() > MAX_EXPRESSION_BYTES {
        return Err(Problem::TooLong);
    }
    if source.bytes().filter(|byte| b"+-*/%<>=!.[?".contains(byte)).count() > MAX_LINKS {
        return Err(Problem::TooManyLinks);
    }
    Ok(())
}

/// The first error of the parser that has a place.
fn first(errors: &ParseErrors) -> ((usize, usize), Problem) {
    let placed = errors.errors.iter().find(|error| error.pos.0 > 0).or(errors.errors.first());
    let Some(error) = placed else { return ((1, 1), Problem::Syntax("not CEL".to_owned())) };
    let count = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    let problem = if error.msg.contains("Recursion limit") {
        Problem::TooNested
    } else {
        Problem::Syntax(error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg).to_owned())
    };
    ((count(error.pos.0), count(error.pos.1)), problem)
}

/// Line and column of a part.
fn place(info: &SourceInfo, id: u64) -> (usize, usize) {
    let offset = info.offset_for(id).and_then(|(start, _)| usize::try_from(start).ok()).unwrap_or(0);
    let before = info.source.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
