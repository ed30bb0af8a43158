//! Posts come in and go out: the real binary over real HTTP, with records in a directory and receivers on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test does not expect fails it")]
#![allow(clippy::similar_names, reason = "what a receiver has received is called so")]

mod answers;
mod canary;
mod credentials;
mod dead_receivers;
mod deliveries;
mod hooks;
mod kills;
mod limits;
mod order;
mod senders;
mod trace;

#[path = "../server/realm.rs"]
#[allow(dead_code, reason = "shared with the tests of the token server")]
mod realm;
#[path = "../delivery/receiver.rs"]
#[allow(dead_code, reason = "shared with the tests of outgoing calls")]
mod receiver;
#[path = "../server/request.rs"]
#[allow(dead_code, reason = "shared with the tests of the token server")]
mod request;
