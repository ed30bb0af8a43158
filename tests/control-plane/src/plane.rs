//! The control plane: its three processes, and what a test asks of it.

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;

use crate::assets::Assets;
use crate::audit::Audit;
use crate::component::{self, Component, Ready, Recipe};
use crate::configuration::{self, ADMIN, AUDIT_LOG};
use crate::identity::{Kubeconfigs, Tokens};
use crate::scratch::Scratch;

/// Ports are chosen before they are used; how often someone else may be faster.
const ATTEMPTS: u32 = 5;
/// What etcd says when it listens; a connection to its port could be one to somebody else.
const SERVING: &str = "ready to serve client requests";
/// The garbage collector's own words for being at work.
const COLLECTING: &str = "roceeding to collect garbage";
const TOKEN_LIFE: Duration = Duration::from_hours(12);

static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();

/// The control plane that the tests of this process share, started by the first that asks. Ends with the process.
///
/// # Errors
/// When it cannot be started; all who ask are told the same, and nobody tries again.
pub async fn shared() -> Result<&'static ControlPlane> {
    let start = || async { ControlPlane::start().await.map_err(|error| format!("{error:#}")) };
    SHARED.get_or_init(start).await.as_ref().map_err(|error| anyhow!("no control plane: {error}"))
}

/// etcd, kube-apiserver and kube-controller-manager on loopback.
///
/// The three processes and their directory go when this is dropped, and when the process that holds it ends.
#[derive(Debug)]
pub struct ControlPlane {
    controller_manager: Component,
    apiserver: Component,
    etcd: Component,
    assets: Assets,
    admin_token: String,
    kubeconfigs: Kubeconfigs,
    audit: Audit,
    names: AtomicU32,
    installed: Mutex<HashSet<String>>,
    scratch: Scratch, // last: its directory goes after those who write there
}

impl ControlPlane {
    /// Starts a control plane of one's own, for tests that stop or freeze a part of it. Otherwise see [`shared`].
    ///
    /// # Errors
    /// When there are no binaries, or one of the processes does not become ready; with the end of its log.
    pub async fn start() -> Result<Self> {
        let assets = spawn_blocking(Assets::find).await??;
        let mut attempt = 1;
        loop {
            match Self::start_on(&assets, free_ports()?).await {
                Err(error) if component::lost_a_port(&error) && attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_on(assets: &Assets, [etcd_port, peer_port, port]: [u16; 3]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let directory = scratch.path();
        let tokens = Tokens::new()?;
        let kubeconfigs =
            Kubeconfigs { url: format!("https://127.0.0.1:{port}"), ca: directory.join(configuration::CA) };
        configuration::write_files(directory, &tokens, &kubeconfigs)?;
        let start = async |name, program: &Path, arguments, ready| -> Result<Component> {
            let (program, logs) = (program.to_owned(), directory.join(configuration::LOGS));
            let recipe = Recipe { name, program, arguments, logs, lifeline: scratch.lifeline()?, ready };
            let component = Component::launch(recipe)?;
            component.ready().await?;
            Ok(component)
        };
        let arguments = configuration::etcd(directory, etcd_port, peer_port);
        let etcd = start("etcd", &assets.etcd, arguments, Ready::Logged(SERVING)).await?;
        let arguments = configuration::apiserver(directory, etcd_port, port);
        let ready = Ready::Readyz(directory.join(ADMIN));
        let apiserver = start("kube-apiserver", &assets.kube_apiserver, arguments, ready).await?;
        let (program, arguments) = (&assets.kube_controller_manager, configuration::controller_manager(directory));
        let controller_manager =
            start("kube-controller-manager", program, arguments, Ready::Logged(COLLECTING)).await?;
        let audit = Audit::new(directory.join(AUDIT_LOG));
        let (assets, admin_token) = (assets.clone(), tokens.admin);
        let (names, installed) = (AtomicU32::new(1), Mutex::default());
        Ok(Self {
            controller_manager,
            apiserver,
            etcd,
            assets,
            admin_token,
            kubeconfigs,
            audit,
            names,
            installed,
            scratch,
        })
    }

    /// Ends the three processes and waits until their directory has gone. Without it the same happens a moment later.
    pub async fn stop(self) -> Result<()> {
        let Self { controller_manager, apiserver, etcd, scratch, .. } = self;
        for component in [controller_manager, apiserver, etcd] {
            component.stop().await?;
        }
        spawn_blocking(|| scratch.remove()).await?
    }

    /// Creates a namespace of its own for a test, whose name begins with `prefix`.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let name = self.unique(prefix);
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client().await?).create(&PostParams::default(), &namespace).await?;
        Ok(name)
    }

    /// An empty directory for a test, which goes with the control plane.
    pub fn directory(&self, prefix: &str) -> Result<PathBuf> {
        let path = self.path("tests").join(self.unique(prefix));
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A client with every right. It lives on the runtime of the caller: each test wants its own.
    pub async fn client(&self) -> Result<Client> {
        component::client(&self.kubeconfig()).await
    }

    /// A client with the rights of a kubeconfig, such as that of [`Self::kubeconfig_for`].
    pub async fn client_for(&self, kubeconfig: &Path) -> Result<Client> {
        component::client(kubeconfig).await
    }

    /// A kubeconfig with every right.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path(ADMIN)
    }

    /// A kubeconfig for a user who needs not exist anywhere, by impersonation. The API server adds `system:authenticated`.
    ///
    /// RBAC sees this user only, and so does [`AuditEvent::user`](crate::AuditEvent::user).
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let file = self.directory("user")?.join("kubeconfig");
        self.kubeconfigs.for_user(&self.admin_token, user, groups, &file)?;
        Ok(file)
    }

    /// A kubeconfig with a token of a service account, which must exist.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        let file = self.directory("service-account")?.join("kubeconfig");
        self.kubeconfigs.for_token(&token, &file)?;
        Ok(file)
    }

    /// A token of a service account, good for the API server and for twelve hours.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let expiration_seconds = Some(TOKEN_LIFE.as_secs().try_into()?);
        let spec = TokenRequestSpec { expiration_seconds, ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await?, namespace);
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        Ok(answer.status.context("a TokenRequest without a status")?.token)
    }

    /// Where the API server listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.kubeconfigs.url
    }

    /// The certificate authority of the API server, PEM.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.kubeconfigs.ca
    }

    /// The bearer token of the user `admin`, in `system:masters`.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// What the API server was asked to do.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The API server's process.
    #[must_use]
    pub fn apiserver(&self) -> &Component {
        &self.apiserver
    }

    /// The store's process.
    #[must_use]
    pub fn etcd(&self) -> &Component {
        &self.etcd
    }

    /// The process of the garbage collector, the namespaces and their default service accounts.
    #[must_use]
    pub fn controller_manager(&self) -> &Component {
        &self.controller_manager
    }

    /// The binaries.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// The manifests that [`Self::install_crds`] has seen.
    pub(crate) fn installed(&self) -> &Mutex<HashSet<String>> {
        &self.installed
    }

    /// A path in the directory that goes with the control plane.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn unique(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }
}

/// Ports that nobody listens on now.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last is known, so that they differ.
    let held = (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    let ports = held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
    ports.try_into().map_err(|ports| anyhow!("not {N} ports: {ports:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_someone_else_took_meanwhile_is_told_from_other_failures() {
        let assets = Assets::find().unwrap();
        for taken in 0..3 {
            let ports = free_ports().unwrap();
            let _other = TcpListener::bind(("127.0.0.1", ports[taken])).unwrap();
            let error = ControlPlane::start_on(&assets, ports).await.unwrap_err();
            assert!(component::lost_a_port(&error), "{error:#}");
        }
    }
}
