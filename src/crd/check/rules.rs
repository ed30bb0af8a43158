//! Flow 1, pure: evaluates the CEL rules of a CRD's schema over an object that fits the schema, as the API server does.

use std::collections::HashMap;

use cel::{Context, Program, Value as CelValue, objects::Key};
use serde_json::{Map, Value};

use super::{Place, Problem};

/// The rules of a schema, in its shape, ready to be evaluated.
#[derive(Default)]
pub(super) struct Rules {
    /// On the value itself.
    own: Vec<Rule>,
    /// On its fields, by their names.
    fields: HashMap<String, Rules>,
    /// On each of its items, or on each value of a map.
    items: Option<Box<Rules>>,
}

struct Rule {
    program: Program,
    message: String,
    /// Which field it is about, from the value that it stands at.
    field: Place,
    /// Compares with the former object: not evaluated for a new one.
    is_transition: bool,
}

impl Rules {
    /// # Errors
    /// A rule that is not CEL, with its source.
    pub(super) fn compile(schema: &Value) -> Result<Self, String> {
        let own = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
        let own = own.map(Rule::compile).collect::<Result<_, _>>()?;
        let mut fields = HashMap::new();
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let rules = Self::compile(schema)?;
            if !rules.is_empty() {
                fields.insert(name.clone(), rules);
            }
        }
        let items = schema.get("items").or_else(|| schema.get("additionalProperties"));
        let items = items.map(Self::compile).transpose()?.filter(|rules| !rules.is_empty());
        Ok(Self { own, fields, items: items.map(Box::new) })
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.fields.is_empty() && self.items.is_none()
    }

    /// Every rule that `object` breaks, or that the change from `old` to it breaks.
    pub(super) fn check(&self, object: &Value, old: Option<&Value>) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_at(&Place::default(), object, old, &mut problems);
        problems
    }

    fn check_at(&self, place: &Place, value: &Value, old: Option<&Value>, problems: &mut Vec<Problem>) {
        let old = old.filter(|old| !old.is_null());
        if value.is_null() {
            return;
        }
        if !self.own.is_empty() {
            problems.extend(self.broken(value, old).map(|rule| rule.problem(place)));
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(rules) = self.fields.get(name).or(self.items.as_deref()) {
                        rules.check_at(&place.child(name), value, old.and_then(|old| old.get(name)), problems);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(rules) = &self.items {
                        // Items of a list have no former value: they may have moved.
                        rules.check_at(&place.child(&index.to_string()), item, None, problems);
                    }
                }
            }
            _ => {}
        }
    }

    fn broken(&self, value: &Value, old: Option<&Value>) -> impl Iterator<Item = &Rule> {
        let mut context = Context::default();
        context.add_variable_from_value("self", to_cel(value));
        if let Some(old) = old {
            context.add_variable_from_value("oldSelf", to_cel(old));
        }
        let applies = move |rule: &&Rule| !rule.is_transition || old.is_some();
        // One that cannot be evaluated is broken too, as in the API server.
        self.own.iter().filter(applies).filter(move |rule| rule.program.execute(&context) != Ok(CelValue::Bool(true)))
    }
}

impl Rule {
    fn compile(rule: &Value) -> Result<Self, String> {
        let text = |field: &str| rule.get(field).and_then(Value::as_str).unwrap_or_default();
        let source = text("rule");
        let program = Program::compile(source).map_err(|error| format!("{source}: {error}"))?;
        Ok(Self {
            is_transition: program.references().has_variable("oldSelf"),
            program,
            message: text("message").to_owned(),
            field: Place::parse(text("fieldPath")),
        })
    }

    fn problem(&self, place: &Place) -> Problem {
        Problem { place: place.join(&self.field), message: self.message.clone() }
    }
}

/// As the API server hands values to rules: numbers are signed, and a field that is null is not there.
fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| CelValue::Float(number.as_f64().unwrap_or_default()), CelValue::Int)
        }
        Value::String(text) => CelValue::from(text.as_str()),
        Value::Array(items) => CelValue::from(items.iter().map(to_cel).collect::<Vec<_>>()),
        Value::Object(fields) => CelValue::from(to_cel_map(fields)),
    }
}

fn to_cel_map(fields: &Map<String, Value>) -> HashMap<Key, CelValue> {
    let present = fields.iter().filter(|(_, value)| !value.is_null());
    present.map(|(name, value)| (Key::from(name.as_str()), to_cel(value))).collect()
}
