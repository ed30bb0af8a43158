//! Flow 1, pure: the CRD's schema as a JSON Schema validator reads it, and its verdicts in the words of the API server.

use std::collections::HashSet;

use jsonschema::{
    Draft, PatternOptions, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::{Map, Value, json};

use super::{Place, Problem};

/// A structural schema, ready to judge.
pub(super) struct SchemaValidator {
    validator: Validator,
    /// As the CRD has it: for the descriptions.
    schema: Value,
}

impl SchemaValidator {
    pub(super) fn new(schema: &Value) -> Result<Self, String> {
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .with_format("date-time", is_date_time)
            .build(&translate_root(schema))
            .map_err(|error| error.to_string())?;
        Ok(Self { validator, schema: schema.clone() })
    }

    pub(super) fn check(&self, object: &Value) -> Vec<Problem> {
        self.validator.iter_errors(object).flat_map(|error| self.problems(&error)).collect()
    }

    fn problems(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let place = Place::from_pointer(error.instance_path().as_str());
        let one = |place: Place, message: String| vec![Problem { place, message }];
        let explained =
            |message: String| vec![Problem { message: message + &self.meaning(&place), place: place.clone() }];
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let unknown = |field: &String| Problem {
                    place: place.child(field),
                    message: format!("unknown field; {}", self.known_fields(&place)),
                };
                unexpected.iter().map(unknown).collect()
            }
            ValidationErrorKind::Required { property } => {
                let place = place.child(property.as_str().unwrap_or_default());
                let meaning = self.meaning(&place);
                one(place, format!("Required value{meaning}"))
            }
            ValidationErrorKind::Type { kind } => explained(format!("must be of type {}", type_names(kind))),
            ValidationErrorKind::Pattern { pattern } => explained(format!("should match {pattern}")),
            ValidationErrorKind::Format { format } => explained(format!("must be a valid {format}")),
            ValidationErrorKind::Enum { options } => {
                one(place, format!("Unsupported value: supported values are {}", listed(options)))
            }
            ValidationErrorKind::MaxLength { limit } => {
                one(place, format!("Too long: may not be more than {limit} characters"))
            }
            ValidationErrorKind::MinLength { limit } => {
                one(place, format!("should be at least {limit} characters long"))
            }
            ValidationErrorKind::MaxItems { limit } => one(place, format!("Too many: must have at most {limit} items")),
            ValidationErrorKind::MaxProperties { limit } => {
                one(place, format!("Too many: must have at most {limit} entries"))
            }
            ValidationErrorKind::UniqueItems => duplicates(&place, error.instance()),
            other => one(place, format!("does not fit the schema ({})", other.keyword())),
        }
    }

    /// What the field is for, as its documentation says: the pattern alone tells a person little.
    fn meaning(&self, place: &Place) -> String {
        let described = |place: &Place| self.node(place)?.get("description")?.as_str().map(str::to_owned);
        let text = described(place).or_else(|| described(&place.parent()?));
        text.map(|text| format!(" ({})", text.trim_end_matches('.').replace('\n', " "))).unwrap_or_default()
    }

    fn known_fields(&self, place: &Place) -> String {
        let properties = self.node(place).and_then(|node| node.get("properties")).and_then(Value::as_object);
        let names: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        format!("known ones are {}", names.join(", "))
    }

    fn node(&self, place: &Place) -> Option<&Value> {
        place.parts().iter().try_fold(&self.schema, |node, part| {
            let property = node.get("properties").and_then(|properties| properties.get(part));
            property.or_else(|| node.get("items")).or_else(|| node.get("additionalProperties"))
        })
    }
}

/// The API server adds what every object has, and refuses an object of another kind before it looks any closer.
fn translate_root(schema: &Value) -> Value {
    let mut translated = translate(schema);
    if let Some(properties) = translated.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("apiVersion".into(), json!({ "type": "string" }));
        properties.insert("kind".into(), json!({ "type": "string" }));
        properties.insert("metadata".into(), json!({ "type": "object" }));
    }
    translated
}

/// Go knows no leap seconds; JSON Schema does.
fn is_date_time(text: &str) -> bool {
    text.get(17..19) != Some("60") && text.parse::<jiff::Timestamp>().is_ok()
}

/// What Kubernetes says in words of its own, said in JSON Schema.
fn translate(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut translated: Map<String, Value> = fields.clone();
    for nested in ["items", "additionalProperties"] {
        if let Some(schema) = translated.get_mut(nested) {
            *schema = translate(schema);
        }
    }
    if let Some(Value::Object(properties)) = translated.get_mut("properties") {
        properties.values_mut().for_each(|schema| *schema = translate(schema));
        let open = fields.contains_key("additionalProperties")
            || fields.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
        if !open {
            translated.insert("additionalProperties".into(), json!(false));
        }
    }
    if fields.get("x-kubernetes-list-type") == Some(&json!("set")) {
        translated.insert("uniqueItems".into(), json!(true));
    }
    if fields.get("nullable") == Some(&json!(true))
        && let Some(type_) = fields.get("type")
    {
        // An enum still has to list null, as in Kubernetes.
        translated.insert("type".into(), json!([type_, "null"]));
    }
    // A default is no constraint, and the rules are checked elsewhere.
    translated.remove("default");
    translated.remove("nullable");
    Value::Object(translated)
}

fn type_names(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(type_) => type_.to_string(),
        // The other one is null, which stands for leaving the field out.
        TypeKind::Multiple(types) => {
            let names: Vec<String> =
                types.iter().map(|type_| type_.to_string()).filter(|name| name != "null").collect();
            names.join(" or ")
        }
    }
}

fn listed(options: &Value) -> String {
    let options = options.as_array().into_iter().flatten().filter(|option| !option.is_null());
    options.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn duplicates(place: &Place, list: &Value) -> Vec<Problem> {
    let mut seen = HashSet::new();
    let repeats = list.as_array().into_iter().flatten().enumerate().filter(|(_, item)| !seen.insert(item.to_string()));
    let problem = |(index, _): (usize, &Value)| Problem {
        place: place.child(&index.to_string()),
        message: "Duplicate value: remove it".into(),
    };
    repeats.map(problem).collect()
}
