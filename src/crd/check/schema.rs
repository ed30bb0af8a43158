//! Flow 1, pure: judges an object by the CRD's structural schema, in the words of the API server.
//!
//! A structural schema uses a few keywords of JSON Schema, and some of Kubernetes' own with other rules for `null`, unknown fields
//! and lists that are sets: this reads those that the CRDs use, and a CRD with any other is refused.

use std::collections::{HashMap, HashSet};

use regex::Regex;
use serde_json::{Map, Value};

use super::{Place, Problem};

/// What [`Judge`] reads, and what constrains nothing or is read by [`super::rules`].
const KEYWORDS: [&str; 24] = [
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// What every object has besides what its CRD says of it.
const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// A structural schema, ready to judge.
pub(super) struct Schema {
    root: Value,
    /// By their source.
    patterns: HashMap<String, Regex>,
}

impl Schema {
    /// # Errors
    /// It has a keyword that is not known here, or a pattern that is none.
    pub(super) fn new(schema: &Value) -> Result<Self, String> {
        let mut patterns = HashMap::new();
        read(schema, &mut patterns)?;
        let mut root = schema.clone();
        if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
            // What is in them is judged elsewhere.
            properties.extend(OF_EVERY_OBJECT.map(|field| (field.to_owned(), Value::Object(Map::new()))));
        }
        Ok(Self { root, patterns })
    }

    pub(super) fn check(&self, object: &Value) -> Vec<Problem> {
        let mut judge = Judge { patterns: &self.patterns, problems: Vec::new() };
        judge.value(&Node { schema: &self.root, around: None }, &Place::default(), object);
        judge.problems
    }
}

fn read(schema: &Value, patterns: &mut HashMap<String, Regex>) -> Result<(), String> {
    for keyword in schema.as_object().into_iter().flat_map(Map::keys) {
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err(format!("the keyword {keyword} is not known"));
        }
    }
    if let Some(pattern) = text(schema, "pattern") {
        let compiled = Regex::new(pattern).map_err(|error| error.to_string())?;
        patterns.insert(pattern.to_owned(), compiled);
    }
    children(schema).try_for_each(|child| read(child, patterns))
}

/// The schemas inside a schema.
fn children(schema: &Value) -> impl Iterator<Item = &Value> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
    properties.chain(["items", "additionalProperties"].into_iter().filter_map(|nested| schema.get(nested)))
}

fn text<'a>(schema: &'a Value, keyword: &str) -> Option<&'a str> {
    schema.get(keyword)?.as_str()
}

fn list<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

/// A schema, and the one around it, whose description says what a value inside is for if its own does not.
struct Node<'a> {
    schema: &'a Value,
    around: Option<&'a Value>,
}

impl<'a> Node<'a> {
    fn inner(&self, schema: &'a Value) -> Self {
        Self { schema, around: Some(self.schema) }
    }

    fn field(&self, name: &str) -> Option<Self> {
        let property = self.schema.get("properties").and_then(|properties| properties.get(name));
        property.or_else(|| self.schema.get("additionalProperties")).map(|schema| self.inner(schema))
    }

    fn limit(&self, keyword: &str) -> Option<usize> {
        self.schema.get(keyword)?.as_u64().and_then(|limit| usize::try_from(limit).ok())
    }

    fn is(&self, keyword: &str) -> bool {
        self.schema.get(keyword) == Some(&Value::Bool(true))
    }

    /// What the value is for, as its documentation says: a pattern alone tells a person little.
    fn meaning(&self) -> String {
        let description = text(self.schema, "description").or_else(|| text(self.around?, "description"));
        description.map(|text| format!(" ({})", text.trim_end_matches('.').replace('\n', " "))).unwrap_or_default()
    }

    fn known_fields(&self) -> String {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        let names: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        format!("known ones are {}", names.join(", "))
    }
}

/// Collects what is wrong.
struct Judge<'a> {
    patterns: &'a HashMap<String, Regex>,
    problems: Vec<Problem>,
}

impl Judge<'_> {
    fn value(&mut self, node: &Node<'_>, place: &Place, value: &Value) {
        let options = node.schema.get("enum").and_then(Value::as_array);
        // An enum has to list null, also where the value may be null.
        if let Some(options) = options.filter(|options| !options.contains(value)) {
            return self.refuse(place, format!("Unsupported value: supported values are {}", listed(options)));
        }
        if value.is_null() && node.is("nullable") {
            return;
        }
        if let Some(type_) = text(node.schema, "type").filter(|type_| !has_type(value, type_)) {
            return self.refuse(place, format!("must be of type {type_}{}", node.meaning()));
        }
        match value {
            Value::String(text) => self.string(node, place, text),
            Value::Number(number) => self.number(node, place, number.as_f64().unwrap_or_default()),
            Value::Array(items) => self.array(node, place, items),
            Value::Object(fields) => self.object(node, place, fields),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn string(&mut self, node: &Node<'_>, place: &Place, value: &str) {
        let length = value.chars().count();
        if let Some(limit) = node.limit("maxLength").filter(|limit| length > *limit) {
            self.refuse(place, format!("Too long: may not be more than {limit} characters"));
        }
        if let Some(limit) = node.limit("minLength").filter(|limit| length < *limit) {
            self.refuse(place, format!("should be at least {limit} characters long"));
        }
        let fits = |pattern: &&str| self.patterns.get(*pattern).is_some_and(|regex| regex.is_match(value));
        if let Some(pattern) = text(node.schema, "pattern").filter(|pattern| !fits(pattern)) {
            self.refuse(place, format!("should match {pattern}{}", node.meaning()));
        }
        if text(node.schema, "format") == Some("date-time") && !is_date_time(value) {
            self.refuse(place, format!("must be a valid date-time{}", node.meaning()));
        }
    }

    fn number(&mut self, node: &Node<'_>, place: &Place, value: f64) {
        let bound = |keyword: &str| node.schema.get(keyword).filter(|bound| bound.is_number());
        if let Some(least) = bound("minimum").filter(|least| least.as_f64().is_some_and(|least| value < least)) {
            self.refuse(place, format!("should be greater than or equal to {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| most.as_f64().is_some_and(|most| value > most)) {
            self.refuse(place, format!("should be less than or equal to {most}"));
        }
    }

    fn array(&mut self, node: &Node<'_>, place: &Place, items: &[Value]) {
        if let Some(limit) = node.limit("maxItems").filter(|limit| items.len() > *limit) {
            self.refuse(place, format!("Too many: must have at most {limit} items"));
        }
        if let Some(limit) = node.limit("minItems").filter(|limit| items.len() < *limit) {
            self.refuse(place, format!("should have at least {limit} items"));
        }
        let (mut seen, inner) = (HashSet::new(), node.schema.get("items").map(|schema| node.inner(schema)));
        for (index, item) in items.iter().enumerate() {
            let place = place.child(&index.to_string());
            if identity(node, item).is_some_and(|identity| !seen.insert(identity)) {
                self.refuse(&place, "Duplicate value: remove it".into());
            }
            if let Some(inner) = &inner {
                self.value(inner, &place, item);
            }
        }
    }

    fn object(&mut self, node: &Node<'_>, place: &Place, fields: &Map<String, Value>) {
        if let Some(limit) = node.limit("maxProperties").filter(|limit| fields.len() > *limit) {
            self.refuse(place, format!("Too many: must have at most {limit} entries"));
        }
        for missing in list(node.schema, "required").filter_map(Value::as_str) {
            if !fields.contains_key(missing) {
                let meaning = node.field(missing).map(|field| field.meaning()).unwrap_or_default();
                self.refuse(&place.child(missing), format!("Required value{meaning}"));
            }
        }
        let is_open = node.schema.get("properties").is_none() || node.is("x-kubernetes-preserve-unknown-fields");
        for (name, value) in fields {
            match node.field(name) {
                Some(field) => self.value(&field, &place.child(name), value),
                None if is_open => {}
                None => self.refuse(&place.child(name), format!("unknown field; {}", node.known_fields())),
            }
        }
    }

    fn refuse(&mut self, place: &Place, message: String) {
        self.problems.push(Problem { place: place.clone(), message });
    }
}

/// What makes an item one of a kind in its list; absent where items may repeat.
fn identity(node: &Node<'_>, item: &Value) -> Option<String> {
    match text(node.schema, "x-kubernetes-list-type")? {
        "set" => Some(item.to_string()),
        "map" => {
            let keys = list(node.schema, "x-kubernetes-list-map-keys").filter_map(Value::as_str);
            Some(keys.map(|key| item.get(key).cloned().unwrap_or_default()).collect::<Value>().to_string())
        }
        _ => None,
    }
}

fn has_type(value: &Value, type_: &str) -> bool {
    match type_ {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => false,
    }
}

/// RFC 3339. Go knows no leap seconds.
fn is_date_time(text: &str) -> bool {
    text.get(17..19) != Some("60") && text.parse::<jiff::Timestamp>().is_ok()
}

fn listed(options: &[Value]) -> String {
    let options = options.iter().filter(|option| !option.is_null());
    options.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
