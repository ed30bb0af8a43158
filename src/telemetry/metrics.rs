//! All flows: metrics, one set a program, read in the `OpenMetrics` text format.

pub mod controller;
mod histogram;
pub mod hooks;
mod records;
pub mod server;

use prometheus_client::{encoding::text, registry::Registry};

/// What every name begins with.
const PREFIX: &str = "snaphook";

fn encode(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = text::encode(&mut text, registry);
    text
}
