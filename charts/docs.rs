//! Writes what is generated from `charts/snaphook/values.yaml` and its comments: `values.schema.json`, and the table in `README.md`.
//!
//! ```text
//! cargo run --example chart-docs
//! ```
//!
//! A test fails where a file is not what this writes.
//!
//! The comment right above a value is its documentation. Its type is that of the default; a line `# @schema {…}` in the comment
//! says what else JSON Schema can say. A map with keys takes these keys only, unless its `@schema` says otherwise. What `config` takes
//! is what the controller reads.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use snaphook::config::Config;

/// The value that is the controller's configuration.
const CONFIG: &str = "config";
/// In it, where the chart fills in what is missing.
const REALM: &str = "/properties/realm";
/// What stays of a schema.
const SHAPE: [&str; 9] =
    ["properties", "additionalProperties", "required", "items", "oneOf", "anyOf", "enum", "const", "description"];
const BEGIN: &str = "<!-- values: generated from values.yaml -->\n";
const END: &str = "<!-- end of values -->\n";
/// Longer defaults make a table that nobody can read.
const LONGEST_DEFAULT: usize = 60;

fn main() -> Result<()> {
    for (file, text) in generated()? {
        fs::write(file, text)?;
    }
    Ok(())
}

/// The files and what belongs into them.
fn generated() -> Result<[(PathBuf, String); 2]> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/snaphook");
    let read = |name: &str| fs::read_to_string(chart.join(name)).with_context(|| name.to_owned());
    let values = Values::parse(&read("values.yaml")?)?;
    Ok([
        (chart.join("values.schema.json"), format!("{:#}\n", values.schema())),
        (chart.join("README.md"), with_table(&read("README.md")?, &values.table())?),
    ])
}

/// The values, in the order of the file.
struct Values {
    defaults: Value,
    comments: Vec<(String, Comment)>,
}

/// What is said above a value.
#[derive(Default)]
struct Comment {
    text: String,
    schema: Map<String, Value>,
}

impl Values {
    fn parse(yaml: &str) -> Result<Self> {
        let defaults: Value = serde_yaml::from_str(yaml)?;
        let mut values = Self { defaults, comments: Vec::new() };
        let (mut above, mut path) = (Comment::default(), Vec::<(usize, String)>::new());
        for (number, line) in yaml.lines().enumerate() {
            let (indent, text) = (line.len() - line.trim_start().len(), line.trim());
            if let Some(comment) = text.strip_prefix('#') {
                above.add(comment.trim()).with_context(|| format!("line {}", number + 1))?;
                continue;
            }
            let comment = std::mem::take(&mut above);
            path.retain(|(outer, _)| *outer < indent);
            let inside = path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
            let Some((key, _)) = text.split_once(':').filter(|_| inside.is_empty() || values.is_section(&inside))
            else {
                continue;
            };
            path.push((indent, key.to_owned()));
            let name = if inside.is_empty() { key.to_owned() } else { format!("{inside}.{key}") };
            values.comments.push((name.clone(), comment));
            let documented = values.comment(&name).is_some_and(|comment| !comment.text.is_empty());
            ensure!(documented || values.is_section(&name), "line {}: {name} has no comment", number + 1);
        }
        Ok(values)
    }

    fn comment(&self, name: &str) -> Option<&Comment> {
        self.comments.iter().find(|(known, _)| known == name).map(|(_, comment)| comment)
    }

    fn default(&self, name: &str) -> &Value {
        name.split('.').fold(&self.defaults, |value, key| &value[key])
    }

    /// Whether its keys are values of their own.
    fn is_section(&self, name: &str) -> bool {
        let open = self.comment(name).is_some_and(|comment| !comment.schema.is_empty());
        !open && self.default(name).as_object().is_some_and(|object| !object.is_empty())
    }

    fn schema(&self) -> Value {
        let mut schema = self.section("");
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        schema["title"] = json!("Values of the Snaphook chart");
        // What a chart that depends on this one may say.
        schema["properties"]["global"] = json!({ "type": "object" });
        schema["properties"]["enabled"] = json!({ "type": "boolean" });
        if let Some(described) = schema["properties"].get_mut(CONFIG) {
            merge(described, config_schema());
        }
        schema
    }

    fn section(&self, name: &str) -> Value {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        let inside = self.comments.iter().filter_map(|(known, comment)| {
            let key = known.strip_prefix(&prefix).filter(|key| !key.contains('.'))?;
            let schema = if self.is_section(known) { self.section(known) } else { leaf(self.default(known), comment) };
            Some((key.to_owned(), schema))
        });
        let properties: BTreeMap<_, _> = inside.collect();
        json!({ "type": "object", "additionalProperties": false, "properties": properties })
    }

    fn table(&self) -> String {
        let rows = self.comments.iter().filter(|(name, _)| !self.is_section(name)).map(|(name, comment)| {
            let default = self.default(name).to_string();
            let default = if default.len() > LONGEST_DEFAULT {
                "see [values.yaml](values.yaml)".to_owned()
            } else {
                format!("`{default}`")
            };
            format!("| `{name}` | {} | {default} |\n", comment.text.replace('|', "\\|"))
        });
        format!("| value | meaning | default |\n|---|---|---|\n{}", rows.collect::<String>())
    }
}

impl Comment {
    fn add(&mut self, line: &str) -> Result<()> {
        if let Some(schema) = line.strip_prefix("@schema") {
            self.schema = serde_yaml::from_str(schema.trim()).context("@schema")?;
            return Ok(());
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(line);
        Ok(())
    }
}

fn leaf(default: &Value, comment: &Comment) -> Value {
    let type_ = match default {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let mut schema = json!({ "type": type_, "description": comment.text, "default": default });
    merge(&mut schema, Value::Object(comment.schema.clone()));
    schema
}

/// Which fields the controller's configuration has, without what the chart fills in.
fn config_schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<Config>());
    keep_shape(&mut schema);
    for (place, key) in [("", "description"), ("", "required"), (REALM, "required")] {
        schema.pointer_mut(place).and_then(Value::as_object_mut).and_then(|schema| schema.remove(key));
    }
    schema
}

/// Leaves fields and fixed words. The controller takes more texts than a schema for all can say (`true` as a text, `2592000s`), and
/// says better what is wrong with one.
fn keep_shape(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    let is_inner = ["properties", "additionalProperties", "items"].iter().any(|key| schema.contains_key(*key));
    schema.retain(|key, _| SHAPE.contains(&key.as_str()) || key == "type" && is_inner);
    if schema.contains_key("properties") {
        schema.entry("additionalProperties").or_insert(json!(false));
    }
    for (key, inner) in schema {
        match (key.as_str(), inner) {
            ("properties", Value::Object(fields)) => fields.values_mut().for_each(keep_shape),
            ("oneOf" | "anyOf", Value::Array(choices)) => choices.iter_mut().for_each(keep_shape),
            ("items" | "additionalProperties", inner) => keep_shape(inner),
            _ => {}
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn with_table(readme: &str, table: &str) -> Result<String> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else { bail!("README.md has no place for the table: {BEGIN}{END}") };
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# About the file.

# How many.
# @schema {minimum: 0}
replicas: 1
image:
  # Where it is: a | b.
  repository: snaphook
# Anything, as
# Kubernetes has it.
# @schema {additionalProperties: true}
resources:
  limits: {memory: 1Gi}
# Names.
names: []
";

    #[test]
    fn the_files_are_what_this_writes() {
        for (file, text) in generated().unwrap() {
            let name = file.file_name().unwrap().display();
            assert!(
                fs::read_to_string(&file).unwrap() == text,
                "{name} is out of date: cargo run --example chart-docs"
            );
        }
    }

    #[test]
    fn a_comment_becomes_a_schema_and_a_row() {
        let values = Values::parse(VALUES).unwrap();
        let schema = values.schema();
        let replicas = json!({ "type": "integer", "description": "How many.", "default": 1, "minimum": 0 });
        assert_eq!(schema["properties"]["replicas"], replicas);
        assert_eq!(schema["properties"]["image"]["additionalProperties"], false);
        assert_eq!(schema["properties"]["image"]["properties"]["repository"]["type"], "string");
        assert_eq!(schema["properties"]["resources"]["additionalProperties"], true);
        assert_eq!(schema["properties"]["global"]["type"], "object");
        let names: Vec<_> = values.comments.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["replicas", "image", "image.repository", "resources", "names"]);
        let table = values.table();
        assert!(table.contains("| `image.repository` | Where it is: a \\| b. | `\"snaphook\"` |\n"), "{table}");
        assert!(table.contains("Anything, as Kubernetes has it."), "{table}");
    }

    #[test]
    fn a_value_without_a_comment_is_refused() {
        let error = Values::parse("a:\n  b: 1\n").err().unwrap();
        assert!(error.to_string().contains("line 2: a.b has no comment"), "{error}");
    }

    #[test]
    fn the_table_replaces_the_former_one() {
        let readme = format!("before\n{BEGIN}\nold\n\n{END}after\n");
        let fresh = with_table(&readme, "new\n").unwrap();
        assert_eq!(fresh, format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert_eq!(with_table(&fresh, "new\n").unwrap(), fresh);
        assert!(with_table("no place", "new").is_err());
    }
}
