//! The program under measurement: controller and servers as processes of their own.

use std::{
    collections::HashSet,
    ops::Range,
    path::{Path, PathBuf},
    pin::pin,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use control_plane::{ControlPlane, Supervised};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use snaphook::crd::{AppCredential, Kind, Webhook, WebhookCredential, condition::ConditionStatus};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

pub(crate) const REALM: &str = "snaphook-system";
pub(crate) const TEAM: &str = "team";
pub(crate) const CONCURRENCY: usize = 16;
const SOON: Duration = Duration::from_mins(2);

/// A kind under measurement.
pub(crate) trait Measured: Kind {
    /// The spec of one of many.
    fn spec(index: usize) -> Value;

    fn make(index: usize) -> Self {
        let metadata = json!({ "name": name(index) });
        let resource = json!({ "apiVersion": Self::api_version(&()), "kind": Self::KIND, "metadata": metadata, "spec": Self::spec(index) });
        serde_json::from_value(resource).unwrap()
    }
}

impl Measured for AppCredential {
    fn spec(_: usize) -> Value {
        json!({ "scopes": ["orders:read", "snaphook:introspect"], "audiences": ["https://api.example.com"] })
    }
}

impl Measured for Webhook {
    fn spec(index: usize) -> Value {
        json!({
            "verification": { "type": "GitHub" },
            "handler": { "type": "Json", "filter": "body.status == 'firing'" },
            "delivery": { "url": "https://hooks.example.net/in", "credentialRef": { "name": name(index) } },
        })
    }
}

impl Measured for WebhookCredential {
    fn spec(_: usize) -> Value {
        json!({ "type": "ClientId", "fieldName": "clientid", "location": "Header", "clientId": "link" })
    }
}

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
                "realm: {{namespace: {REALM}, issuer: 'http://127.0.0.1:1', service: {{name: snaphook, port: 80}}}}\nsigningKeys: {{algorithm: EdDSA}}\npolicy: {{rules: [{{namespaces: {{}}, scopes: ['*', 'snaphook:*']}}]}}\n{more}"
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
        let process = self.spawn_controller()?;
        process.logged("at work", SOON).await?;
        Ok(process)
    }

    /// One that has only just begun to start.
    pub(crate) fn spawn_controller(&self) -> Result<Supervised> {
        let mut command = self.command();
        command.args(["controller", "--probes-listen", "127.0.0.1:0", "--config"]);
        command.arg(self.directory.join("config.yaml"));
        Supervised::spawn(&command, self.fresh("controller.log"))
    }

    /// A log without that of the process before, which had another address.
    fn fresh(&self, log: &str) -> PathBuf {
        let log = self.directory.join(log);
        let _ = std::fs::remove_file(&log);
        log
    }

    /// A server of the shared realm, and where it listens.
    pub(crate) async fn server(&self, name: &str) -> Result<(Supervised, String, String)> {
        self.server_with(name, &["--namespace", REALM]).await
    }

    /// A server, and where it listens.
    pub(crate) async fn server_with(&self, name: &str, arguments: &[&str]) -> Result<(Supervised, String, String)> {
        let mut command = self.command();
        command.args(["server", "--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0"]).args(arguments);
        let process = Supervised::spawn(&command, self.fresh(&format!("{name}.log")))?;
        let (public, probes) = (listening(&process, "public=").await?, listening(&process, "probes=").await?);
        Ok((process, public, probes))
    }

    pub(crate) fn of<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), TEAM)
    }

    pub(crate) async fn create<K: Measured>(&self, indices: Range<usize>) -> Result<()> {
        let api = self.of::<K>();
        let create = |index: usize| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), &K::make(index)).await.map(drop) }
        };
        stream::iter(indices).map(create).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// Waits until so many are Ready.
    pub(crate) async fn all_ready<K: Measured>(&self, count: usize) -> Result<()> {
        let mut resources = pin!(watcher(self.of::<K>(), watcher::Config::default()).applied_objects());
        let all = async {
            let mut ready = HashSet::new();
            while ready.len() < count {
                let resource = resources.try_next().await?.context("the watch has ended")?;
                if is_ready(&resource) {
                    ready.insert(resource.name_any());
                }
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_mins(20), all).await.context("not all became Ready")?
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

pub(crate) fn is_ready<K: Kind>(resource: &K) -> bool {
    let ready = |it: &snaphook::crd::Condition| it.type_ == "Ready" && it.status == ConditionStatus::True;
    resource.conditions().iter().any(ready)
}

/// An address that a process prints when it listens.
pub(crate) async fn listening(process: &Supervised, key: &str) -> Result<String> {
    process.logged(key, SOON).await?;
    let log = process.log();
    let address = log.split_whitespace().find_map(|word| word.strip_prefix(key));
    Ok(address.context("no address")?.to_owned())
}

/// The answer to a GET, or nothing where nobody answers.
pub(crate) async fn get(address: &str, path: &str) -> Result<String> {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address).await {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        stream.read_to_string(&mut answer).await?;
    }
    Ok(answer)
}

/// Waits until the answer to a GET is as wanted.
pub(crate) async fn until(address: &str, path: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = get(address, path).await?;
        if wanted(&answer) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "not in time: {path}: {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a process says that it is ready.
pub(crate) async fn until_ready(probes: &str) -> Result<()> {
    until(probes, "/readyz", |answer| answer.starts_with("HTTP/1.1 200")).await
}

/// Resident memory of a process in MiB.
pub(crate) fn resident(process: &Supervised) -> Result<f64> {
    memory(process, "VmRSS:")
}

/// The most that was ever resident, in MiB.
pub(crate) fn peak(process: &Supervised) -> Result<f64> {
    memory(process, "VmHWM:")
}

fn memory(process: &Supervised, line: &str) -> Result<f64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.pid().to_string()).join("status"))?;
    let value = status.lines().find_map(|found| found.strip_prefix(line)).context("no such line")?;
    let kib: f64 = value.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
