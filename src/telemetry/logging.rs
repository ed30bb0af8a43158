//! All flows: where log lines go and how they look.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// kube's client logs the body of an answer that does not parse, at warn; it may be a Secret. HTTP/2 and TLS log bytes at debug. No
/// setting of `RUST_LOG` brings these back.
const QUIET: [&str; 4] = ["kube_client::client=error", "h2=info", "rustls=info", "hyper=info"];

/// Sends log lines to standard error. `RUST_LOG` chooses them; by default everything from level info.
///
/// Calling it a second time changes nothing.
pub fn init(format: Format) {
    init_from("info", format);
}

/// As [`init`], with another level by default.
pub fn init_from(level: &str, format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let filter = QUIET.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive);
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    // An error says that a subscriber is there already: `dev` and tests set one up themselves.
    let _ = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}
