//! The command line: one subcommand a job. Each job's arguments lie beside its start-up code in `app`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app;

#[derive(Parser)]
#[command(name = "snaphook", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Issue and check tokens from the records in one namespace, or from a directory of records
    Server(Box<app::server::Args>),
    /// Turn custom resources into Secrets: the operator
    Controller(app::controller::Args),
    /// Both in one process without a cluster: from the YAML files in a directory
    Dev(app::dev::Args),
    /// Print every HTTP call that arrives: a receiver to try deliveries with
    Receive(app::receive::Args),
    /// List what came in and what became of it, or show one message; asks the server that runs here
    Deliveries(app::deliveries::List),
    /// List how much is queued and kept of each Webhook
    Endpoints(app::deliveries::Endpoints),
    /// Deliver messages again
    Replay(app::deliveries::Replay),
    /// Remove messages
    Drop(app::deliveries::Discard),
    /// Send a test message to a Webhook
    Send(app::deliveries::Send),
    /// Print the custom resource definitions
    Crd,
}

/// Parses the arguments and runs the job that they name.
///
/// # Errors
/// Whatever ended the job, to be printed by `main`.
pub fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Server(args) => app::server::run(*args),
        Command::Controller(args) => app::controller::run(args),
        Command::Dev(args) => app::dev::run(args),
        Command::Receive(args) => app::receive::run(&args),
        Command::Deliveries(args) => app::deliveries::list(&args),
        Command::Endpoints(args) => app::deliveries::endpoints(&args),
        Command::Replay(args) => app::deliveries::replay(&args),
        Command::Drop(args) => app::deliveries::discard(&args),
        Command::Send(args) => app::deliveries::send(&args),
        Command::Crd => print_crds(),
    }
}

fn print_crds() -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    std::io::stdout().write_all(crate::crd::to_yaml()?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
