//! One process of the control plane: it can be stopped, frozen, and started again with the same arguments.

use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::{sleep, timeout};

use crate::supervise::{Exit, Supervised};

/// How long a machine that is busy with a build may take to start one of them.
const START: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(25);
/// The API server and etcd wait for their clients to leave, which those never do.
const GRACE: Duration = Duration::from_secs(1);

/// etcd, the API server, or the controller manager.
#[derive(Debug)]
pub struct Component {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    logs: PathBuf,
    lifeline: PipeWriter,
    ready: Ready,
    process: Mutex<Arc<Supervised>>,
    starts: AtomicU32,
}

/// What shows that a component works.
#[derive(Debug)]
pub(crate) enum Ready {
    /// `/readyz` says so to the holder of this kubeconfig.
    Readyz(PathBuf),
    /// It has logged this, since it was started.
    Logged(&'static str),
}

/// What it takes to start a component.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// A directory.
    pub(crate) logs: PathBuf,
    pub(crate) lifeline: PipeWriter,
    pub(crate) ready: Ready,
}

impl Component {
    /// Starts the process, without waiting until it is ready.
    pub(crate) fn launch(recipe: Recipe) -> Result<Self> {
        let Recipe { name, program, arguments, logs, lifeline, ready } = recipe;
        let first = spawn(&program, &arguments, &log(&logs, name, 0), &lifeline)?;
        Ok(Self {
            name,
            program,
            arguments,
            logs,
            lifeline,
            ready,
            process: Mutex::new(Arc::new(first)),
            starts: AtomicU32::new(1),
        })
    }

    /// The name of its binary.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its process, as it is now; another one after [`Self::start`].
    #[must_use]
    pub fn process(&self) -> Arc<Supervised> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it politely: SIGTERM, and SIGKILL after a second, which is how it ends when it still has clients.
    pub async fn stop(&self) -> Result<Exit> {
        self.process().stop().await
    }

    /// Ends it with SIGKILL, as a node that loses power does.
    pub async fn kill(&self) -> Result<Exit> {
        let process = self.process();
        if process.try_wait().is_none() {
            process.signal("KILL")?;
        }
        process.wait(START).await
    }

    /// SIGSTOP: connections stay open, and nothing is answered.
    pub fn freeze(&self) -> Result<()> {
        self.process().signal("STOP")
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<()> {
        self.process().signal("CONT")
    }

    /// Starts it again, on the same port and with the same data, and waits until it is ready. It must have ended.
    pub async fn start(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            self.launch_again()?;
            match self.ready().await {
                // A client that tried to connect meanwhile can have been given this very port as its own.
                Err(error) if lost_a_port(&error) && Instant::now() < deadline => {}
                ready => return ready,
            }
        }
    }

    /// [`Self::stop`] and [`Self::start`].
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Waits until it works.
    ///
    /// # Errors
    /// When it ends instead, or takes too long; with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        while !self.is_ready().await {
            let process = self.process();
            if let Some(exit) = process.try_wait() {
                bail!("{} {exit}; its log ends:\n{}", self.name, process.log_tail());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {START:?}; its log ends:\n{}", self.name, process.log_tail());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until its present process ends, however long that takes.
    pub async fn ended(&self) {
        self.process().ended().await;
    }

    /// What it has logged since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process().log()
    }

    async fn is_ready(&self) -> bool {
        let attempt = async {
            match &self.ready {
                Ready::Readyz(kubeconfig) => readyz(kubeconfig).await.is_ok(),
                Ready::Logged(text) => self.log().contains(text),
            }
        };
        timeout(Duration::from_secs(5), attempt).await.unwrap_or(false)
    }

    fn launch_again(&self) -> Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if process.try_wait().is_none() {
            bail!("{} still runs", self.name);
        }
        let log = log(&self.logs, self.name, self.starts.fetch_add(1, Ordering::Relaxed));
        *process = Arc::new(spawn(&self.program, &self.arguments, &log, &self.lifeline)?);
        Ok(())
    }
}

/// One log for each start, so that what is read is about the process that runs.
fn log(logs: &Path, name: &str, start: u32) -> PathBuf {
    logs.join(format!("{name}-{start}.log"))
}

fn spawn(program: &Path, arguments: &[String], log: &Path, lifeline: &PipeWriter) -> Result<Supervised> {
    let mut command = Command::new(program);
    // Whatever it leaves behind by chance goes with the log's directory.
    command.args(arguments).current_dir(log.parent().context("a log in no directory")?);
    Supervised::spawn_with(&command, log, GRACE, Some(lifeline.try_clone()?))
}

/// Whether an error is about a port that someone else has taken between its choice and its use.
pub(crate) fn lost_a_port(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("address already in use")
}

/// A client with the rights of a kubeconfig, bound to the runtime of the caller.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let config =
        Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

async fn readyz(kubeconfig: &Path) -> Result<()> {
    client(kubeconfig).await?.request_text(Request::get("/readyz").body(Vec::new())?).await?;
    Ok(())
}
