//! What an operator sees of messages and does to them: the real binary on both ends of its socket, with records in a directory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

mod look;
mod receiver;
mod redo;
mod site;
mod socket;
