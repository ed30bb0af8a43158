//! The server as its users see it: the real binary over real HTTP, with records in a directory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test does not expect fails it")]

mod discovery;
mod forward_auth;
mod hostile;
mod introspection;
mod lifecycle;
mod proxy;
mod realm;
mod request;
mod secrets;
mod token_table;
