//! Snaphook: credentials and webhooks for Kubernetes, declared as resources.
//!
//! Three flows, each with IO at both ends and pure code in the middle:
//!
//! ```text
//! CR ──watch──▶ fetch ▶ validate ▶ build ▶ apply ▶ status            (1) desired state: `controller`
//! record Secret ──watch──▶ snapshot ◀── issue / check ◀── HTTP       (2) tokens: `store`, `token`, `http`
//! POST ──▶ verify ▶ filter ▶ enqueue ▶ 2xx … prepare ▶ send ▶ settle (3) events: `inbound`, `delivery`
//! ```
//!
//! [`record`] is what the first flow and the second agree on, and the only thing that they share. [`plugin`], which is `kubectl snaphook`,
//! looks at all this from outside.

pub mod app;
pub mod cli;
pub mod config;
pub mod controller;
pub mod crd;
pub mod delivery;
pub mod dev;
pub mod file_watch;
mod glob;
pub mod http;
pub mod inbound;
pub mod plugin;
pub mod random;
mod receiver;
pub mod record;
pub mod shutdown;
pub mod store;
pub mod telemetry;
mod terminal;
pub mod token;

#[cfg(test)]
mod test_dir;
