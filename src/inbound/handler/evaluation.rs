//! Flow 3, pure: the expressions of a handler over the events of one post.

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, Value as CelValue, common::value::Val};

use super::{
    budget::Budget,
    check::{BODY, HEADERS, QUERY, VARIABLES},
    error::Field,
    expression::Expression,
    incoming::Incoming,
    pattern::Pattern,
    posted::Posted,
    shape::Shape,
    value::Value,
    verdict::{Failure, Reason},
};
use axum::http::HeaderName;

/// Longer lists and maps anywhere in an event are not given to expressions.
const MAX_ELEMENTS: usize = 10_000;

/// The standard library, without optional values, whose macros are loops in disguise.
static LIBRARY: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

/// What expressions see of a post, whichever of its events they are evaluated over. Made once: a batch has thousands of them.
pub(super) struct Scope<'v> {
    context: Context<'v, 'v>,
    reads_body: bool,
    budget: &'v Budget,
}

impl<'v> Scope<'v> {
    /// Makes the variables that at least one expression reads.
    ///
    /// # Errors
    /// The post is too large for that, and why.
    pub(super) fn new(
        incoming: &Incoming<'v>,
        reads: [bool; VARIABLES.len()],
        hidden: &[HeaderName],
        patterns: &Arc<[Pattern]>,
        budget: &'v Budget,
    ) -> Result<Self, Failure> {
        let mut context = Context::with_env(Arc::clone(&LIBRARY));
        budget.install(&mut context, patterns);
        let [reads_headers, reads_query, reads_body] = reads;
        if reads_headers {
            context.add_variable_as_val(HEADERS, headers(incoming, hidden, budget)?);
        }
        if reads_query {
            context.add_variable_as_val(QUERY, query(incoming, budget)?);
        }
        Ok(Self { context, reads_body, budget })
    }

    /// Makes what is different for each event.
    ///
    /// # Errors
    /// The event is too large for that, and why.
    pub(super) fn over<'p>(&'p self, posted: &'v Posted<'_>) -> Result<Evaluation<'p, 'v>, Failure> {
        if !self.budget.over_event() {
            return Err(too_expensive());
        }
        let mut context = self.context.new_inner_scope();
        if self.reads_body {
            context.add_variable_as_val(BODY, body(posted, self.budget)?);
        }
        Ok(Evaluation { context, budget: self.budget })
    }
}

/// What expressions see of one event.
pub(super) struct Evaluation<'p, 'v> {
    context: Context<'p, 'v>,
    budget: &'v Budget,
}

impl Evaluation<'_, '_> {
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

fn headers<'v>(incoming: &Incoming<'v>, hidden: &[HeaderName], budget: &Budget) -> Result<Value<'v>, Failure> {
    if !budget.make(Shape::of_texts(incoming.headers.len())) {
        return Err(too_expensive());
    }
    Ok(incoming.headers_value(hidden))
}

fn query<'v>(incoming: &Incoming<'v>, budget: &Budget) -> Result<Value<'v>, Failure> {
    let parameters = incoming.parameters();
    if parameters > MAX_ELEMENTS {
        return Err(too_large("the query", "parameters"));
    }
    if !budget.make(Shape::of_texts(parameters)) {
        return Err(too_expensive());
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
