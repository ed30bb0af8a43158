//! The program under measurement: controller and servers as processes of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use control_plane::{ControlPlane, Supervised};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use snaphook::crd::{AppCredential, AppCredentialSpec};

pub(crate) const REALM: &str = "snaphook-system";
pub(crate) const TEAM: &str = "team";
pub(crate) const CONCURRENCY: usize = 16;
const SOON: Duration = Duration::from_mins(2);

pub(crate) struct Installation {
    pub(crate) client: Client,
    directory: PathBuf,
    kubeconfig: PathBuf,
}

impl Installation {
    pub(crate) async fn new(plane: &ControlPlane) -> Result<Self> {
        Self::with(plane, "").await
    }

    /// One with more lines in its configuration.
    pub(crate) async fn with(plane: &ControlPlane, more: &str) -> Result<Self> {
        let client = plane.client().await?;
        for namespace in [REALM, TEAM] {
            plane.kubectl(&["create", "namespace", namespace]).await?.success()?;
        }
        let directory = plane.directory("bench")?;
        std::fs::write(
            directory.join("config.yaml"),
            format!(
                "realm: {{namespace: {REALM}, issuer: 'http://127.0.0.1:1'}}\nsigningKeys: {{algorithm: EdDSA}}\npolicy: {{rules: [{{namespaces: {{}}, scopes: ['*', 'snaphook:*']}}]}}\n{more}"
            ),
        )?;
        Ok(Self { client, directory, kubeconfig: plane.kubeconfig() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command.env("KUBECONFIG", &self.kubeconfig).env("RUST_LOG", "info");
        command
    }

    pub(crate) async fn controller(&self) -> Result<Supervised> {
        let mut command = self.command();
        command.args(["controller", "--probes-listen", "127.0.0.1:0", "--config"]);
        command.arg(self.directory.join("config.yaml"));
        let process = Supervised::spawn(&command, self.directory.join("controller.log"))?;
        process.logged("at work", SOON).await?;
        Ok(process)
    }

    /// A server of the shared realm, and where it listens.
    pub(crate) async fn server(&self, name: &str) -> Result<(Supervised, String, String)> {
        self.server_with(name, &["--namespace", REALM]).await
    }

    /// A server, and where it listens.
    pub(crate) async fn server_with(&self, name: &str, arguments: &[&str]) -> Result<(Supervised, String, String)> {
        let mut command = self.command();
        command.args(["server", "--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0"]).args(arguments);
        let process = Supervised::spawn(&command, self.directory.join(format!("{name}.log")))?;
        process.logged("listening public=", SOON).await?;
        let log = process.log();
        let line = log.lines().find(|line| line.starts_with("listening ")).context("no line")?;
        let address =
            |key: &str| line.split(' ').find_map(|part| part.strip_prefix(key)).unwrap_or_default().to_owned();
        Ok((process, address("public="), address("probes=")))
    }

    pub(crate) fn resources(&self) -> Api<AppCredential> {
        Api::namespaced(self.client.clone(), TEAM)
    }

    pub(crate) async fn create(&self, count: usize) -> Result<()> {
        let api = self.resources();
        let create = |index: usize| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), &resource(index)).await.map(drop) }
        };
        stream::iter(0..count).map(create).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// Waits until so many are Ready. Polls a list from the watch cache: a watch of ours would cost the API server more.
    pub(crate) async fn all_ready(&self, count: usize) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(10);
        loop {
            let list = self.resources().list(&kube::api::ListParams::default().match_any()).await?;
            let ready = list.iter().filter(|resource| is_ready(resource)).count();
            if ready >= count {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{ready} of {count} are Ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Client id and secret of a resource, as an app would read them.
    pub(crate) async fn credentials(&self, index: usize) -> Result<(String, String)> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), TEAM);
        let secret = api.get(&format!("{}-credential", name(index))).await?;
        let data = secret.data.context("no data")?;
        let text = |key: &str| String::from_utf8(data[key].0.clone());
        Ok((text("client-id")?, text("client-secret")?))
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("client-{index:05}")
}

pub(crate) fn resource(index: usize) -> AppCredential {
    let spec = AppCredentialSpec {
        scopes: Some(vec!["orders:read".into(), "snaphook:introspect".into()]),
        audiences: Some(vec!["https://api.example.com".into()]),
        ..AppCredentialSpec::default()
    };
    AppCredential::new(&name(index), spec)
}

pub(crate) fn is_ready(resource: &AppCredential) -> bool {
    let status = resource.status.as_ref();
    status.is_some_and(|status| {
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == "Active")
    }) && !resource.name_any().is_empty()
}

/// Resident memory of a process in MiB.
pub(crate) fn resident(process: &Supervised) -> Result<f64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.pid().to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
