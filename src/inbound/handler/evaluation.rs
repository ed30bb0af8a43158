//! Flow 3, pure: the expressions of a handler over one event.

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, Value as CelValue, common::value::Val};

use super::{
    budget::Budget,
    check::VARIABLES,
    error::Field,
    expression::Expression,
    incoming::Incoming,
    pattern::Pattern,
    posted::Posted,
    value::Value,
    verdict::{Failure, Reason},
};
use axum::http::HeaderName;

/// Longer lists and maps anywhere in an event are not given to expressions.
const MAX_ELEMENTS: usize = 10_000;

/// The standard library, without optional values, whose macros are loops in disguise.
static LIBRARY: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

/// What expressions see of one event.
pub(super) struct Evaluation<'v> {
    context: Context<'v, 'v>,
    budget: &'v Budget,
}

impl<'v> Evaluation<'v> {
    /// Makes the variables that are read by at least one expression.
    ///
    /// # Errors
    /// The event is too large for that, and why.
    pub(super) fn new(
        incoming: &Incoming<'v>,
        posted: &'v Posted<'_>,
        reads: [bool; VARIABLES.len()],
        hidden: &[HeaderName],
        patterns: &Arc<[Pattern]>,
        budget: &'v Budget,
    ) -> Result<Self, Failure> {
        let mut context = Context::with_env(Arc::clone(&LIBRARY));
        budget.install(&mut context, patterns);
        let makers: [&dyn Fn() -> Result<Value<'v>, Failure>; VARIABLES.len()] =
            [&|| Ok(incoming.headers_value(hidden)), &|| query(incoming), &|| body(posted, budget)];
        for ((name, make), _) in VARIABLES.into_iter().zip(makers).zip(reads).filter(|(_, read)| *read) {
            context.add_variable_as_val(name, make()?);
        }
        Ok(Self { context, budget })
    }

    /// Evaluates one expression and reads what it comes to.
    ///
    /// # Errors
    /// It cannot be evaluated, costs too much, or the result cannot be read.
    pub(super) fn result<T>(
        &self,
        field: Field,
        expression: &Expression,
        read: fn(&dyn Val) -> Result<T, String>,
    ) -> Result<T, Failure> {
        self.budget.begin(expression.parts);
        let value = CelValue::resolve_val(&expression.root, &self.context).and_then(|value| {
            self.budget.pay(value.as_ref())?;
            Ok(value)
        });
        let result = value.map_err(|error| explained(&error, expression)).and_then(|value| read(value.as_ref()));
        if self.budget.is_exhausted() {
            return Err(too_expensive());
        }
        result.map_err(|message| Failure { reason: Reason::CelError, message: format!("{field}: {message}") })
    }
}

fn query<'v>(incoming: &Incoming<'v>) -> Result<Value<'v>, Failure> {
    if incoming.parameters() > MAX_ELEMENTS {
        return Err(too_large("the query", "parameters"));
    }
    Ok(incoming.query_value())
}

fn body<'v>(posted: &'v Posted<'_>, budget: &Budget) -> Result<Value<'v>, Failure> {
    let shape = posted.content.shape();
    if shape.longest > MAX_ELEMENTS {
        return Err(too_large("a list or map in the body", "elements"));
    }
    if !budget.make(shape) {
        return Err(too_expensive());
    }
    // It was read before, so this does not happen.
    posted.content.value().map_err(|_| too_large("the body", "levels"))
}

fn too_large(what: &str, of: &str) -> Failure {
    let message = format!("{what} has more than {MAX_ELEMENTS} {of}");
    Failure { reason: Reason::CelInputTooLarge, message }
}

fn too_expensive() -> Failure {
    let message = "the expressions cost more than one post may, over a body of this size";
    Failure { reason: Reason::CelTooExpensive, message: message.to_owned() }
}

/// An error without the values that the library puts into it: they are what was posted.
fn explained(error: &ExecutionError, expression: &Expression) -> String {
    use ExecutionError as E;
    match error {
        E::NoSuchKey(key) => expression.quoted(key).map_or("no such key".into(), |key| format!("no such key `{key}`")),
        E::NoSuchOverload(call) => call.to_string(),
        E::UnexpectedType { got, want } => format!("a value of the type {got} where {want} is needed"),
        E::UnsupportedBinaryOperator(name, left, right) | E::Overflow(name, left, right) => {
            let what = if matches!(error, E::Overflow(..)) { "the result is too large:" } else { "cannot" };
            format!("{what} {name} values of the types {} and {}", type_of(left), type_of(right))
        }
        E::ValuesNotComparable(left, right) => {
            format!("cannot compare values of the types {} and {}", type_of(left), type_of(right))
        }
        E::UnsupportedKeyType(key) => format!("a value of the type {} cannot be a key", type_of(key)),
        E::DivisionByZero(_) | E::RemainderByZero(_) => "division by zero".to_owned(),
        E::IndexOutOfBounds(_) => "the list is not that long".to_owned(),
        E::DuplicateKey(_) => "a key comes twice in one map".to_owned(),
        E::FunctionError { function, .. } => format!("`{function}` cannot take this value"),
        _ => "it cannot be evaluated".to_owned(),
    }
}

/// As CEL names it, where the library has a name of its own.
fn type_of(value: &CelValue) -> String {
    match value {
        CelValue::Float(_) => "double".to_owned(),
        other => other.type_of().to_string(),
    }
}
