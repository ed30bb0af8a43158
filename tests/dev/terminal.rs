//! The first command on a terminal: a person needs no second one.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use control_plane::{Exit, Supervised};
use tokio::time::sleep;

use crate::laptop::{NOTES, READY, SOON, command, copy_of, free_address, notes, save, step};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
/// How long an answer is waited for before the lines are pasted once more.
const PASTE_AGAIN: Duration = Duration::from_secs(2);
const VALUE: &str = "bGlua2Vwb25h";

/// A pseudo terminal in which a command runs, made by `script` of util-linux. What is typed comes from a named pipe.
struct Terminal {
    keyboard: File,
    process: Supervised,
}

impl Terminal {
    /// A shell in the terminal runs `line`. Returns once `snaphook dev` has printed its first words.
    async fn start(directory: &Path, line: &str) -> Self {
        let pipe = directory.with_extension("keyboard");
        let log = directory.with_extension("log");
        let _ = (fs::remove_file(&pipe), fs::remove_file(&log));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // For reading as well: that waits for no reader, and the pipe has no end before the test.
        let keyboard = File::options().read(true).write(true).open(&pipe).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec script -qec "$2" /dev/null <"$1""#, "sh"]).arg(&pipe).arg(line);
        shell.env(NOTES, notes());
        let process = Supervised::spawn(&shell, log).unwrap();
        process.logged(READY, SOON).await.unwrap();
        Self { keyboard, process }
    }

    fn paste(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// What is on the screen: also what was pasted, as the terminal echoes it.
    fn screen(&self) -> String {
        self.process.log().replace('\r', "")
    }

    /// Waits for the first line of which `wanted` holds.
    async fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let screen = self.screen();
            // The last one may not be whole yet.
            let complete = screen.rsplit_once('\n').map_or("", |(lines, _)| lines);
            if let Some(line) = complete.lines().find(|line| wanted(line)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "no line with {what} on:\n{screen}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Pastes until there is a line that begins with `line`: what happened before may take effect a moment later. Each answer
    /// begins with a brace; without one, the lines are pasted again after a while.
    async fn paste_until(&mut self, text: &str, line: &str) {
        let deadline = Instant::now() + SOON;
        while !self.screen().lines().any(|found| found.starts_with(line)) {
            assert!(Instant::now() < deadline, "no line {line:?} on:\n{}", self.screen());
            let (before, pasted) = (self.answers(), Instant::now());
            self.paste(text);
            while self.answers() == before && pasted.elapsed() < PASTE_AGAIN {
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn answers(&self) -> usize {
        self.screen().lines().filter(|line| line.starts_with('{')).count()
    }

    async fn ended(&self) -> Exit {
        self.process.wait(SOON).await.unwrap()
    }
}

/// The quickstart in a directory of a test's own, with a receiver of its own.
struct Quickstart {
    directory: PathBuf,
    receiver: String,
}

impl Quickstart {
    fn new(test: &str) -> Self {
        let (directory, receiver) = (copy_of(test, "quickstart"), free_address().to_string());
        let alerts = fs::read_to_string(directory.join("alerts.yaml")).unwrap();
        save(&directory.join("alerts.yaml"), &alerts.replace("127.0.0.1:9000", &receiver));
        Self { directory, receiver }
    }

    /// The line that starts `snaphook dev`.
    fn command(&self, listen: &str) -> String {
        let command = command(&self.directory, listen, &self.receiver);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| format!("'{}'", word.display())).collect::<Vec<_>>().join(" ")
    }

    fn key(&self, secret: &str, key: &str) -> String {
        let file = self.directory.join(".snaphook/secrets/demo").join(secret).join(key);
        fs::read_to_string(file).unwrap()
    }

    /// What has to be the same after a restart.
    fn state(&self) -> [String; 4] {
        [
            self.key("billing-credential", "client-secret"),
            self.key("gateway-credential", "client-secret"),
            self.key("alerts-webhook", "url"),
            self.key("alerts-webhook", "signing-secret"),
        ]
    }
}

#[tokio::test]
async fn the_first_command_shows_the_main_job_whole() {
    let quickstart = Quickstart::new("terminal-whole");
    let mut terminal = Terminal::start(&quickstart.directory, &quickstart.command(&free_address().to_string())).await;
    let greeting = terminal.screen();
    let state = quickstart.state();
    for made in ["billing-credential", "gateway-credential", "pager-webhook-credential", "alerts-webhook", &state[2]] {
        assert!(greeting.lines().any(|line| line.ends_with(made)), "{made}:\n{greeting}");
    }
    assert!(greeting.contains("Paste the lines here, or into another terminal."), "{greeting}");
    assert!(!greeting.lines().any(|line| line.starts_with(['{', 'e'])), "what is waited for below:\n{greeting}");

    terminal.paste(&step(&greeting, "access token"));
    let token = terminal.line("a token", |line| line.starts_with("ey")).await;
    assert_eq!(token.split('.').count(), 3, "{token}");

    terminal.paste(&step(&greeting, "check the token"));
    terminal.line("an active token", |line| line.starts_with(r#"{"active":true"#)).await;

    terminal.paste(&step(&greeting, "Post to Webhook demo/alerts"));
    let answer = terminal.line("the answer to a post", |line| line.starts_with(r#"{"id":"msg_"#)).await;
    assert!(answer.ends_with("} 200"), "{answer}");
    let id = answer.split('"').nth(3).unwrap();
    terminal.line("the delivery", |line| line.contains("Delivered       POST /alerts") && line.ends_with(id)).await;
    let credential = "header clientid: ***  added from WebhookCredential demo/pager";
    terminal.line("the credential", |line| line.trim() == credential).await;
    terminal.line("the body", |line| line.trim() == r#"{"status":"firing","alert":"disk full"}"#).await;

    let billing = fs::read_to_string(quickstart.directory.join("billing.yaml")).unwrap();
    save(&quickstart.directory.join("billing.yaml"), &(billing + "  revoked: true\n"));
    terminal.line("the edit", |line| line.contains("Revoked") && line.contains("demo/billing")).await;
    terminal.paste_until(&step(&greeting, "check the token"), r#"{"active":false}"#).await;

    terminal.paste(CTRL_C);
    assert!(terminal.ended().await.success(), "{}", terminal.screen());
    let secrets = [&state[0], &state[1], &state[3], VALUE];
    assert!(!secrets.iter().any(|secret| terminal.screen().contains(*secret)), "{}", terminal.screen());

    let address = state[2].trim_start_matches("http://").split('/').next().unwrap();
    let mut terminal = Terminal::start(&quickstart.directory, &quickstart.command(address)).await;
    assert_eq!(quickstart.state(), state);
    let greeting = terminal.screen();
    assert!(greeting.contains(&format!("URL        {}\n", state[2])), "{greeting}");
    assert!(greeting.contains("AppCredential demo/billing  Revoked\n"), "{greeting}");
    let again = "demo/billing is revoked. To go through all steps, remove \"revoked: true\" from ";
    assert!(greeting.contains(again), "{greeting}");
    assert!(!greeting.contains("Revoke demo/gateway"), "it checks tokens: {greeting}");
    terminal.paste(CTRL_C);
    assert!(terminal.ended().await.success(), "{}", terminal.screen());
}

#[tokio::test]
async fn every_line_can_be_pasted_at_once_and_the_last_one_revokes() {
    let quickstart = Quickstart::new("terminal-at-once");
    let mut terminal = Terminal::start(&quickstart.directory, &quickstart.command("127.0.0.1:0")).await;
    let greeting = terminal.screen();
    for words in ["access token", "check the token", "Post to Webhook demo/alerts", "Revoke demo/billing"] {
        terminal.paste(&step(&greeting, words));
    }
    terminal.line("an active token", |line| line.starts_with(r#"{"active":true"#)).await;
    terminal.line("the delivery", |line| line.contains("Delivered       POST /alerts")).await;
    terminal.line("the edit", |line| line.contains("Revoked") && line.contains("demo/billing")).await;
    terminal.paste_until(&step(&greeting, "check the token"), r#"{"active":false}"#).await;
    terminal.paste(CTRL_C);
    assert!(terminal.ended().await.success());
}

#[tokio::test]
async fn exit_and_ctrl_d_end_the_shell_alone() {
    let quickstart = Quickstart::new("terminal-exit");
    let mut terminal = Terminal::start(&quickstart.directory, &quickstart.command("127.0.0.1:0")).await;
    for (number, end) in ["exit\n", CTRL_D].into_iter().enumerate() {
        // Computed, as the terminal echoes what is typed.
        terminal.paste(&format!("x=set; echo {{$x-{number}}}\n"));
        terminal.line("the variable", |line| line == format!("{{set-{number}}}")).await;
        terminal.paste(end);
        terminal.paste_until(&format!("echo {{${{x:-unset}}-{number}}}\n"), &format!("{{unset-{number}}}")).await;
    }
    terminal.paste(CTRL_C);
    assert!(terminal.ended().await.success());
}

#[tokio::test]
async fn ctrl_c_ends_what_was_pasted_as_well() {
    let quickstart = Quickstart::new("terminal-ctrl-c");
    let mut terminal = Terminal::start(&quickstart.directory, &quickstart.command("127.0.0.1:0")).await;
    // What Ctrl-D ended goes on, and what is in the background as well.
    terminal.paste("sleep 1001 & echo \"{$!}\"; sleep 1002\n");
    let background = process_id(&terminal, 0).await;
    terminal.paste(CTRL_D);
    terminal.paste("trap '' INT; echo \"{$$}\"; sleep 1003\n");
    let shell = process_id(&terminal, 1).await;
    assert!(is_running(&background) && is_running(&shell), "{}", terminal.screen());
    terminal.paste(CTRL_C);
    assert!(terminal.ended().await.success(), "{}", terminal.screen());
    for process in [&background, &shell] {
        let deadline = Instant::now() + SOON;
        while is_running(process) {
            assert!(Instant::now() < deadline, "{process} still runs");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The process id that a pasted line prints in braces, after so many earlier ones.
async fn process_id(terminal: &Terminal, earlier: usize) -> String {
    let is_id = |line: &str| line.starts_with('{') && line.ends_with('}') && !line.contains('$');
    let deadline = Instant::now() + SOON;
    loop {
        let screen = terminal.screen();
        if let Some(line) = screen.lines().filter(|line| is_id(line)).nth(earlier) {
            return line.trim_matches(['{', '}']).to_owned();
        }
        assert!(Instant::now() < deadline, "no process id on:\n{screen}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is there and has not ended.
fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_some_and(|fields| !fields.is_empty() && !fields.starts_with('Z'))
}

#[tokio::test]
async fn in_the_background_what_is_typed_is_for_others() {
    let quickstart = Quickstart::new("terminal-background");
    let dev = quickstart.command("127.0.0.1:0");
    // As a terminal that is closed ends it, whatever this test was started with.
    let dev = format!("env --default-signal=HUP {dev}");
    let line = format!("set -m; {dev} & read line; echo \"{{$line}}\"; kill -s HUP $!; wait $!");
    let mut terminal = Terminal::start(&quickstart.directory, &line).await;
    assert!(terminal.screen().contains("Paste the lines into another terminal."), "{}", terminal.screen());
    terminal.paste("for another\n");
    terminal.line("what was typed", |line| line == "{for another}").await;
    assert!(terminal.ended().await.success(), "{}", terminal.screen());
}
