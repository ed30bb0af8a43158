//! The pure middle stays pure: no client, no socket, no file, no clock, no random source; and dependencies point one way.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not count their functions as such")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Modules in the middle of a flow.
const PURE: [&str; 31] = [
    "src/record",
    "src/inbound",
    "src/token",
    "src/crd",
    "src/delivery/attempt/mask",
    "src/delivery/attempt/prepare",
    "src/delivery/attempt/settle",
    "src/delivery/egress/address",
    "src/delivery/egress/guard",
    "src/delivery/inject",
    "src/delivery/passed_on",
    "src/delivery/retry",
    "src/delivery/sign",
    "src/delivery/target",
    "src/delivery/verdict",
    "src/controller/policy.rs",
    "src/controller/secrets.rs",
    "src/controller/checks.rs",
    "src/controller/consumer.rs",
    "src/controller/refusal.rs",
    "src/controller/report.rs",
    "src/controller/route",
    "src/controller/app_credential/build.rs",
    "src/controller/app_credential/validate.rs",
    "src/controller/app_credential/status.rs",
    "src/controller/versions.rs",
    "src/controller/webhook",
    "src/controller/webhook_credential",
    "src/delivery/message",
    "src/delivery/queue/encoding",
    "src/delivery/queue/ledger.rs",
];
const IMPURE: [&str; 10] = [
    "Timestamp::now",
    "Instant::now",
    "SystemTime",
    // Nonces of signatures are the business of the crypto library, `aws_lc_rs::rand`.
    "use rand",
    "crate::random",
    "tokio::",
    "std::fs",
    "std::net",
    "kube::Client",
    "kube::Api",
];
/// Who must not know of whom.
const ONE_WAY: [(&str, &[&str]); 7] = [
    (
        "src/inbound",
        &["crate::store", "crate::delivery", "crate::http", "crate::controller", "crate::dev", "crate::app"],
    ),
    (
        "src/record",
        &[
            "crate::token",
            "crate::inbound",
            "crate::store",
            "crate::http",
            "crate::controller",
            "crate::dev",
            "crate::app",
        ],
    ),
    ("src/token", &["crate::store", "crate::http", "crate::controller", "crate::dev", "crate::app"]),
    ("src/store", &["crate::http", "crate::controller", "crate::crd", "crate::dev", "crate::app"]),
    ("src/delivery", &["crate::http", "crate::controller", "crate::crd", "crate::dev", "crate::app"]),
    ("src/http", &["crate::controller", "crate::crd", "crate::dev", "crate::app"]),
    ("src/controller", &["crate::http", "crate::store", "crate::dev", "crate::app"]),
];

fn sources(path: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut waiting = vec![root.join(path), root.join(format!("{path}.rs"))];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && path.is_file() {
            found.push(path);
        }
    }
    found
}

/// The program's part of a file: tests may look at clocks.
fn offences(path: &str, words: &[&str]) -> Vec<String> {
    let offences_of = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = program.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found = lines.filter(|line| words.iter().any(|word| line.contains(word)));
        found.map(|line| format!("{}: {}", path.display(), line.trim())).collect::<Vec<_>>()
    };
    sources(path).into_iter().flat_map(offences_of).collect()
}

#[test]
fn the_middle_is_pure() {
    let found: Vec<String> = PURE.iter().flat_map(|path| offences(path, &IMPURE)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn dependencies_point_one_way() {
    let found: Vec<String> = ONE_WAY.iter().flat_map(|(path, words)| offences(path, words)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_search_finds_what_is_there() {
    assert!(!offences("src/controller/run", &["Timestamp::now"]).is_empty());
    assert!(sources("src/token").len() > 3);
}
