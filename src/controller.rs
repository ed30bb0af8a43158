//! Flow 1: custom resources become Secrets. The driver of each kind reads as a table of contents of its steps.
//!
//! ```text
//! CR ──watch──▶ fetch ▶ validate ▶ build ▶ apply ▶ status
//! ```

pub mod api;
pub mod app_credential;
pub mod cluster;
pub mod contest;
pub mod leader;
pub mod overview;
pub mod policy;
pub mod run;
pub mod secrets;
pub mod signing_keys;
pub mod watches;
