//! Flow 1 without a cluster: runs the lines that a person types or pastes into the terminal of `snaphook dev`.
//!
//! While `snaphook dev` is in the foreground, no shell reads the terminal, and a person would need a second one for the lines that are
//! printed. So they go to one `sh`, started at the first of them: variables such as `$token` live from one paste to the next. It and all
//! that it starts are a process group of their own, which ends with `snaphook dev`.
//!
//! The terminal is never read in the background: the operating system would stop this process for that (SIGTTIN), and what is typed
//! is meant for another.

use std::{
    io::{self, ErrorKind, IsTerminal as _, Stdin},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, read, retry_on_intr},
    process::{Pid, Signal, getpgrp, kill_process_group, test_kill_process_group},
    termios::tcgetpgrp,
};
use tokio::{net::unix::pipe, sync::mpsc};

/// How often it is checked whether this process is in the foreground again, and whether the lines are still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const POLL_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// A terminal hands out one line at a time, and cuts what is longer.
const LONGEST_LINE: usize = 4096;
/// Lines that wait for the shell. The terminal is read on all the same, or Ctrl-C would wait as well.
const WAITING_LINES: usize = 1024;

/// Runs what is typed into the terminal. Dropping it ends what runs.
#[derive(Debug)]
pub struct Shell {
    /// An empty one is Ctrl-D.
    lines: mpsc::Receiver<Vec<u8>>,
    sh: Option<Sh>,
    /// Those that end or have ended, while something runs that they started.
    ending: Vec<Sh>,
}

/// Whether what is typed into the terminal is meant for this process. Not where standard input is no terminal.
#[must_use]
pub fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

impl Shell {
    /// Begins to read the terminal. Absent where standard input is none.
    ///
    /// # Errors
    /// There is no thread to read on.
    pub fn on_terminal() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let (sender, lines) = mpsc::channel(WAITING_LINES);
        // A thread of its own: a read that takes long must not keep the program from ending.
        thread::Builder::new().name("terminal".into()).spawn(move || {
            if let Err(error) = read_lines(&io::stdin(), &sender) {
                tracing::warn!(%error, "the terminal cannot be read any more");
            }
        })?;
        Ok(Some(Self { lines, sh: None, ending: Vec::new() }))
    }

    /// Runs what is typed, until the terminal is gone.
    ///
    /// # Errors
    /// There is no `sh`.
    pub async fn run(mut self) -> io::Result<()> {
        while let Some(line) = self.lines.recv().await {
            if line.is_empty() {
                self.end_input();
            } else {
                self.run_line(&line).await?;
            }
        }
        Ok(())
    }

    /// Ends the shell once it is done with what it has. The next line starts another.
    fn end_input(&mut self) {
        self.ending.retain_mut(|sh| !sh.is_over());
        if let Some(mut sh) = self.sh.take() {
            sh.input = None;
            self.ending.push(sh);
        }
    }

    async fn run_line(&mut self, line: &[u8]) -> io::Result<()> {
        // After `exit`.
        if self.sh.as_mut().is_some_and(Sh::has_ended) {
            self.end_input();
        }
        let sh = match &mut self.sh {
            Some(sh) => sh,
            none => none.insert(Sh::start()?),
        };
        sh.run(line).await
    }
}

/// Reads for as long as somebody takes the lines and the terminal is there.
fn read_lines(terminal: &Stdin, lines: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let mut is_told = false;
    while !lines.is_closed() {
        let mut polled = [PollFd::new(terminal, PollFlags::IN)];
        match poll(&mut polled, Some(&POLL_TIMEOUT)) {
            Err(Errno::INTR) | Ok(0) => continue,
            result => result?,
        };
        if !polled[0].revents().contains(PollFlags::IN) {
            return Ok(());
        }
        if !is_in_foreground() {
            thread::sleep(LOOK_AGAIN);
            continue;
        }
        let line = read_line(terminal)?;
        if line.is_empty() {
            // A terminal that is gone says so at once, and again and again.
            thread::sleep(LOOK_AGAIN);
        }
        if line.len() >= LONGEST_LINE {
            tracing::warn!("a line of {LONGEST_LINE} bytes or more is not run: the terminal has cut it");
            continue;
        }
        let has_room = lines.try_send(line).is_ok();
        if !has_room && !is_told {
            tracing::warn!("{WAITING_LINES} lines wait for the shell: what is pasted now is not run");
        }
        is_told = !has_room;
    }
    Ok(())
}

/// Past the buffer of standard input, which would hide from `poll` what it holds.
fn read_line(terminal: &Stdin) -> io::Result<Vec<u8>> {
    let mut line = vec![0; LONGEST_LINE];
    let length = retry_on_intr(|| read(terminal, &mut line))?;
    line.truncate(length);
    Ok(line)
}

/// A running `sh`, which ends with this value.
#[derive(Debug)]
struct Sh {
    process: Child,
    /// Absent once nothing more is to come.
    input: Option<pipe::Sender>,
}

impl Sh {
    /// What it prints goes to the terminal.
    fn start() -> io::Result<Self> {
        let mut process = Command::new("sh").stdin(Stdio::piped()).process_group(0).spawn()?;
        let input = process.stdin.take().map(|input| pipe::Sender::from_owned_fd(input.into())).transpose()?;
        Ok(Self { process, input })
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Whether nothing runs any more that it started.
    fn is_over(&mut self) -> bool {
        self.has_ended() && self.group().is_none_or(|group| test_kill_process_group(group).is_err())
    }

    fn group(&self) -> Option<Pid> {
        self.process.id().try_into().ok().and_then(Pid::from_raw)
    }

    async fn run(&self, mut lines: &[u8]) -> io::Result<()> {
        let Some(input) = &self.input else { return Ok(()) };
        while !lines.is_empty() {
            input.writable().await?;
            match input.try_write(lines) {
                Ok(written) => lines = lines.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It has ended in this moment: what was pasted after `exit` goes nowhere.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Sh {
    fn drop(&mut self) {
        // The number of a group that is over may be another's by now.
        if !self.is_over()
            && let Some(group) = self.group()
        {
            // An error means that it has ended in this moment.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.process.wait();
        }
    }
}
