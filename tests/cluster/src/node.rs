//! A cluster of one node in namespaces of its own: etcd, API server, controllers, scheduler, kubelet, containerd, DNS.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use control_plane::{Assets, NodePrograms};

use crate::images;

const INIT: &str = include_str!("node/init.sh");
const SUPERVISE: &str = include_str!("node/supervise.sh");
/// From the start to a node that says that it is ready, images loaded.
const READY_WITHIN: Duration = Duration::from_mins(3);
/// Whom the Pods of the chart run as.
const USER: u32 = 65532;

/// The cluster; it ends when this is dropped, and when the process that holds it ends.
#[derive(Debug)]
pub struct Node {
    state: PathBuf,
    kubectl: PathBuf,
    supervisor: Mutex<Supervisor>,
}

#[derive(Debug)]
struct Supervisor {
    process: Child,
    /// Commands for PID 1; the cluster ends when it closes.
    orders: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
    /// PID 1 of the cluster, as this machine counts.
    init: u32,
}

impl Node {
    /// Starts a cluster with all [`images`](crate::images) loaded; builds first what is not built yet. Blocks.
    ///
    /// # Errors
    /// Without root, and where cgroups are not those of version 1; when something does not become ready, with its log.
    pub fn start() -> Result<Self> {
        check_machine()?;
        let (assets, programs) = (Assets::find()?, NodePrograms::find()?);
        let name = format!("snaphook-cluster-{}", process::id());
        let state = std::env::temp_dir().join(&name);
        DirBuilder::new().mode(0o711).create(&state).with_context(|| format!("cannot make {}", state.display()))?;
        for directory in ["images", "logs"] {
            fs::create_dir(state.join(directory))?;
        }
        fs::write(state.join("init.sh"), INIT)?;
        let mut command = Command::new("bash");
        command.args(["-c", SUPERVISE, "bash"]).arg(&state).arg(name).process_group(0); // Ctrl-C is for the owner
        surroundings(&mut command, &state, &assets, &programs)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(state.join("logs/supervisor.log"))?);
        let mut process = command.spawn().context("cannot start bash")?;
        let orders = process.stdin.take();
        let told = BufReader::new(process.stdout.take().context("bash has no standard output")?);
        let supervisor = Mutex::new(Supervisor { process, orders, told, init: 0 });
        let node = Self { state, kubectl: assets.kubectl, supervisor };
        node.lock().read_init()?;
        // Beside the start of the others.
        images::write_all(&node.state.join("images"), |archive| node.lock().order(&archive.display().to_string()))?;
        node.lock().order("")?;
        node.wait_until_ready("")?;
        Ok(node)
    }

    /// Ends every process of the cluster at once, and starts it on what is stored: a reboot. Blocks until the node is ready.
    ///
    /// # Caveats
    /// Kubernetes only notices a moment later that the Pods have gone.
    pub fn restart(&self) -> Result<()> {
        let before = self.heartbeat()?;
        let mut supervisor = self.lock();
        supervisor.order("restart")?;
        supervisor.read_init()?;
        supervisor.order("")?; // no more images
        drop(supervisor);
        self.wait_until_ready(&before)
    }

    /// A directory of the node for a volume, which the user of the chart's Pods may write to.
    pub fn volume(&self, name: &str) -> Result<PathBuf> {
        let path = self.state.join("volumes").join(name);
        fs::create_dir_all(&path)?;
        chown(&path, Some(USER), Some(USER))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        Ok(path)
    }

    /// A program of this machine in the network of the cluster, which knows the cluster.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init().to_string(), "--net"]).arg(program).env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Every right, from within the cluster's network.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// The process whose network namespace is the cluster's.
    #[must_use]
    pub fn init(&self) -> u32 {
        self.lock().init
    }

    fn lock(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_ready(&self, last_heartbeat: &str) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let heartbeat = self.heartbeat().unwrap_or_default();
            if !heartbeat.is_empty() && heartbeat != last_heartbeat {
                return Ok(());
            }
            let ended = self.lock().process.try_wait()?;
            ensure!(ended.is_none(), "the cluster has ended: its scripts failed");
            ensure!(Instant::now() < deadline, "no node is ready after {READY_WITHIN:?}:\n{}", self.log_tails());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// When the kubelet last said that it is ready; empty while it is not. Fails while there is no API server.
    fn heartbeat(&self) -> Result<String> {
        let path = "jsonpath={.items[*].status.conditions[?(@.status=='True')].lastHeartbeatTime}";
        let output = self.command(&self.kubectl).args(["get", "nodes", "-o", path]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The last lines of each log.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let mut tails = String::new();
        for file in fs::read_dir(self.state.join("logs")).into_iter().flatten().flatten() {
            let log = fs::read(file.path()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(8)..].join("\n");
            let _ = writeln!(tails, "--- {}\n{tail}", file.file_name().display()); // a String takes everything
        }
        tails
    }
}

impl Supervisor {
    fn order(&mut self, line: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the cluster has ended")?;
        orders.write_all(format!("{line}\n").as_bytes()).context("the cluster has ended")
    }

    fn read_init(&mut self) -> Result<()> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        self.init = line.trim().parse().with_context(|| format!("no process id of PID 1: {line:?}"))?;
        Ok(())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.wait(); // nobody to tell, and it cleans up by itself
    }
}

fn check_machine() -> Result<()> {
    let uid = Command::new("id").arg("--user").output().context("cannot run id")?;
    if uid.stdout.trim_ascii() != b"0" {
        bail!("a cluster of our own needs root. Run this as root, or set KUBECONFIG to another cluster");
    }
    let missing: Vec<&str> =
        DEBIAN.into_iter().filter(|(program, _)| !is_present(program)).map(|(_, name)| name).collect();
    ensure!(missing.is_empty(), "a cluster of our own needs more programs: apt-get install {}", missing.join(" "));
    ensure!(
        Path::new("/sys/fs/cgroup/memory").is_dir(),
        "a cluster of our own needs cgroups of version 1, which are not at /sys/fs/cgroup: set KUBECONFIG to another cluster"
    );
    Ok(())
}

/// Programs that no Go module has, each with its package.
const DEBIAN: [(&str, &str); 4] = [("ip", "iproute2"), ("nft", "nftables"), ("pgrep", "procps"), ("runc", "runc")];

fn is_present(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file())
}

fn surroundings(command: &mut Command, state: &Path, assets: &Assets, programs: &NodePrograms) -> Result<()> {
    let mut directories = programs.path.clone();
    for program in [&assets.etcd, &assets.kube_apiserver, &assets.kube_controller_manager, &assets.kubectl] {
        directories.extend(program.parent().map(Path::to_owned));
    }
    command.env("STATE", state).env("CGROUP", state.file_name().unwrap_or_default()).env("CNI", &programs.cni);
    command.env("PROGRAMS", std::env::join_paths(directories)?);
    Ok(())
}
