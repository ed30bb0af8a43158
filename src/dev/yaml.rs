//! Flow 1 without a cluster: a YAML file as its documents, each of which knows the line of every field.

use std::{collections::HashMap, fmt};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml::{Location, Spanned};

use crate::crd::check::Place;

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its content.
    pub value: Value,
    lines: HashMap<Place, u64>,
}

impl Document {
    /// The line of a field, or of the nearest one around it.
    #[must_use]
    pub fn line(&self, place: &Place) -> Option<u64> {
        self.lines.get(place).copied().or_else(|| self.line(&place.parent()?))
    }
}

/// A file that is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1, where it is known.
    pub line: Option<u64>,
    /// What the parser says, without a piece of the file: that could be a secret.
    pub message: String,
}

/// Reads every document; empty ones are left out.
///
/// # Errors
/// The first mistake: nothing of such a file is used.
pub fn parse(text: &str) -> Result<Vec<Document>, SyntaxError> {
    let options = serde_yaml::options! { with_snippet: false };
    let trees: Vec<Spanned<Tree>> =
        serde_yaml::from_multiple_with_options(text, options).map_err(|error| SyntaxError {
            line: error.location().map(|location| location.line()).filter(|line| *line > 0),
            message: error.render_with_formatter(&serde_yaml::UserMessageFormatter),
        })?;
    Ok(trees.into_iter().map(document).collect())
}

fn document(tree: Spanned<Tree>) -> Document {
    let mut lines = HashMap::new();
    note(&mut lines, Place::default(), tree.referenced);
    let value = tree.value.into_value(&Place::default(), &mut lines);
    Document { value, lines }
}

fn note(lines: &mut HashMap<Place, u64>, place: Place, location: Location) {
    if location.line() > 0 {
        lines.insert(place, location.line());
    }
}

/// YAML as it was written, with the place of every key and item.
enum Tree {
    Scalar(Value),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Tree)>),
}

impl Tree {
    fn into_value(self, place: &Place, lines: &mut HashMap<Place, u64>) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::List(items) => {
                let item = |(index, item): (usize, Spanned<Self>)| {
                    let place = place.child(&index.to_string());
                    note(lines, place.clone(), item.referenced);
                    item.value.into_value(&place, lines)
                };
                Value::Array(items.into_iter().enumerate().map(item).collect())
            }
            Self::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, Self)| {
                    let place = place.child(&key.value);
                    note(lines, place.clone(), key.referenced);
                    let value = value.into_value(&place, lines);
                    (key.value, value)
                };
                Value::Object(entries.into_iter().map(entry).collect::<Map<_, _>>())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("YAML that JSON can hold")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number that JSON cannot hold"))?;
        Ok(Tree::Scalar(number.into()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_knows_its_line() {
        let text = "# a comment\nkind: A\nspec:\n  scopes:\n    - one\n    - two\n  rotation: {interval: 1h}\n---\n---\nkind: B\n";
        let documents = parse(text).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(
            documents[0].value,
            json!({ "kind": "A", "spec": { "scopes": ["one", "two"], "rotation": { "interval": "1h" } } })
        );
        let line = |index: usize, pointer| documents[index].line(&Place::from_pointer(pointer));
        assert_eq!(line(0, "/spec"), Some(3));
        assert_eq!(line(0, "/spec/scopes"), Some(4));
        assert_eq!(line(0, "/spec/scopes/1"), Some(6));
        assert_eq!(line(0, "/spec/rotation/interval"), Some(7));
        assert_eq!(line(0, "/spec/missing"), Some(3));
        assert_eq!(line(1, "/kind"), Some(10));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_the_text() {
        let values = [
            "canary: [",
            "\"canary",
            "\"\\canary\"",
            "*canary",
            "!canary {",
            "%canary",
            "@canary",
            "&canary &canary x",
            "!!int canary",
            "!!binary canary",
            "1\ncanary\nc: 2",
            "1\nb: canary",
        ];
        for value in values {
            let error = parse(&format!("a: 1\nb: {value}\n")).unwrap_err();
            assert!(error.line.is_some_and(|line| line >= 2), "{error:?}");
            assert!(!error.message.contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn scalars_have_the_types_that_kubectl_sees() {
        let text = "a: yes\nb: 1\nc: \"1\"\nd: ~\ne: 2026-01-01\nf: 1.5\ng: ''\n";
        let value = parse(text).unwrap().remove(0).value;
        assert_eq!(value, json!({ "a": true, "b": 1, "c": "1", "d": null, "e": "2026-01-01", "f": 1.5, "g": "" }));
    }
}
