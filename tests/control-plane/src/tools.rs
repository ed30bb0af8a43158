//! Other programs that tests run: each from a Go module of its own, built once into the same cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::assets::{Assets, cache, environment};
use crate::compile::{Binary, Module, build_once, go};
use crate::node::NodePrograms;

/// A program that tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// A controller of Ingress and Gateway API, and a proxy.
    Traefik,
    /// Installs charts.
    Helm,
    /// Sends alerts.
    Alertmanager,
}

impl Tool {
    /// Where it is, after building it if nobody has, which takes minutes and says so on standard error. Blocks.
    ///
    /// # Errors
    /// When it has to be built and cannot be.
    pub fn find(self) -> Result<PathBuf> {
        let module = self.module();
        let directory = build_once(&module, &cache(&environment)?, &environment)?;
        Ok(directory.join(module.name))
    }

    fn module(self) -> Module {
        match self {
            Self::Traefik => TRAEFIK,
            Self::Helm => HELM,
            Self::Alertmanager => ALERTMANAGER,
        }
    }
}

pub(crate) const STRIPPED: &str = "-s -w";
const TRAEFIK: Module = Module {
    name: "traefik",
    go_mod: include_str!("../tools/traefik/go.mod"),
    go_sum: include_str!("../tools/traefik/go.sum"),
    linker: STRIPPED,
    binaries: &[Binary::of("github.com/traefik/traefik/v3/cmd/traefik", "traefik")],
};
const HELM: Module = Module {
    name: "helm",
    go_mod: include_str!("../tools/helm/go.mod"),
    go_sum: include_str!("../tools/helm/go.sum"),
    linker: STRIPPED,
    binaries: &[Binary::of("helm.sh/helm/v4/cmd/helm", "helm")],
};
const ALERTMANAGER: Module = Module {
    name: "alertmanager",
    go_mod: include_str!("../tools/alertmanager/go.mod"),
    go_sum: include_str!("../tools/alertmanager/go.sum"),
    linker: STRIPPED,
    binaries: &[Binary::of("github.com/prometheus/alertmanager/cmd/alertmanager", "alertmanager")],
};

/// Builds whatever is not built yet, first what most tests wait for. Blocks.
///
/// # Errors
/// The first that cannot be built.
pub fn build_all() -> Result<()> {
    gateway_api_crds()?;
    Assets::find()?;
    [Tool::Helm, Tool::Alertmanager].into_iter().try_for_each(|tool| tool.find().map(drop))?;
    NodePrograms::find()?;
    Tool::Traefik.find().map(drop)
}

/// The CRDs of the Gateway API, its standard channel: the directory with one YAML file a kind. Blocks while Go downloads the module.
///
/// # Errors
/// Without Go, or when the module cannot be had.
pub fn gateway_api_crds() -> Result<PathBuf> {
    let go = go(&environment).context("the CRDs of the Gateway API come from a Go module: install Go 1.26 or newer")?;
    let mut command = Command::new(go);
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/gateway-api");
    command.current_dir(module).env("GOWORK", "off").args(["mod", "download", "-json", "sigs.k8s.io/gateway-api"]);
    let output = command.output().context("cannot run go")?;
    ensure!(output.status.success(), "go mod download: {}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let directory = answer["Dir"].as_str().context("go mod download names no directory")?;
    Ok(Path::new(directory).join("config/crd/standard"))
}
