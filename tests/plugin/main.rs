//! `kubectl snaphook`, run by a real kubectl as its plugin, against a real API server, controller and token server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test does not expect fails it")]

mod chain;
mod change;
mod exec;
mod render;
mod site;
mod token;
mod uninstall;
