//! What tests ask of a cluster, through `kubectl` and `helm` alone: one of our own, or the one that `KUBECONFIG` names.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use control_plane::{Assets, Tool};
use serde_json::Value;

use crate::images;
use crate::node::Node;

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    node: Option<Node>,
    kubectl: PathBuf,
    helm: PathBuf,
    snaphook_image: String,
    /// For what kubectl and helm keep, and for the plugin.
    scratch: PathBuf,
}

impl Cluster {
    /// The cluster that `KUBECONFIG` names, with the image that `SNAPHOOK_CLUSTER_IMAGE` names; without `KUBECONFIG`, one of our
    /// own. Blocks.
    ///
    /// # Errors
    /// When only one of the two is set, when the cluster does not answer, or when one of our own cannot be started.
    pub fn connect_or_start() -> Result<Self> {
        let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let (kubectl, helm) = (Assets::find()?.kubectl, Tool::Helm.find()?);
        let (node, snaphook_image) = match (set("KUBECONFIG"), set("SNAPHOOK_CLUSTER_IMAGE")) {
            (Some(_), Some(image)) => (None, image),
            (None, None) => (Some(Node::start()?), images::SNAPHOOK.to_owned()),
            (Some(_), None) => bail!(
                "KUBECONFIG names a cluster: set SNAPHOOK_CLUSTER_IMAGE to the image of Snaphook that you have built and \
                 loaded there, or unset KUBECONFIG for a cluster of our own"
            ),
            (None, Some(_)) => {
                bail!("SNAPHOOK_CLUSTER_IMAGE is for the cluster that KUBECONFIG names, which is not set")
            }
        };
        let scratch = std::env::temp_dir().join(format!("snaphook-suite-{}", std::process::id()));
        fs::create_dir(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        let cluster = Self { node, kubectl, helm, snaphook_image, scratch };
        cluster.kubectl(&["get", "nodes"]).context("the cluster does not answer")?;
        Ok(cluster)
    }

    /// The cluster of our own, if it is one.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// The image of Snaphook.
    #[must_use]
    pub fn snaphook_image(&self) -> &str {
        &self.snaphook_image
    }

    /// Runs `kubectl` and returns what it says.
    ///
    /// # Errors
    /// When it fails; with its complaint.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with_input(arguments, "")
    }

    /// Runs `kubectl` with `input` for its `-f -`.
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        run(self.command(&self.kubectl).args(arguments), input)
    }

    /// Applies YAML in a namespace.
    pub fn apply(&self, namespace: &str, yaml: &str) -> Result<()> {
        self.kubectl_with_input(&["apply", "--server-side", "-n", namespace, "-f", "-"], yaml).map(drop)
    }

    /// Gets one object, or a list.
    pub fn get(&self, namespace: &str, what: &[&str]) -> Result<Value> {
        let arguments = [&["get", "-n", namespace, "-o", "json"], what].concat();
        Ok(serde_json::from_str(&self.kubectl(&arguments)?)?)
    }

    /// One value of a Secret, as text.
    pub fn secret_value(&self, namespace: &str, name: &str, key: &str) -> Result<String> {
        let secret = self.get(namespace, &["secret", name])?;
        let value =
            secret["data"][key].as_str().with_context(|| format!("no {key} in the Secret {namespace}/{name}"))?;
        Ok(String::from_utf8(BASE64_STANDARD.decode(value)?)?)
    }

    /// Runs a command in a Pod, named as `pod/NAME` or `deploy/NAME`.
    pub fn exec(&self, namespace: &str, target: &str, command: &[&str]) -> Result<String> {
        self.kubectl(&[&["exec", "-n", namespace, target, "--"], command].concat())
    }

    /// Follows the lines of `kubectl ARGUMENTS…`, such as `logs -f` or `get -w`.
    pub fn follow(&self, arguments: &[&str]) -> Result<Following> {
        Following::start(self.command(&self.kubectl).args(arguments))
    }

    /// Starts `kubectl ARGUMENTS…` that goes on until its standard input ends, and then prints what became of it, as JSON.
    pub fn load(&self, arguments: &[&str]) -> Result<Load> {
        Load::start(self.command(&self.kubectl).args(arguments))
    }

    /// Runs `helm`; it keeps nothing in the home directory.
    ///
    /// # Errors
    /// When it fails; with its complaint.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.helm_with_input(arguments, "")
    }

    /// Runs `helm` with `input` for its `--values -`.
    pub fn helm_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(&self.helm);
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), self.scratch.join(kind.to_lowercase()));
        }
        run(command.args(arguments), input)
    }

    /// Runs `kubectl snaphook`, which is this workspace's own program.
    ///
    /// # Errors
    /// When it fails; with all that it says.
    pub fn snaphook(&self, arguments: &[&str]) -> Result<String> {
        let plugin = self.scratch.join("kubectl-snaphook");
        if !plugin.exists() {
            symlink(images::build("snaphook")?, &plugin)?;
        }
        // The plugin runs kubectl in its turn.
        let directories =
            [Some(self.scratch.as_path()), self.kubectl.parent(), Some(Path::new("/usr/bin")), Some(Path::new("/bin"))];
        let mut command = self.command(&self.kubectl);
        command.env("PATH", std::env::join_paths(directories.into_iter().flatten())?).arg("snaphook").args(arguments);
        run(&mut command, "")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = self.node.as_ref().map_or_else(|| Command::new(program), |node| node.command(program));
        command.env("KUBECACHEDIR", self.scratch.join("kubectl")).env("KUBERC", "off");
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.scratch); // nobody to tell
    }
}

/// Asks again until there is an answer; a failure counts as none.
///
/// # Errors
/// When there is none `within` that time; with the last failure.
pub fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let failure = match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() > deadline {
            let failure = failure.map_or_else(String::new, |error| format!(": {error:#}"));
            bail!("still not after {within:?}: {what}{failure}");
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Load that goes on until it is ended.
#[derive(Debug)]
pub struct Load {
    command: Child,
}

impl Load {
    fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { command: command.spawn().context("cannot run kubectl")? })
    }

    /// Ends the load and says what became of it.
    ///
    /// # Errors
    /// When it has failed; with its complaint.
    pub fn end(&mut self) -> Result<Value> {
        drop(self.command.stdin.take());
        let read = |pipe: Option<&mut dyn Read>| {
            let mut text = String::new();
            pipe.context("a load ends once")?.read_to_string(&mut text)?;
            anyhow::Ok(text)
        };
        let said = read(self.command.stdout.as_mut().map(|pipe| pipe as &mut dyn Read))?;
        let complaint = read(self.command.stderr.as_mut().map(|pipe| pipe as &mut dyn Read))?;
        let status = self.command.wait()?;
        ensure!(status.success(), "load: {status}: {said}{complaint}");
        serde_json::from_str(&said).with_context(|| format!("load: {said}{complaint}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.command.kill(); // it may have ended
        let _ = self.command.wait();
    }
}

/// The lines of a command that goes on; it ends when this is dropped.
#[derive(Debug)]
pub struct Following {
    command: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(command: &mut Command) -> Result<Self> {
        let mut command = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run kubectl")?;
        let output = BufReader::new(command.stdout.take().context("kubectl has no standard output")?);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { command, lines })
    }

    /// The next line that fits.
    ///
    /// # Errors
    /// When none comes `within` that time, or the command ends before; with the lines that did not fit.
    pub fn line(&self, what: &str, within: Duration, fits: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + within;
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if fits(&line) => return Ok(line),
                Ok(line) => others.push(line),
                Err(RecvTimeoutError::Timeout) => bail!("no line {what} after {within:?}, only {others:#?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("no line {what}, and no more to come after {others:#?}"),
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.command.kill(); // it may have ended by itself
        let _ = self.command.wait();
    }
}

fn run(command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let input = input.to_owned();
    // Beside the reading: a command that says much before it has read all would wait for ever.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let _ = writer.join(); // a command that does not want to read says so itself
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}: {}: {said}{complaint}", arguments.join(" "), output.status);
    Ok(said.into_owned())
}
