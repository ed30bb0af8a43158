//! Runs a process that cannot outlive the one which started it.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeWriter};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;

const SCRIPT: &str = include_str!("supervise.sh");
/// From SIGTERM to SIGKILL, unless said otherwise.
const GRACE: Duration = Duration::from_secs(5);
/// What the supervisor itself may need on a machine that is busy.
const SLACK: Duration = Duration::from_secs(10);

/// A process which ends when this value is dropped, and when the process that holds it ends, even by SIGKILL.
///
/// Between the two stands a small `sh` that waits for its standard input to close. Its child is sent SIGTERM then, and
/// SIGKILL some seconds later.
///
/// # Caveats
/// The child starts with SIGINT and SIGQUIT ignored, as every background job of a shell does, and without standard
/// input. [`Command::env_clear`] cannot be seen from outside and does nothing here. Only the child is ended, not what it
/// has started.
#[derive(Debug)]
pub struct Supervised {
    pid: u32,
    log: PathBuf,
    lifeline: Mutex<Option<ChildStdin>>,
    grace: Duration,
    exit: watch::Receiver<Option<Exit>>,
}

impl Supervised {
    /// Starts `command` with its output appended to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be written, or there is no `sh`. A program that does not exist is an [`Exit`] with code 127.
    pub fn spawn(command: &Command, log: impl AsRef<Path>) -> Result<Self> {
        Self::spawn_with(command, log.as_ref(), GRACE, None)
    }

    /// As [`Self::spawn`]; `held` stays open until the child has ended, so that others can wait for that.
    pub(crate) fn spawn_with(command: &Command, log: &Path, grace: Duration, held: Option<PipeWriter>) -> Result<Self> {
        let log = std::path::absolute(log)?;
        File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut supervisor = sh(SCRIPT);
        supervisor.arg(&log).arg(grace.as_secs().to_string()).arg(command.get_program()).args(command.get_args());
        same_surroundings(&mut supervisor, command);
        supervisor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(held.map_or_else(Stdio::null, Stdio::from));
        let mut supervisor = supervisor.spawn().context("cannot start sh")?;
        let lifeline = supervisor.stdin.take().context("sh has no standard input")?;
        let mut told = BufReader::new(supervisor.stdout.take().context("sh has no standard output")?);
        let pid = number(&mut told).context("the supervisor did not start its command")?;
        let (end, exit) = watch::channel(None);
        thread::Builder::new().name(format!("wait-{pid}")).spawn(move || {
            end.send_replace(Some(ended(supervisor, told)));
        })?;
        Ok(Self { pid, log, lifeline: Mutex::new(Some(lifeline)), grace, exit })
    }

    /// The process id of the command itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by its name without `SIG`: `STOP`, `CONT`, `TERM`, `KILL`, `HUP`.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        if let Some(exit) = self.try_wait() {
            bail!("no SIG{name} for process {}: {exit}", self.pid);
        }
        let sent = sh("kill -s \"$1\" \"$2\"").arg(name).arg(self.pid.to_string()).output()?;
        ensure!(sent.status.success(), "SIG{name} for {}: {}", self.pid, String::from_utf8_lossy(&sent.stderr).trim());
        Ok(())
    }

    /// How the process ended, if it has.
    #[must_use]
    pub fn try_wait(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// When it still runs after `within`.
    pub async fn wait(&self, within: Duration) -> Result<Exit> {
        let still = || format!("process {} still runs after {within:?}; its log ends:\n{}", self.pid, self.log_tail());
        tokio::time::timeout(within, self.ended()).await.with_context(still)
    }

    /// Waits for the process to end, however long that takes.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        let exit = exit.wait_for(Option::is_some).await;
        exit.ok().and_then(|exit| *exit).unwrap_or(Exit(None))
    }

    /// Ends the process: SIGTERM, and SIGKILL after five seconds. Not an error if it has ended before.
    ///
    /// # Errors
    /// When it runs on regardless.
    pub async fn stop(&self) -> Result<Exit> {
        drop(self.lifeline.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.wait(self.grace + SLACK).await
    }

    /// Waits until the log has `text` somewhere.
    ///
    /// # Errors
    /// When the process ends without, or `within` is over; with the end of its log.
    pub async fn logged(&self, text: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let exit = self.try_wait(); // before the log is read, so that its last words count
            if self.log().contains(text) {
                return Ok(());
            }
            if let Some(exit) = exit {
                bail!("process {} {exit} and never logged {text:?}; its log ends:\n{}", self.pid, self.log_tail());
            }
            ensure!(Instant::now() < deadline, "no {text:?} after {within:?}; the log ends:\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the process has written to its standard output and error so far.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.log)
    }

    /// Where [`Self::log`] is read from.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log, for an error.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

/// How a supervised process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(Option<u8>);

impl Exit {
    /// Whether it ended with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self.code() == Some(0)
    }

    /// The exit code, unless a signal ended it. As in a shell, codes over 128 count as signals.
    #[must_use]
    pub fn code(self) -> Option<u8> {
        self.0.filter(|status| *status <= 128)
    }

    /// The number of the signal that ended it.
    #[must_use]
    pub fn signal(self) -> Option<u8> {
        self.0.and_then(|status| status.checked_sub(128)).filter(|signal| *signal > 0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "ended with code {code}"),
            (None, Some(signal)) => write!(f, "ended by signal {signal}"),
            (None, None) => f.write_str("ended, and its supervisor as well"),
        }
    }
}

/// `sh` with a script, in a process group of its own: Ctrl-C is for the owner, which ends the rest.
pub(crate) fn sh(script: &str) -> Command {
    let mut sh = Command::new("sh");
    sh.args(["-c", script, "sh"]).process_group(0);
    sh
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// A file as text; a missing one is empty.
fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn same_surroundings(supervisor: &mut Command, command: &Command) {
    for (name, value) in command.get_envs() {
        set_env(supervisor, name, value);
    }
    if let Some(directory) = command.get_current_dir() {
        supervisor.current_dir(directory);
    }
}

fn set_env(command: &mut Command, name: &OsStr, value: Option<&OsStr>) {
    match value {
        Some(value) => command.env(name, value),
        None => command.env_remove(name),
    };
}

/// Blocks until the supervisor has ended, and takes its word for how the child did.
fn ended(mut supervisor: Child, mut told: BufReader<ChildStdout>) -> Exit {
    let status = number(&mut told).ok();
    let _ = supervisor.wait(); // only so that no zombie stays
    Exit(status)
}

fn number<N>(lines: &mut BufReader<ChildStdout>) -> Result<N>
where
    N: std::str::FromStr,
    N::Err: std::error::Error + Send + Sync + 'static,
{
    let mut line = String::new();
    lines.read_line(&mut line)?;
    Ok(line.trim().parse()?)
}
