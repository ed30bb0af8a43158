//! `kubectl snaphook status`, pure: what is shown.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::checks::Check;
use crate::crd::Condition;

/// Everything that was looked at.
#[derive(Serialize)]
pub(super) struct Overview {
    pub(super) resources: Vec<ResourceReport>,
    /// Looked at where a resource has not been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) controller: Option<Check>,
}

/// A resource and what it depends on.
#[derive(Serialize)]
pub(super) struct ResourceReport {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) ready: bool,
    /// Whether the controller has looked at it as it is now.
    #[serde(skip)]
    pub(super) seen: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) checks: Vec<Check>,
    /// Newest first.
    pub(super) events: Vec<EventReport>,
}

/// What happened to it.
#[derive(Serialize)]
pub(super) struct EventReport {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) count: i32,
    pub(super) last: Option<Timestamp>,
}

/// More of them help nobody.
const MAX_EVENTS: usize = 8;

/// For people: a line for what is well, everything for what is not, or where it was asked for by name.
pub(super) fn text(overview: &Overview, in_full: bool, now: Timestamp) -> String {
    let Overview { resources, controller } = overview;
    let mut text = String::new();
    for resource in resources {
        add(&mut text, resource, in_full, now);
    }
    if let Some(check) = controller {
        add_check(&mut text, check);
    }
    if resources.is_empty() {
        text.push_str("There are no resources of Snaphook here.\n");
    }
    text
}

// A String takes everything that is written to it.
fn add(text: &mut String, resource: &ResourceReport, in_full: bool, now: Timestamp) {
    let ResourceReport { kind, namespace, name, ready, seen: _, state, conditions, checks, events } = resource;
    let state = state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
    let _ = writeln!(text, "{kind} {namespace}/{name}: {}{state}", if *ready { "ready" } else { "not ready" });
    if *ready && !in_full {
        return;
    }
    for Condition { type_, status, reason, message, .. } in conditions {
        let _ = writeln!(text, "  {type_} is {}, {reason}: {message}", status.as_str());
    }
    for check in checks {
        add_check(text, check);
    }
    for EventReport { type_, reason, message, count, last } in events.iter().take(MAX_EVENTS) {
        let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
        let ago = last.map(|last| format!(", {}s ago", now.duration_since(last).as_secs())).unwrap_or_default();
        let _ = writeln!(text, "  Event{ago}: {type_} {reason}{times}: {message}");
    }
}

fn add_check(text: &mut String, check: &Check) {
    let Check { subject, ok, message } = check;
    let mark = match ok {
        Some(true) => "ok  ",
        Some(false) => "FAIL",
        None => "?   ",
    };
    let _ = writeln!(text, "  {mark} {subject}: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(ready: bool, ok: Option<bool>) -> ResourceReport {
        let check = Check { subject: "Secret s".to_owned(), ok, message: "is as it is".to_owned() };
        let event = EventReport {
            type_: "Warning".to_owned(),
            reason: "ReferenceNotAvailable".to_owned(),
            message: "where is it".to_owned(),
            count: 3,
            last: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        };
        ResourceReport {
            kind: "AppCredential",
            namespace: "ns".to_owned(),
            name: "app".to_owned(),
            ready,
            seen: true,
            state: Some("Active".to_owned()),
            conditions: vec![],
            checks: vec![check],
            events: vec![event],
        }
    }

    fn shown(resources: Vec<ResourceReport>, in_full: bool) -> String {
        text(&Overview { resources, controller: None }, in_full, "2026-01-01T00:01:00Z".parse().unwrap())
    }

    #[test]
    fn what_is_well_takes_a_line_and_what_is_not_is_told_in_full() {
        let line = "AppCredential ns/app: ready, Active\n";
        assert_eq!(shown(vec![resource(true, Some(true))], false), line);
        let full =
            "  ?    Secret s: is as it is\n  Event, 60s ago: Warning ReferenceNotAvailable (3 times): where is it\n";
        assert_eq!(
            shown(vec![resource(false, None)], false),
            format!("AppCredential ns/app: not ready, Active\n{full}")
        );
        assert_eq!(shown(vec![resource(true, None)], true), format!("{line}{full}"));
        assert!(shown(vec![], false).starts_with("There are no resources"));
    }
}
