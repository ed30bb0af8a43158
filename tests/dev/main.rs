//! `snaphook dev`, without a cluster: the real binary over real files and real HTTP, and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

#[path = "../fixtures/cases.rs"]
mod cases;
#[path = "../delivery/receiver.rs"]
#[allow(dead_code, reason = "shared with the tests of outgoing calls")]
mod receiver;

mod alertmanager;
mod edits;
mod hostile;
mod kinds;
mod laptop;
mod quickstart;
mod receiving;
mod rules;
mod secrets;
mod state;
mod terminal;
mod webhook;
