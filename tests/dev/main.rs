//! `snaphook dev`, without a cluster: the real binary over real files and real HTTP, and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

#[path = "../fixtures/cases.rs"]
mod cases;

mod edits;
mod kinds;
mod laptop;
mod quickstart;
mod rules;
mod secrets;
mod state;
mod webhook;
