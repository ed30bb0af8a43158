//! The images of the suite's Pods, built from the same versions as the official ones whose names they have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use control_plane::Tool;
use serde_json::Value;

use crate::image::Image;

/// The test app: `src/app`.
pub const APP: &str = "snaphook.test/app:1";
/// Snaphook, as the chart and the examples name it; `SNAPHOOK_CLUSTER_IMAGE` names another.
pub const SNAPHOOK: &str = "snaphook:0.1.0";
/// The controller of Ingress and Gateway API.
pub const TRAEFIK: &str = "docker.io/library/traefik:v3.6.12";
/// The sender of alerts.
pub const ALERTMANAGER: &str = "quay.io/prometheus/alertmanager:v0.31.1";
/// A shell with curl: what the examples use.
pub const CURL: &str = "docker.io/curlimages/curl:8.17.0";
/// Holds the namespaces of a Pod; named in the configuration of the cluster's own containerd.
const PAUSE: &str = "snaphook.test/pause:1";
/// What scripts of the examples call.
const SHELL: [&str; 7] = ["sh", "cat", "curl", "date", "head", "sleep", "tr"];

/// Builds what is not built yet, and writes an archive of each image into `directory`; tells of each. Blocks.
pub fn write_all(directory: &Path, mut written: impl FnMut(&Path) -> Result<()>) -> Result<()> {
    let app = stripped(&build("cluster-app")?, directory)?;
    let snaphook = stripped(&build("snaphook")?, directory)?;
    written(&Image::new(PAUSE, &["/app", "pause"]).with("/app", &app)?.write(directory)?)?;
    written(&Image::new(APP, &["/app"]).with("/app", &app)?.write(directory)?)?;
    written(
        &Image::new("docker.io/library/snaphook:0.1.0", &["snaphook"])
            .with("/usr/local/bin/snaphook", &snaphook)?
            .write(directory)?,
    )?;
    fs::remove_file(app)?;
    fs::remove_file(snaphook)?;
    for (name, program, tool) in
        [(TRAEFIK, "/traefik", Tool::Traefik), (ALERTMANAGER, "/bin/alertmanager", Tool::Alertmanager)]
    {
        written(&Image::new(name, &[program]).with(program, &tool.find()?)?.write(directory)?)?;
    }
    let mut shell = Image::new(CURL, &["/bin/sh"]);
    for name in SHELL {
        shell = shell.with(&format!("/bin/{name}"), &on_path(name)?)?;
    }
    written(&shell.write(directory)?)
}

fn on_path(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file());
    found.with_context(|| format!("no {program} on this machine"))
}

/// Has cargo build a program of this workspace, as the tests have it: with the whole workspace, whose features are all that a crate
/// is built with.
pub(crate) fn build(binary: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--message-format", "json", "--workspace", "--bins"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(std::process::Stdio::inherit());
    let output = cargo.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo build of {binary}: {}", output.status);
    let messages = String::from_utf8(output.stdout)?;
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()) // build scripts may print what they like
        .filter(|message| message["target"]["name"] == binary)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.with_context(|| format!("cargo has built no {binary}"))
}

/// Without symbols, which are half of it.
fn stripped(program: &Path, directory: &Path) -> Result<PathBuf> {
    let stripped = directory.join(program.file_name().context("a program without a name")?);
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program).status().context("cannot run strip")?;
    ensure!(strip.success(), "strip of {}: {strip}", program.display());
    Ok(stripped)
}
