//! The command line: one subcommand a job. Each job's arguments lie beside its start-up code in `app`.

use std::{env, path::Path, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::{app, plugin, terminal};

/// What kubectl looks for on the PATH.
const PLUGIN: &str = "kubectl-snaphook";

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
    /// Remove what resources would hang on without a controller, before it goes for good
    Uninstall(app::uninstall::Args),
    /// Run the controller and the server in one process, without a cluster, on the YAML files in a directory
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
    #[command(flatten)]
    Plugin(plugin::Command),
    /// Print a completion script
    Completion(Completion),
}

/// The same program as a plugin of kubectl.
#[derive(Parser)]
#[command(name = PLUGIN, bin_name = "kubectl snaphook", version, about, propagate_version = true)]
struct PluginCli {
    #[command(subcommand)]
    command: AsPlugin,
}

#[derive(Subcommand)]
enum AsPlugin {
    #[command(flatten)]
    Plugin(plugin::Command),
    #[command(flatten)]
    Alone(plugin::Alone),
    #[command(flatten)]
    Exec(plugin::Exec),
    /// Print a completion script
    Completion(Completion),
}

#[derive(clap::Args)]
struct Completion {
    /// Whose
    #[arg(value_enum)]
    shell: Shell,
}

/// Parses the arguments and runs the job that they name. Prints what ended it.
#[must_use]
pub fn main() -> ExitCode {
    let called = env::args_os().next().unwrap_or_default();
    let is_plugin = Path::new(&called).file_stem().is_some_and(|name| name == PLUGIN);
    let result = if is_plugin { plugin_main() } else { own_main() };
    result.unwrap_or_else(|error| {
        // Whatever a file or a server says is in it.
        eprintln!("Error: {}", terminal::lines(described(&error).as_bytes()));
        ExitCode::FAILURE
    })
}

/// The error and its causes. No backtrace: most errors are of those who wrote a file or a command.
fn described(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().skip(1).map(|cause| format!("\n    {cause}")).collect();
    if causes.is_empty() { error.to_string() } else { format!("{error}\n\nCaused by:{}", causes.concat()) }
}

fn plugin_main() -> anyhow::Result<ExitCode> {
    match PluginCli::parse().command {
        AsPlugin::Plugin(command) => plugin::run(command),
        AsPlugin::Alone(command) => plugin::run_plugin(command),
        AsPlugin::Exec(exec) => plugin::run_in_pod(&exec, words()),
        AsPlugin::Completion(Completion { shell }) => complete(shell, PluginCli::command(), PLUGIN),
    }
}

/// The command line as it was given. What is no Unicode can only be the name of a file on this side.
fn words() -> Vec<String> {
    env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

fn complete(shell: Shell, mut command: clap::Command, name: &str) -> anyhow::Result<ExitCode> {
    // Straight to the standard output it would panic where nobody reads on.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

fn own_main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Server(args) => app::server::run(*args),
        Command::Controller(args) => app::controller::run(args),
        Command::Uninstall(args) => app::uninstall::run(args),
        Command::Dev(args) => app::dev::run(args),
        Command::Receive(args) => app::receive::run(&args),
        Command::Deliveries(args) => app::deliveries::list(&args),
        Command::Endpoints(args) => app::deliveries::endpoints(&args),
        Command::Replay(args) => app::deliveries::replay(&args),
        Command::Drop(args) => app::deliveries::discard(&args),
        Command::Send(args) => app::deliveries::send(&args),
        Command::Crd => print_crds(),
        Command::Plugin(command) => plugin::run(command),
        Command::Completion(Completion { shell }) => complete(shell, Cli::command(), "snaphook"),
    }
}

fn print_crds() -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    std::io::stdout().write_all(crate::crd::to_yaml()?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
