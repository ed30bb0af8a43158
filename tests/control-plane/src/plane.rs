//! The control plane: its three processes, and what a test asks of it.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;

use crate::assets::Assets;
use crate::audit::{self, Audit};
use crate::component::{self, Component, Ready, Recipe};
use crate::identity::{self, Kubeconfigs, Tokens};
use crate::scratch::Scratch;

/// Ports are chosen before they are used; how often someone else may be faster.
const ATTEMPTS: u32 = 5;
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

/// What `kubectl` said.
#[derive(Clone, Debug)]
pub struct KubectlOutput {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl KubectlOutput {
    /// Standard output of a `kubectl` that did as it was asked.
    ///
    /// # Errors
    /// When it did not; with what it said.
    pub fn success(self) -> Result<String> {
        ensure!(self.status.success(), "kubectl: {}: {}", self.status, self.stderr.trim());
        Ok(self.stdout)
    }
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
            match Self::start_on_free_ports(&assets).await {
                Err(error) if component::lost_a_port(&error) && attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_on_free_ports(assets: &Assets) -> Result<Self> {
        let scratch = Scratch::new()?;
        let [etcd_port, peer_port, port] = free_ports()?;
        let directory = scratch.path();
        let tokens = Tokens::new()?;
        let kubeconfigs =
            Kubeconfigs { url: format!("https://127.0.0.1:{port}"), ca: directory.join("certificates/apiserver.crt") };
        write_files(directory, &tokens, &kubeconfigs)?;
        let recipe = |name, program: &Path, arguments, ready| -> Result<Recipe> {
            let (program, logs, lifeline) = (program.to_owned(), directory.join("logs"), scratch.lifeline()?);
            Ok(Recipe { name, program, arguments, logs, lifeline, ready })
        };
        let etcd = etcd_arguments(directory, etcd_port, peer_port);
        let etcd = Component::launch(recipe("etcd", &assets.etcd, etcd, Ready::Port(etcd_port))?)?;
        etcd.ready().await?;
        let apiserver = apiserver_arguments(directory, etcd_port, port);
        let readyz = Ready::Readyz(directory.join(ADMIN));
        let apiserver = Component::launch(recipe("kube-apiserver", &assets.kube_apiserver, apiserver, readyz)?)?;
        apiserver.ready().await?;
        let manager = controller_manager_arguments(directory);
        let (name, program) = ("kube-controller-manager", &assets.kube_controller_manager);
        let controller_manager = Component::launch(recipe(name, program, manager, Ready::Logged(COLLECTING))?)?;
        controller_manager.ready().await?;
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

    /// Creates custom resource definitions, and waits until the API server serves them and the garbage collector knows
    /// them: by itself it looks for new kinds so seldom that what their resources own stays for 40 s. Again with the same
    /// `manifest`, it does nothing.
    pub async fn install_crds(&self, manifest: &str) -> Result<()> {
        let mut installed = self.installed.lock().await;
        if installed.contains(manifest) {
            return Ok(());
        }
        self.kubectl_with_input(&["apply", "--server-side", "-f", "-"], manifest).await?.success()?;
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f", "-"];
        self.kubectl_with_input(&established, manifest).await?.success()?;
        self.controller_manager.restart().await?;
        installed.insert(manifest.to_owned());
        Ok(())
    }

    /// An empty directory for a test, which goes with the control plane.
    pub fn directory(&self, prefix: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join("tests").join(self.unique(prefix));
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
        self.scratch.path().join(ADMIN)
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

    /// A `kubectl` with every right, to add arguments to. It leaves nothing in the home directory.
    #[must_use]
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.assets.kubectl);
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.scratch.path().join("kubectl-cache"))
            .env("KUBERC", "off");
        command
    }

    /// Runs `kubectl` with every right.
    ///
    /// # Errors
    /// When it cannot be run. What it complains about is in its output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<KubectlOutput> {
        self.kubectl_with_input(arguments, "").await
    }

    /// Runs `kubectl`, with `input` for its `-f -`.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<KubectlOutput> {
        let (mut command, input) = (self.kubectl_command(), input.to_owned());
        command.args(arguments);
        spawn_blocking(move || run(command, &input)).await?
    }

    fn unique(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }
}

const ADMIN: &str = "kubeconfig";
const CONTROLLER_MANAGER: &str = "controller-manager.kubeconfig";
const TOKENS: &str = "tokens.csv";
const KEY: &str = "service-accounts.pem";
const POLICY: &str = "audit-policy.yaml";
const AUDIT_LOG: &str = "audit.log";

fn write_files(directory: &Path, tokens: &Tokens, kubeconfigs: &Kubeconfigs) -> Result<()> {
    fs::create_dir(directory.join("logs"))?;
    fs::write(directory.join(TOKENS), tokens.file())?;
    fs::write(directory.join(KEY), identity::service_account_key()?)?;
    fs::write(directory.join(POLICY), audit::POLICY)?;
    kubeconfigs.for_token(&tokens.admin, &directory.join(ADMIN))?;
    kubeconfigs.for_token(&tokens.controller_manager, &directory.join(CONTROLLER_MANAGER))
}

fn etcd_arguments(directory: &Path, port: u16, peer_port: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        "--unsafe-no-fsync".into(), // nothing here outlives the machine
        "--log-level=warn".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

fn apiserver_arguments(directory: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".into(),
        // Otherwise it looks for the address of a default route, and there may be none.
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(), // a loopback address is not allowed in Endpoints
        format!("--secure-port={port}"),
        format!("--cert-dir={}", file("certificates")),
        format!("--token-auth-file={}", file(TOKENS)),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", file(KEY)),
        format!("--service-account-signing-key-file={}", file(KEY)),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--disable-admission-plugins=ServiceAccount".into(), // Pods need no account, nothing runs them
        "--allow-privileged".into(),
        format!("--audit-policy-file={}", file(POLICY)),
        format!("--audit-log-path={}", file(AUDIT_LOG)),
        "--audit-log-mode=blocking".into(), // an event is in the file before the answer ends
        "--audit-log-maxsize=10000".into(), // no rotation: a mark is an offset in one file
    ]
}

fn controller_manager_arguments(directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--kubeconfig={}", file(CONTROLLER_MANAGER)),
        "--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller".into(),
        "--leader-elect=false".into(),
        "--authentication-skip-lookup".into(),
        "--secure-port=0".into(), // nobody asks it anything
        // Many tests end at once: by default it waits for its turn at 20 requests a second.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
    ]
}

/// Ports that nobody listens on now.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last is known, so that they differ.
    let held = (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    let ports = held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
    ports.try_into().map_err(|ports| anyhow!("not {N} ports: {ports:?}"))
}

fn run(mut command: Command, input: &str) -> Result<KubectlOutput> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()); // it may not want to read, and says so itself
    }
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(KubectlOutput { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) })
}
