//! Starts a cluster by hand and stays: `cargo run -p cluster`. Or writes its images for another one: `cargo run -p cluster -- images DIR`.

use std::io::{Write, stdin, stdout};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cluster::Node;
use control_plane::Assets;

#[derive(Parser)]
#[command(about = "A real cluster of one node on this machine, until standard input ends")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Write archives of all images, to load them into another cluster (`kind load image-archive DIR/*.tar`)
    Images {
        /// An existing directory
        directory: PathBuf,
    },
}

fn main() -> Result<()> {
    if let Some(Command::Images { directory }) = Cli::parse().command {
        return cluster::write_all(&directory, |archive| Ok(writeln!(stdout(), "{}", archive.display())?));
    }
    let node = Node::start()?;
    let (kubeconfig, kubectl) = (node.kubeconfig(), Assets::find()?.kubectl);
    let mut out = stdout().lock();
    writeln!(
        out,
        "alias kubectl='KUBECONFIG={} nsenter -t {} -n {}'",
        kubeconfig.display(),
        node.init(),
        kubectl.display()
    )?;
    writeln!(out, "# Ready. Enter or Ctrl-C ends it and removes what it has stored.")?;
    out.flush()?;
    stdin().read_line(&mut String::new())?;
    Ok(())
}
