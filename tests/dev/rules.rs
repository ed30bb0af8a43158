//! Without an API server the same is refused as with one; see `tests/kubernetes/app_credential_rules.rs`.

use serde_json::Value;
use snaphook::crd::check::Checker;

use crate::cases::{self, KINDS};

#[test]
fn the_verdicts_are_those_of_the_api_server() {
    let mut complaints = Vec::new();
    for kind in &KINDS {
        let checker = Checker::new(&(kind.crd)()).unwrap();
        for case in cases::all(kind) {
            let old = case.old("case", "demo");
            let problems = checker.check(&case.object("case", "demo"), old.as_ref());
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(!text.concat().contains("canary"), "{} quotes a value: {text:?}", case.title());
            let verdict = if problems.is_empty() { Ok(()) } else { Err(text.join("; ")) };
            complaints.extend(case.judge(verdict).err());
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_rule_and_every_field_has_a_case_that_is_refused() {
    for kind in &KINDS {
        let crd = (kind.crd)();
        let checker = Checker::new(&crd).unwrap();
        let schema = serde_json::to_value(&crd).unwrap();
        let schema = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let refusals: Vec<String> = cases::all(kind)
            .iter()
            .flat_map(|case| checker.check(&case.object("case", "demo"), case.old("case", "demo").as_ref()))
            .map(|problem| problem.to_string())
            .collect();
        let refusals = refusals.join("\n");
        let mut wanted = Vec::new();
        collect("", schema, &mut wanted);
        assert!(wanted.len() > 20, "{wanted:?}");
        let missing: Vec<_> = wanted.iter().filter(|text| !refusals.contains(text.as_str())).collect();
        assert!(missing.is_empty(), "{}: no case is refused with: {missing:#?}", crd.spec.names.kind);
    }
}

/// The messages of all rules, and the names of all fields that hold a value.
fn collect(place: &str, schema: &Value, wanted: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        wanted.push(rule["message"].as_str().unwrap().to_owned());
    }
    let properties = schema["properties"].as_object();
    if properties.is_none() {
        wanted.push(place.to_owned());
    }
    for (name, schema) in properties.into_iter().flatten().filter(|(name, _)| *name != "status") {
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        collect(&place, schema, wanted);
    }
}
