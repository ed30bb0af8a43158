//! Start-up of `snaphook server`.

use std::process::ExitCode;

/// Arguments of `snaphook server`.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs until a signal ends it.
///
/// # Errors
/// What kept the server from starting, or ended it.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
