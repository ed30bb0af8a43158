//! What GitOps tools are given, run as they run it, on every state that the controller reports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not count their functions as such"
)]

mod argo;
mod argocd;
mod flux;
mod states;
