//! Flow 3, pure: why a handler does not compile, with the place in the resource.

use core::fmt;

use super::{
    check::MAX_DEPTH,
    expression::{MAX_EXPRESSION_BYTES, MAX_LINKS, MAX_NESTING},
    pattern::{MAX_PATTERN_BYTES, MAX_PATTERNS},
};

/// Why a handler does not compile: what a user reads in the condition of his `Webhook`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: line {line}, column {column}: {problem}")]
pub struct HandlerError {
    /// The field of the resource.
    pub field: Field,
    /// Of its text, counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// A field that holds an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `spec.handler.filter`
    Filter,
    /// `spec.handler.transform`
    Transform,
    /// `spec.handler.key`
    Key,
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Filter => "spec.handler.filter",
            Self::Transform => "spec.handler.transform",
            Self::Key => "spec.handler.key",
        })
    }
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A bound, so that it is read in a short time.
    #[error("the expression is longer than {MAX_EXPRESSION_BYTES} bytes")]
    TooLong,
    /// A bound, so that it is read within the stack.
    #[error("the expression has more than {MAX_LINKS} operators, dots and indexes (those in texts count as well)")]
    TooManyLinks,
    /// A bound, so that it is read within the stack.
    #[error("nested in more than {MAX_NESTING} brackets")]
    TooNested,
    /// A bound, so that it is evaluated within the stack.
    #[error("more than {MAX_DEPTH} operations on the result of one another")]
    TooDeep,
    /// Not CEL.
    #[error("{0}")]
    Syntax(String),
    /// Neither a variable nor a type.
    #[error("unknown name `{0}`: there are `headers`, `query` and `body`")]
    UnknownName(String),
    /// Not in the standard library of CEL.
    #[error("unknown function `{0}`")]
    UnknownFunction(String),
    /// Its time would be the product of two lengths that the sender chooses.
    #[error(
        "`all`, `exists`, `exists_one`, `map` and `filter` cannot stand inside one another; \
         `list.map(x, condition, value)` filters and maps at once"
    )]
    NestedLoop,
    /// What the sender chooses could not be checked beforehand.
    #[error("`matches` takes its pattern as a text written there")]
    PatternNotLiteral,
    /// A bound, so that all automata together stay small.
    #[error("more than {MAX_PATTERNS} different patterns in one handler")]
    TooManyPatterns,
    /// A bound, so that it is read in a short time.
    #[error("the pattern is longer than {MAX_PATTERN_BYTES} bytes")]
    PatternTooLong,
    /// It would take too much memory or time.
    #[error(
        "the pattern is too complex, with the others of this handler: repeat fewer times, and `[0-9A-Za-z_]` is much smaller than `\\w`"
    )]
    PatternTooComplex,
    /// Automata cannot know them.
    #[error("the pattern has a Unicode word boundary: write `(?-u:\\b)`")]
    WordBoundary,
    /// Not a regular expression.
    #[error("bad pattern: {0}")]
    BadPattern(String),
    /// There are no message types here.
    #[error("there are no message types: write a map such as `{{'name': value}}`")]
    Message,
}
