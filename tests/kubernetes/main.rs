//! What needs a real API server: one binary, so that all tests share control planes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

#[path = "../fixtures/cases.rs"]
mod cases;

mod budget;
mod canary;
mod crash;
mod examples;
mod happy_path;
mod harness;
mod leader;
mod names;
mod own_secret;
mod policy;
mod probes;
mod revocation;
mod rights;
mod rotation;
mod routes;
mod rules;
mod secret_faults;
mod store;
mod template;
mod upheaval;
mod webhook;
mod webhook_credential;
mod whole_path;
