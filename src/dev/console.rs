//! Flow 1 without a cluster: what a person sees: at first what was made and how to try it, then one line for each change, and each call
//! that arrives at the receiver.

mod app_credential;
mod call;
mod steps;
mod webhook;
mod webhook_credential;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::{body::Bytes, http::request::Parts};
use kube::ResourceExt as _;

use super::{
    admission::{self, Complaint},
    layout::STATE,
    objects::{self, key},
    receiver::ReceiverState,
    resources::{Of, Resources},
};
use crate::{
    controller::report::Note,
    crd::{AppCredential, Condition, Kind, Report as _, Webhook, WebhookCredential, condition::ConditionStatus},
    store::Snapshot,
    terminal::{self, Printer},
};

/// How a kind shows itself.
pub trait Shown: Kind {
    /// What is over once it is deleted.
    const END: &'static str;

    /// Its state in a word, where nothing is refused; absent before anything was made for it.
    fn state(&self) -> Option<String>;
    /// The lines below its name: what was made for it.
    fn details(&self, console: &Console) -> String;
    /// Whether its Secret outlives it.
    fn leaves_secret(&self) -> bool {
        false
    }
}

/// Writes to standard output. That nobody reads it any more is no reason to end.
#[derive(Debug)]
pub struct Console {
    /// DIR, absolute: what is printed can be pasted anywhere.
    directory: PathBuf,
    /// Where the server is reached.
    url: String,
    /// The socket of administration.
    socket: Option<PathBuf>,
    /// Whether lines that are pasted into this terminal are run.
    runs_lines: bool,
    receiver: ReceiverState,
    complaints: BTreeSet<Complaint>,
    ignored: BTreeSet<String>,
    trouble: Option<String>,
    printer: Printer,
}

impl Console {
    /// Nothing is printed yet.
    #[must_use]
    pub(crate) fn new(
        directory: &Path,
        address: SocketAddr,
        socket: Option<PathBuf>,
        runs_lines: bool,
        printer: Printer,
    ) -> Self {
        Self {
            printer,
            directory: directory.to_owned(),
            url: format!("http://{}", reachable(address)),
            socket,
            runs_lines,
            receiver: ReceiverState::Off,
            complaints: BTreeSet::new(),
            ignored: BTreeSet::new(),
            trouble: None,
        }
    }

    /// The first words, once everything is served.
    pub fn greet(&self, resources: &Resources) {
        let app_credentials: Vec<AppCredential> = resources.of().iter().cloned().collect();
        let webhook_credentials: Vec<WebhookCredential> = resources.of().iter().cloned().collect();
        let webhooks: Vec<Webhook> = resources.of().iter().cloned().collect();
        let mut text = format!("\nServing {} from {}\n", self.url, self.directory.display());
        text.push_str("Each Secret below is a directory with one file a key, as a Pod would see it mounted.\n");
        text.push_str(&self.blocks(&app_credentials));
        text.push_str(&self.blocks(&webhook_credentials));
        text.push_str(&self.blocks(&webhooks));
        let steps = steps::steps(&app_credentials, &webhooks, self);
        let is_empty = app_credentials.is_empty() && webhook_credentials.is_empty() && webhooks.is_empty();
        if is_empty {
            text.push_str("\nNo YAML file there declares a resource of Snaphook. Subdirectories are not read.\n");
        } else {
            text.push_str(&steps.text);
        }
        if !webhooks.is_empty() {
            text.push_str(&self.administration());
        }
        text.push_str(&self.last_words(steps.has_lines));
        self.printer.print(terminal::lines(text.as_bytes()));
    }

    fn last_words(&self, has_lines: bool) -> String {
        let receiver = match &self.receiver {
            ReceiverState::Off => String::new(),
            ReceiverState::Listening(address) => format!("What is delivered to {address} shows below.\n"),
            ReceiverState::Taken(_) | ReceiverState::Failed(..) => format!("{}.\n", not_received(&self.receiver)),
        };
        let paste = if self.runs_lines { "here, or into another terminal" } else { "into another terminal" };
        let paste = if has_lines { format!("Paste the lines {paste}. ") } else { String::new() };
        format!("\n{receiver}{paste}Edits of the YAML files take effect at once. Ctrl-C ends.\n\n")
    }

    /// How to see what became of messages.
    fn administration(&self) -> String {
        match &self.socket {
            Some(socket) => {
                format!("\nWhat became of messages\n    cargo run -- deliveries --socket {}\n", quoted(socket))
            }
            None => "\nThe path of DIR leaves no room for a socket, so that `snaphook deliveries` cannot ask.\n".into(),
        }
    }

    fn blocks<K: Shown>(&self, resources: &[K]) -> String {
        let mut text = String::new();
        for resource in resources {
            let state = match (refused(resource), resource.state()) {
                (Some(refused), _) => format!("{}: {}", refused.reason, refused.message),
                (None, Some(state)) => state,
                (None, None) => "Pending".into(),
            };
            // A String takes everything.
            let (namespace, name) = key(resource);
            let _ = write!(text, "\n{} {namespace}/{name}  {state}\n{}", K::KIND, resource.details(self));
        }
        text
    }

    /// Where the Secret for the app lies.
    fn secret<K: Kind>(&self, resource: &K) -> PathBuf {
        let name = resource.status().and_then(|status| status.secret_name().map(str::to_owned)).unwrap_or_default();
        self.directory.join(STATE).join("secrets").join(resource.namespace().unwrap_or_default()).join(name)
    }

    /// The file that declares the resource.
    fn file<K: Kind>(&self, resource: &K) -> PathBuf {
        self.directory.join(objects::file(resource))
    }

    /// What the receiver does. `greeted` says that the first words are over.
    pub fn receiver(&mut self, state: &ReceiverState, greeted: bool) {
        if self.receiver == *state {
            return;
        }
        if greeted {
            match state {
                ReceiverState::Listening(address) => {
                    self.event("Listening", &format!("what is delivered to {address} shows here"));
                }
                ReceiverState::Off => self.event("Closed", "no Webhook delivers to the receiver any more"),
                ReceiverState::Taken(_) | ReceiverState::Failed(..) => self.event("Not received", &not_received(state)),
            }
        }
        self.receiver = state.clone();
    }

    /// What happened to a resource.
    pub fn note<K: Kind>(&self, resource: &K, note: &Note) {
        let place =
            if note.reason == "Created" { format!(" in {}", self.secret(resource).display()) } else { String::new() };
        self.event(note.reason, &format!("{}  {}{place}", label(resource), note.message));
    }

    /// A resource changed in a way that no note tells.
    pub fn updated<K: Kind>(&self, resource: &K) {
        let (what, text) = refused(resource).map_or(("Updated", "what the file says is in force"), |refused| {
            (refused.reason.as_str(), refused.message.as_str())
        });
        self.event(what, &format!("{}  {text}", label(resource)));
    }

    /// A resource is gone.
    pub fn deleted<K: Shown>(&self, resource: &K) {
        let secret = if resource.leaves_secret() { "its Secret stays" } else { "its Secret is gone as well" };
        self.event("Deleted", &format!("{}  {}, {secret}", label(resource), K::END));
    }

    /// The configuration.
    pub fn configuration(&self, problem: Option<&str>) {
        match problem {
            Some(problem) => self.event("Refused", &format!("{problem}; the last good configuration stays")),
            None => self.event("Updated", "the configuration is in force"),
        }
    }

    /// What is refused now. Only what is new is printed, and what is well again.
    pub fn complaints(&mut self, complaints: BTreeSet<Complaint>) {
        for complaint in complaints.difference(&self.complaints) {
            self.event("Refused", &format!("{complaint}; the last good state stays"));
        }
        let files = |complaints: &BTreeSet<Complaint>| -> BTreeSet<String> {
            complaints.iter().map(|complaint| complaint.file.clone()).collect()
        };
        for file in files(&self.complaints).difference(&files(&complaints)) {
            self.event("Accepted", file);
        }
        self.complaints = complaints;
    }

    /// Documents that are not for Snaphook, each once.
    pub fn ignored(&mut self, ignored: BTreeSet<String>) {
        for document in ignored.difference(&self.ignored) {
            self.event("Ignored", document);
        }
        self.ignored = ignored;
    }

    /// What kept this from working; absent when it works again.
    pub fn trouble(&mut self, trouble: Option<String>) {
        if let Some(text) = trouble.as_ref().filter(|text| self.trouble.as_ref() != Some(text)) {
            self.event("Failed", &format!("{text}; trying again"));
        }
        self.trouble = trouble;
    }

    /// One line: names and messages may hold what a file says.
    fn event(&self, what: &str, text: &str) {
        print_event(&self.printer, what, &terminal::line(text));
    }
}

/// A call that arrived at the receiver, with no value of a credential in `snapshot`.
pub(crate) fn print_call(parts: &Parts, body: &Bytes, snapshot: &Snapshot, printer: &Printer) {
    print_event(printer, "Delivered", &call::block(parts, body, snapshot));
}

/// `text` holds nothing that could steer a terminal.
fn print_event(printer: &Printer, what: &str, text: &str) {
    printer.print(format!("{}  {what:<14}  {text}\n", jiff::Zoned::now().strftime("%H:%M:%S")));
}

/// Why deliveries do not show.
fn not_received(state: &ReceiverState) -> String {
    match state {
        ReceiverState::Taken(address) => {
            format!(
                "Another program listens on {address}: what is delivered there shows in that one, not here. To see it here, end that program, or give spec.delivery.url another port and start with --receive 127.0.0.1:PORT"
            )
        }
        ReceiverState::Failed(address, error) => {
            format!("Nothing can be received on {address} ({error}): choose another address with --receive")
        }
        ReceiverState::Off | ReceiverState::Listening(_) => String::new(),
    }
}

fn label<K: Kind>(resource: &K) -> String {
    admission::label(K::KIND, &key(resource))
}

/// Why a resource is not in force.
fn refused<K: Kind>(resource: &K) -> Option<&Condition> {
    let mut conditions = resource.conditions().iter();
    conditions.find(|condition| condition.type_ == "Ready" && condition.status != ConditionStatus::True)
}

/// An address that a client can connect to.
#[must_use]
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback =
            if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

/// A path for a shell.
fn quoted(path: &Path) -> String {
    quoted_text(&path.display().to_string())
}

/// For a shell. What could steer the terminal is not shown, so that such a path does not work; nothing else makes one unsafe.
fn quoted_text(text: &str) -> String {
    let text = terminal::line(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%:,".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
        assert_eq!(quoted(Path::new("/a\n\x1b]0;b")), "'/a\u{fffd}\u{fffd}]0;b'");
        assert_eq!(quoted_text("http://x;id;/"), "'http://x;id;/'");
    }

    #[test]
    fn an_unspecified_address_is_reached_through_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(reachable("192.0.2.1:80".parse().unwrap()).to_string(), "192.0.2.1:80");
    }
}
