//! What operators are given to watch Snaphook with: rules, dashboard, runbooks and the page of metrics fit each other.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

#[allow(dead_code, reason = "shared with the test of what is exported")]
mod metrics;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use metrics::{documented, used};
use serde_json::{Value, json};

const RULES: &str = include_str!("../../observability/rules.yaml");
const TESTS: &str = include_str!("../../observability/rules.test.yaml");
const DASHBOARD: &str = include_str!("../../observability/dashboard.json");
const RUNBOOKS: &str = include_str!("../../docs/runbooks.md");

fn promtool(arguments: &[&str]) -> Output {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("observability");
    let output = Command::new("promtool").current_dir(directory).args(arguments).output();
    output.unwrap_or_else(|error| {
        panic!("promtool: {error}; it comes with Prometheus (Debian: apt-get install prometheus)")
    })
}

fn passes(arguments: &[&str]) {
    let output = promtool(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}\n{}{}", text(&output.stdout), text(&output.stderr));
}

fn rules() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(RULES).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Expressions of the dashboard, with what Grafana puts in place of its variables.
fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let filled = |target: Value| {
        let text = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m").replace("$namespace", ".*");
        assert!(!text.contains('$'), "a variable that is not known here: {text}");
        text
    };
    targets.map(filled).collect()
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    passes(&["check", "rules", "rules.yaml"]);
    passes(&["test", "rules", "rules.test.yaml"]);
    let tests: Value = serde_yaml::from_str(TESTS).unwrap();
    let cases = tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap());
    let judged: BTreeSet<_> = cases
        .map(|case| (case["alertname"].as_str().unwrap(), !case["exp_alerts"].as_array().unwrap().is_empty()))
        .collect();
    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap();
        for fires in [true, false] {
            assert!(judged.contains(&(alert, fires)), "no test has {alert} firing: {fires}");
        }
    }
}

#[test]
fn a_wrong_rule_and_a_wrong_test_are_noticed() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("observability");
    fs::create_dir_all(&directory).unwrap();
    let wrong = directory.join("rules.yaml");
    fs::write(&wrong, RULES.replacen("< 1\n", "< \n", 1)).unwrap();
    assert!(!promtool(&["check", "rules", wrong.to_str().unwrap()]).status.success());
    fs::write(&wrong, RULES.replacen("< 1\n", "< 2\n", 1)).unwrap();
    let tests = directory.join("rules.test.yaml");
    fs::write(&tests, TESTS).unwrap();
    assert!(!promtool(&["test", "rules", tests.to_str().unwrap()]).status.success(), "one of two leads");
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let alerts: BTreeSet<_> = rules().iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    let runbooks: BTreeSet<_> =
        RUNBOOKS.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(alerts, runbooks);
    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap();
        let url = format!("docs/runbooks.md#{}", alert.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], url, "{alert}");
        assert!(["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{alert}");
    }
}

#[test]
fn rules_and_dashboard_use_metrics_that_the_documentation_knows() {
    let known: BTreeSet<_> = documented().into_iter().map(|metric| metric.name).collect();
    let rules = rules();
    let expressions = rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).chain(dashboard());
    let used: BTreeSet<_> = expressions.flat_map(|expression| used(&expression)).collect();
    assert!(used.is_subset(&known), "{:?}", used.difference(&known));
    assert!(used.len() > 15, "{used:?}");
}

#[test]
fn every_expression_of_the_dashboard_is_promql() {
    let expressions = dashboard();
    assert!(expressions.len() > 20);
    let record = |(index, expression): (usize, &String)| json!({ "record": format!("a:{index}"), "expr": expression });
    let rules: Vec<_> = expressions.iter().enumerate().map(record).collect();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-rules.yaml");
    fs::write(&file, json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string()).unwrap();
    passes(&["check", "rules", file.to_str().unwrap()]);
}
