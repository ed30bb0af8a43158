//! Flow 3, pure: what the evaluation of one post may cost, and the functions that take it off.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use cel::{
    Context, ExecutionError, FunctionContext,
    common::{
        types::{CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString},
        value::{CowVal, Val},
    },
};

use super::{meter, pattern::Pattern, shape::Shape};

/// Of all expressions over all events of one post. A unit is about a nanosecond, or a byte of memory.
pub(super) const BUDGET: u64 = 30_000_000;
/// What expressions over one event take besides their parts: variables of its own, reading results.
const EVENT: u64 = 1_000;
/// Evaluating one part of an expression.
const PART: u64 = 100;
/// Looking at, or copying, one value in a list or map.
const VALUE: u64 = 100;
/// What a map takes besides its keys and values: a table of hashes, and a seed for them.
const MAP: u64 = 200;
/// What a pair in it takes besides key and value: hashing, and sorting where it is written.
const PAIR: u64 = 200;
/// One byte of a text through an automaton.
const MATCHED_BYTE: u64 = 2;
/// One byte of a text that is read as a number or a time. Much of it is making the error.
const READ_BYTE: u64 = 32;
/// No number and no time is longer.
const MAX_READ_BYTES: u64 = 128;

type Result<T> = core::result::Result<T, ExecutionError>;
type Native = Box<dyn for<'a, 'v> Fn(&mut FunctionContext<'a, 'v>) -> Result<CowVal<'a, 'v>> + Send + Sync>;

/// What is left. Its copies are one.
#[derive(Clone)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(BUDGET)))
    }

    /// Whether something could not be paid. It stays so: an error can be swallowed by `||`, and then the result would
    /// depend on the order of evaluation.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Takes off what each event takes, whatever is in it and in the expressions. False: it could not be paid.
    pub(super) fn over_event(&self) -> bool {
        self.spend(EVENT).is_ok()
    }

    /// Takes off the evaluation of so many parts, before it begins.
    pub(super) fn begin(&self, parts: u64) {
        // Whoever asks finds it exhausted.
        let _ = self.spend(parts.saturating_mul(PART));
    }

    /// Takes off the making of values. False: it could not be paid.
    pub(super) fn make(&self, shape: Shape) -> bool {
        let (values, maps) = (length(shape.values), length(shape.maps));
        self.spend(values.saturating_mul(VALUE).saturating_add(maps.saturating_mul(MAP))).is_ok()
    }

    fn spend(&self, cost: u64) -> Result<()> {
        // One evaluation runs on one thread: nobody writes in between.
        let left = self.0.load(Ordering::Relaxed).saturating_sub(cost);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { Err(ExecutionError::function_error("budget", "exhausted")) } else { Ok(()) }
    }

    /// Takes off a value with all that is in it.
    pub(super) fn pay(&self, value: &dyn Val) -> Result<()> {
        let left = weighed(value, self.0.load(Ordering::Relaxed));
        self.0.store(left, Ordering::Relaxed);
        self.spend(0)
    }

    /// All rounds of a loop, and the copies of all elements that it makes.
    fn pay_loop(&self, range: &dyn Val, size: usize, round: u64) -> Result<()> {
        let rounds = u64::try_from(size).unwrap_or(u64::MAX);
        self.spend(rounds.saturating_mul(round).saturating_mul(PART))?;
        self.pay(range)
    }

    /// Hands the functions that [`meter`] calls to a context.
    pub(super) fn install(&self, context: &mut Context<'_, '_>, patterns: &Arc<[Pattern]>) {
        let functions: [(&str, Native); 7] = [
            (meter::PAY, self.function(|budget, value| budget.pay(value))),
            (meter::PAY_KEY, self.function(pay_key)),
            (meter::PAY_TEXT, self.function(pay_text)),
            (meter::PAY_READ, self.function(pay_read)),
            (meter::PAY_LIST, self.function(pay_list)),
            (meter::PAY_LOOP, self.for_loops()),
            (meter::MATCHES, self.for_patterns(patterns)),
        ];
        for (name, function) in functions {
            let added = context.add_function(name, function);
            debug_assert!(added.is_ok(), "CEL has no names with @");
        }
    }

    /// A function that returns its argument once it is paid.
    fn function(&self, pay: fn(&Self, &dyn Val) -> Result<()>) -> Native {
        let budget = self.clone();
        Box::new(move |call| {
            let value = argument(call)?;
            pay(&budget, value.as_ref())?;
            Ok(value)
        })
    }

    fn for_loops(&self) -> Native {
        let budget = self.clone();
        Box::new(move |call| {
            let (range, round) = (argument(call)?, number(argument(call)?.as_ref()));
            let round = u64::try_from(round).unwrap_or(u64::MAX);
            if let Some(list) = range.downcast_ref::<CelList<'_>>() {
                budget.pay_loop(range.as_ref(), list.len(), round)?;
                return Ok(range);
            }
            let Some(map) = range.downcast_ref::<CelMap<'_>>() else { return Err(not_iterable(range.as_ref())) };
            budget.pay_loop(range.as_ref(), map.len(), round)?;
            Ok(CowVal::owned(keys(map)))
        })
    }

    fn for_patterns(&self, patterns: &Arc<[Pattern]>) -> Native {
        let (budget, patterns) = (self.clone(), Arc::clone(patterns));
        Box::new(move |call| {
            let (subject, place) = (argument(call)?, number(argument(call)?.as_ref()));
            let types = || vec![subject.get_type().name().to_owned(), "string".to_owned()];
            let text = subject.downcast_ref::<CelString<'_>>();
            let text = text.ok_or_else(|| ExecutionError::no_such_overload("matches", types()))?;
            budget.spend(length(text.len()).saturating_mul(MATCHED_BYTE))?;
            let pattern = usize::try_from(place).ok().and_then(|place| patterns.get(place));
            let pattern = pattern.ok_or_else(ExecutionError::missing_argument_or_target)?;
            Ok(CowVal::owned(CelBool::from(pattern.is_in(text))))
        })
    }
}

/// The next argument, moved out.
fn argument<'a, 'v>(call: &mut FunctionContext<'a, 'v>) -> Result<CowVal<'a, 'v>> {
    if call.args.is_empty() {
        return Err(ExecutionError::missing_argument_or_target());
    }
    Ok(call.args.remove(0))
}

fn number(value: &dyn Val) -> i64 {
    value.downcast_ref::<CelInt>().map_or(i64::MAX, |number| *number.inner())
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn not_iterable(range: &dyn Val) -> ExecutionError {
    ExecutionError::UnexpectedType { got: range.get_type().name().to_owned(), want: "list or map".to_owned() }
}

/// The library would put the whole list into the error.
fn pay_key(budget: &Budget, key: &dyn Val) -> Result<()> {
    if key.downcast_ref::<CelDouble>().is_some_and(|number| number.inner().fract() != 0.0) {
        return Err(ExecutionError::no_such_overload("_[_]", vec!["list".to_owned(), "double".to_owned()]));
    }
    budget.pay(key)
}

fn pay_text(budget: &Budget, value: &dyn Val) -> Result<()> {
    budget.spend(text_length(value))
}

fn pay_read(budget: &Budget, value: &dyn Val) -> Result<()> {
    let length = text_length(value);
    if length > MAX_READ_BYTES {
        let message = "number or time";
        return Err(ExecutionError::UnexpectedType { got: "string".to_owned(), want: message.to_owned() });
    }
    budget.spend(length.saturating_mul(READ_BYTE))
}

fn text_length(value: &dyn Val) -> u64 {
    value.downcast_ref::<CelString<'_>>().map_or(0, |text| length(text.len()))
}

fn pay_list(budget: &Budget, value: &dyn Val) -> Result<()> {
    if value.downcast_ref::<CelMap<'_>>().is_some() { Ok(()) } else { budget.pay(value) }
}

/// The keys of a map in their order. The library goes through them in one that differs from run to run.
fn keys<'v>(map: &CelMap<'v>) -> CelList<'v> {
    let mut keys: Vec<&CelMapKey<'v>> = map.keys().collect();
    keys.sort();
    CelList::from(keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect::<Vec<_>>())
}

/// What is left of a budget after a value, with all that is in it. Stops where nothing is left.
fn weighed(value: &dyn Val, mut left: u64) -> u64 {
    left = left.saturating_sub(VALUE);
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return left.saturating_sub(length(text.len()));
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        return left.saturating_sub(length(bytes.len()));
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        for element in list.iter() {
            if left == 0 {
                break;
            }
            left = weighed(element.as_ref(), left);
        }
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        left = left.saturating_sub(MAP);
        for (key, value) in map.iter() {
            if left == 0 {
                break;
            }
            left = weighed(value.as_ref(), weighed(key.inner(), left.saturating_sub(PAIR)));
        }
    }
    left
}
