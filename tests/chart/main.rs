//! The Helm chart, with real Helm, against a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

mod admission;
mod life;
mod release;
mod render;
mod rights;
mod work;

#[path = "../kubernetes/harness/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the controller")]
mod server;
#[path = "../kubernetes/harness/wait.rs"]
#[allow(dead_code, reason = "shared with the tests of the controller")]
mod wait;

// As `server` knows them.
use wait::{SOON, eventually};
