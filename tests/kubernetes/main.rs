//! What needs a real API server: one binary, so that all tests share control planes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

#[path = "../gitops/argo.rs"]
mod argo;
#[path = "../fixtures/cases.rs"]
mod cases;
#[path = "../observability/metrics.rs"]
#[allow(dead_code, reason = "shared with the tests of rules and dashboard")]
mod metrics;
#[path = "../delivery/receiver.rs"]
#[allow(dead_code, reason = "shared with the tests of outgoing calls")]
mod receiver;

mod budget;
mod canary;
mod crash;
mod examples;
mod gitops;
mod happy_path;
mod harness;
mod leader;
mod names;
mod observability;
mod orphans;
mod own_secret;
mod policy;
mod probes;
mod revocation;
mod rights;
mod rotation;
mod routes;
mod rules;
mod secret_faults;
mod sidecar;
mod store;
mod template;
mod uninstall;
mod upheaval;
mod webhook;
mod webhook_credential;
mod whole_path;
