//! Flow 1, pure: refuses what the API server would refuse, without one: for `snaphook dev` and for tests.
//!
//! In the API server's order: metadata, then the schema, and only for an object that fits the schema the CEL rules. One set of
//! fixtures, `tests/fixtures`, holds this and a real API server to the same verdicts.

mod metadata;
mod place;
mod rules;
mod schema;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

pub use self::place::Place;
use self::{rules::Rules, schema::Schema};

/// One reason to refuse an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong and how to mend it. Never quotes a value: somebody may have put a secret where only its hash belongs.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.place.to_string();
        if place.is_empty() || self.message.starts_with(&place) {
            return formatter.write_str(&self.message);
        }
        write!(formatter, "{place}: {}", self.message)
    }
}

/// Checks resources of one kind.
pub struct Checker {
    schema: Schema,
    rules: Rules,
}

/// The CRD has no schema that a validator could be made from: a mistake in this program.
#[derive(Debug, thiserror::Error)]
#[error("the schema of {kind} cannot be used: {problem}")]
pub struct CheckerError {
    kind: String,
    problem: String,
}

impl Checker {
    /// For the kind that a CRD of ours defines.
    ///
    /// # Errors
    /// [`CheckerError`]; a test makes one for each kind.
    pub fn new(crd: &CustomResourceDefinition) -> Result<Self, CheckerError> {
        let kind = crd.spec.names.kind.clone();
        let error = |problem: String| CheckerError { kind: kind.clone(), problem };
        let version = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
        let schema = serde_json::to_value(version.and_then(|schema| schema.open_api_v3_schema.as_ref()))
            .map_err(|source| error(source.to_string()))?;
        let rules = Rules::compile(&schema).map_err(error)?;
        Ok(Self { schema: Schema::new(&schema).map_err(error)?, rules })
    }

    /// Everything for which the API server would refuse to create `object`, or to change `old` into it.
    #[must_use]
    pub fn check(&self, object: &Value, old: Option<&Value>) -> Vec<Problem> {
        let mut object = object.clone();
        if let Value::Object(fields) = &mut object {
            // The status is a subresource: what an object says of it is dropped.
            fields.remove("status");
        }
        let mut problems = metadata::check(&object);
        problems.extend(self.schema.check(&object));
        if problems.is_empty() {
            problems.extend(self.rules.check(&object, old));
        }
        problems
    }
}
