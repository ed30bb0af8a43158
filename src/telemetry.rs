//! All flows: what operators see of the program: its log and its metrics.

pub mod logging;
pub mod metrics;
