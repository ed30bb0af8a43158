//! Flow 1: custom resources become Secrets. The driver reads as a table of contents of its steps: [`steps`].
//!
//! ```text
//! CR ──watch──▶ fetch ▶ validate ▶ build ▶ apply ▶ status
//! ```

pub mod api;
pub mod app_credential;
pub mod apply;
pub mod checks;
pub mod cleanup;
pub mod cluster;
pub mod consumer;
pub mod contest;
pub mod fetch;
pub mod leader;
pub mod overview;
pub mod policy;
pub mod records;
pub mod refusal;
pub mod report;
pub mod route;
pub mod run;
pub mod secrets;
pub mod signing_keys;
pub mod steps;
pub mod uninstall;
pub mod versions;
pub mod watches;
pub mod webhook;
pub mod webhook_credential;
