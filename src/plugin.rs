//! `kubectl snaphook`: what a person asks of a cluster and changes in it. The same commands are there as `snaphook`.
//!
//! Each command fetches, judges without a client, and shows. None prints a secret, and a token only where it is asked for.

mod change;
mod cluster;
mod confirm;
mod exec;
mod kind_name;
mod managers;
mod output;
mod render;
mod status;
mod token;
mod uninstall;

use std::process::ExitCode;

use clap::Subcommand;

pub use self::exec::{Exec, run as run_in_pod};

/// Exit code of a command that could look, and the answer is no.
const NO: u8 = 3;
/// Exit code of a command that was used in a wrong way.
const USAGE: u8 = 2;
const EXIT_CODES: &str =
    "Exit codes: 0 yes or done, 1 failed or not done, 2 wrong usage (also: nobody there to ask), 3 the answer is no.";

/// Commands that ask the API server, or nobody.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Tell why a resource is not ready, and what it depends on
    Status(status::Args),
    /// Get an access token with the values of an AppCredential's Secret, and show its claims
    Token(token::TokenArgs),
    /// Tell whether the Secret of an AppCredential still authenticates
    Verify(token::VerifyArgs),
    /// Replace a generated secret or URL; the old one works until the overlap ends
    Rotate(change::RotateArgs),
    /// Revoke an AppCredential: all its tokens end at once, for good
    Revoke(change::RevokeArgs),
    /// Show what would be made of the resources in a file, without a cluster; values are masked
    Render(render::Args),
}

/// Commands of the plugin alone: `snaphook` has others of these names.
#[derive(Subcommand, Debug)]
pub enum Alone {
    /// Stop the controller and remove what resources would hang on without one; or only tell what that is
    Uninstall(uninstall::Args),
}

/// Runs a command.
///
/// # Errors
/// What kept it from being done.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status(args) => wait(status::run(args)),
        Command::Token(args) => wait(token::token(args)),
        Command::Verify(args) => wait(token::verify(args)),
        Command::Rotate(args) => wait(change::rotate(args)),
        Command::Revoke(args) => wait(change::revoke(args)),
        Command::Render(args) => wait(render::run(args)),
    }
}

/// Runs a command of the plugin alone.
///
/// # Errors
/// What kept it from being done.
pub fn run_plugin(command: Alone) -> anyhow::Result<ExitCode> {
    match command {
        Alone::Uninstall(args) => wait(uninstall::run(args)),
    }
}

fn wait(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn verdict(yes: bool) -> ExitCode {
    if yes { ExitCode::SUCCESS } else { ExitCode::from(NO) }
}
