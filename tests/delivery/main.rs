//! Outgoing calls over real sockets: to receivers that are slow, huge, wrong or hostile, by names that change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test does not expect fails it")]

mod call;
mod canary;
mod guard;
mod limits;
mod name_server;
mod receiver;
mod reuse;
mod tls;
mod wire;
