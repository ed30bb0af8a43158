//! Starts a control plane by hand and stays: `cargo run -p control-plane`. With the argument `build` it builds every program that
//! tests need, and ends.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::exit;

use anyhow::{Context, Result, bail};
use control_plane::{Component, ControlPlane};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => stay().await,
        Some("build") => control_plane::build_all(),
        Some(other) => bail!("{other}: there is only `build`"),
    }
}

async fn stay() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let end = async {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
    };
    tokio::pin!(end);
    let cp = tokio::select! {
        cp = ControlPlane::start() => cp?,
        () = &mut end => exit(130), // at once: returning would wait for a build; what was started ends with this process
    };
    greet(&cp)?;
    let ended = tokio::select! {
        () = end => None,
        name = one_of(&cp) => Some(name),
    };
    let log = ended.map(Component::log);
    let name = ended.map(Component::name);
    cp.stop().await?;
    match name.zip(log) {
        Some((name, log)) => bail!("{name} has ended:\n{log}"),
        None => Ok(()),
    }
}

fn greet(cp: &ControlPlane) -> Result<()> {
    let binaries = cp.assets().kubectl.parent().context("kubectl in no directory")?;
    let mut out = stdout().lock();
    writeln!(out, "export KUBECONFIG={}", quoted(&cp.kubeconfig()))?;
    writeln!(out, "export PATH={}:\"$PATH\"", quoted(binaries))?;
    writeln!(out, "# {} is ready. Ctrl-C ends it and removes what it has stored.", cp.url())?;
    Ok(out.flush()?)
}

/// For a shell to read.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The first component that ends by itself.
async fn one_of(cp: &ControlPlane) -> &Component {
    tokio::select! {
        () = cp.etcd().ended() => cp.etcd(),
        () = cp.apiserver().ended() => cp.apiserver(),
        () = cp.controller_manager().ended() => cp.controller_manager(),
    }
}
