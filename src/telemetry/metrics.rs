//! All flows: metrics, one set a program, read in the `OpenMetrics` text format.

pub mod controller;
mod histogram;
pub mod hooks;
mod records;
pub mod server;

use prometheus_client::{encoding::text, metrics::info::Info, registry::Registry};

/// What every name begins with.
const PREFIX: &str = "snaphook";

/// With what every program tells of itself.
fn registry() -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of the program", build);
    registry
}

fn encode(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = text::encode(&mut text, registry);
    text
}
