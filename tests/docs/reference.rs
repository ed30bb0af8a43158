//! `docs/reference/*.md` is generated from the CRDs: `UPDATE_DOCS=1 cargo test --test docs` writes it.

use std::{env, fmt::Write as _, fs};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition,
};
use serde_json::{Map, Value};
use snaphook::crd;

use crate::docs;

#[test]
fn the_reference_is_what_the_crds_say() {
    for crd in crd::all() {
        let file = docs().join("reference").join(format!("{}.md", crd.spec.names.singular.as_deref().unwrap()));
        let page = page(&crd);
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, page).unwrap();
            continue;
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            page == written,
            "{} is not what the CRD says: UPDATE_DOCS=1 cargo test --test docs",
            file.file_name().unwrap().display()
        );
    }
}

#[test]
fn the_crds_are_what_the_program_prints() {
    let root = docs().join("..");
    for file in ["crds/snaphook.dev.yaml", "charts/snaphook/files/crds.yaml"] {
        assert!(
            fs::read_to_string(root.join(file)).unwrap() == crd::to_yaml().unwrap(),
            "{file}: cargo run -- crd | tee crds/snaphook.dev.yaml > charts/snaphook/files/crds.yaml"
        );
    }
}

fn page(crd: &CustomResourceDefinition) -> String {
    let (names, version) = (&crd.spec.names, &crd.spec.versions[0]);
    let schema = serde_json::to_value(&version.schema.as_ref().unwrap().open_api_v3_schema).unwrap();
    let short = names.short_names.as_ref().map_or_else(String::new, |names| names.join("`, `"));
    let mut page = format!("# {}\n\n{}\n\n", names.kind, schema["description"].as_str().unwrap());
    writeln!(
        page,
        "`apiVersion: {}/{}`; `kubectl get {}`, short `{short}`, and with all kinds `kubectl get snaphook`.\n",
        crd.spec.group, version.name, names.plural
    )
    .unwrap();
    let columns = version.additional_printer_columns.iter().flatten();
    let (wide, always): (Vec<_>, Vec<_>) =
        columns.partition(|column| column.priority.is_some_and(|priority| priority > 0));
    let listed = |columns: &[&CustomResourceColumnDefinition]| {
        columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    writeln!(page, "Columns: {}. With `-o wide`: {}.\n", listed(&always), listed(&wide)).unwrap();
    page.push_str("<!-- Generated from the CRD: UPDATE_DOCS=1 cargo test --test docs -->\n\n");
    for part in ["spec", "status"] {
        writeln!(page, "## `{part}`\n\n| field | type | meaning |\n|---|---|---|").unwrap();
        rows(&mut page, &schema["properties"][part], "");
        page.push('\n');
    }
    let mut messages = Vec::new();
    rules(&schema, &mut messages);
    page.push_str("## What is refused when it is written\n\nBesides types, lengths and patterns:\n\n");
    for message in messages {
        writeln!(page, "- {}", text(&message)).unwrap();
    }
    page
}

/// One row a field, parents before children.
fn rows(page: &mut String, object: &Value, above: &str) {
    let required: Vec<_> = object["required"].as_array().into_iter().flatten().collect();
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let place = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let must = if required.iter().any(|required| *required == name) { ", required" } else { "" };
        let meaning = field["description"].as_str().unwrap_or_default();
        writeln!(page, "| `{place}` | {}{must} | {} |", kind(field), text(meaning)).unwrap();
        rows(page, field, &place);
        rows(page, &field["items"], &format!("{place}[]"));
    }
}

fn kind(field: &Value) -> String {
    let of = |value: &Value| value["type"].as_str().unwrap_or_default().to_owned();
    let mut kind = match (field["format"].as_str(), &field["enum"]) {
        (Some("date-time"), _) => "time (RFC 3339)".to_owned(),
        (_, Value::Array(values)) => {
            let values = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`"));
            values.collect::<Vec<_>>().join(", ")
        }
        _ if field["additionalProperties"].is_object() => format!("map of {}", of(&field["additionalProperties"])),
        _ if field["items"].is_object() => format!("list of {}", of(&field["items"])),
        _ => of(field),
    };
    for (key, unit) in [("maxItems", "items"), ("maxProperties", "entries"), ("maxLength", "characters")] {
        if let Some(most) = field[key].as_i64() {
            write!(kind, ", at most {most} {unit}").unwrap();
        }
    }
    match (field["minimum"].as_f64(), field["maximum"].as_f64()) {
        (Some(least), Some(most)) => write!(kind, ", {least} to {most}").unwrap(),
        (Some(least), None) => write!(kind, ", at least {least}").unwrap(),
        _ => {}
    }
    kind
}

/// The messages of all CEL rules, outer ones first.
fn rules(schema: &Value, into: &mut Vec<String>) {
    let Some(schema): Option<&Map<_, _>> = schema.as_object() else { return };
    let own = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    into.extend(own.filter_map(|rule| rule["message"].as_str()).map(str::to_owned));
    for child in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values) {
        rules(child, into);
    }
    for key in ["items", "additionalProperties"] {
        rules(schema.get(key).unwrap_or(&Value::Null), into);
    }
}

/// Fit for a table, and free of what Markdown would take for HTML.
fn text(text: &str) -> String {
    let mut in_code = false;
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '`' => in_code = !in_code,
            '|' => safe.push('\\'),
            '<' if !in_code => safe.push('\\'),
            '\n' => {
                safe.push(' ');
                continue;
            }
            _ => {}
        }
        safe.push(character);
    }
    safe
}
