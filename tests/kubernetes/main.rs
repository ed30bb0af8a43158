<<<<<<< HEAD
//! The controller, and the whole path from `kubectl apply` to a checked token, against a real API server.

mod budget;
mod crash;
mod happy_path;
mod harness;
mod leader;
mod names;
mod own_secret;
mod policy;
mod revocation;
mod rights;
mod rotation;
mod secret_faults;
mod template;
mod upheaval;
=======
//! What needs a real API server: one binary, so that all tests share one control plane.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

#[path = "../fixtures/cases.rs"]
mod cases;

mod app_credential_rules;
mod crash;
mod examples;
mod harness;
mod lifecycle;
mod policy;
mod secrets;
mod store;
mod whole_path;
>>>>>>> main
