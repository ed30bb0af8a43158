//! `gitops/flux`: health of every kind in every state, by its expressions in the order in which Flux evaluates them.

use cel::{Context, Program, Value as CelValue};
use serde_json::Value;

use crate::states::{Health, all};

const KUSTOMIZATION: &str = include_str!("../../gitops/flux/kustomization.yaml");

fn holds(expression: &Value, object: &Value) -> bool {
    let expression = expression.as_str().unwrap();
    let mut context = Context::default();
    for (field, value) in object.as_object().unwrap() {
        context.add_variable(field.as_str(), value).unwrap();
    }
    match Program::compile(expression).unwrap().execute(&context) {
        Ok(CelValue::Bool(holds)) => holds,
        other => panic!("{expression}: {other:?} for {object}"),
    }
}

/// As Flux does: the first that holds, and what is none of them is in progress.
fn health(checks: &[Value], object: &Value) -> Health {
    let same = |check: &&Value| check["kind"] == object["kind"] && check["apiVersion"] == object["apiVersion"];
    let check = checks.iter().find(same).unwrap();
    let order = [("inProgress", Health::Waiting), ("failed", Health::Bad), ("current", Health::Good)];
    let first = order.into_iter().find(|(name, _)| holds(&check[name], object));
    first.map_or(Health::Waiting, |(_, health)| health)
}

#[test]
fn every_state_has_its_health() {
    let kustomization: Value = serde_yaml::from_str(KUSTOMIZATION).unwrap();
    let checks = kustomization["spec"]["healthCheckExprs"].as_array().unwrap();
    for state in all() {
        assert_eq!(health(checks, &state.object), state.health, "{}: {}", state.name, state.object);
    }
}
