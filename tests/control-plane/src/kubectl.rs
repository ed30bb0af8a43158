//! `kubectl`, for what tests say in YAML.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::task::spawn_blocking;

use crate::plane::ControlPlane;

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
    /// A `kubectl` with every right, to add arguments to. It leaves nothing in the home directory.
    #[must_use]
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.assets().kubectl);
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.path("kubectl-cache"))
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
