//! Flow 1 without a cluster: what a person sees: at first what is there and how to try it, then one line for each change.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use kube::ResourceExt as _;

use super::{
    admission::{Complaint, label},
    layout::STATE,
};
use crate::{
    controller::{policy::INTROSPECT_SCOPE, report::Note},
    crd::{AppCredential, app_credential::State, condition::ConditionStatus},
    token::{INTROSPECTION_PATH, TOKEN_PATH},
};

/// Writes to standard output. That nobody reads it any more is no reason to end.
#[derive(Debug)]
pub struct Console {
    /// DIR, absolute: what is printed can be pasted anywhere.
    directory: PathBuf,
    /// Where the server is reached.
    url: String,
    complaints: BTreeSet<Complaint>,
    ignored: BTreeSet<String>,
    trouble: Option<String>,
}

impl Console {
    /// Nothing is printed yet.
    #[must_use]
    pub fn new(directory: &Path, address: SocketAddr) -> Self {
        Self {
            directory: directory.to_owned(),
            url: format!("http://{}", reachable(address)),
            complaints: BTreeSet::new(),
            ignored: BTreeSet::new(),
            trouble: None,
        }
    }

    /// The first words, once tokens are served.
    pub fn greet<'a>(&self, resources: impl Iterator<Item = &'a AppCredential>) {
        let resources: Vec<_> = resources.collect();
        let mut text = format!("\nServing {} from {}\n", self.url, self.directory.display());
        for resource in &resources {
            text.push('\n');
            text.push_str(&self.block(resource));
        }
        text.push('\n');
        text.push_str(&self.introspection(&resources));
        text.push_str("\nEdits of the YAML files take effect at once. Ctrl-C ends.\n\n");
        print(&text);
    }

    /// A credential, and how to get a token for it.
    fn block(&self, resource: &AppCredential) -> String {
        let status = resource.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let refused = ready.filter(|ready| ready.status != ConditionStatus::True);
        let state = match (refused, status.state) {
            (Some(refused), _) => format!("{}: {}", refused.reason, refused.message),
            (None, Some(state)) => format!("{state:?}"),
            (None, None) => "Pending".into(),
        };
        let mut text = format!("{}  {state}\n", label(resource));
        if let (Some(client_id), Some(_)) = (&status.client_id, status.state) {
            let secret = self.secret(resource);
            let _ = write!(text, "  client id  {client_id}\n  Secret     {}\n", secret.display());
        }
        if status.state == Some(State::Active) {
            text.push_str(&self.token_request(resource));
        }
        text
    }

    fn token_request(&self, resource: &AppCredential) -> String {
        if resource.spec.secret_hash.is_some() {
            return "  token      only you know the secret: send it as client_secret\n".into();
        }
        format!(
            "  token\n    secret={}\n    token=$(curl -sS {}{TOKEN_PATH} -d grant_type=client_credentials \\\n      {} |\n      {EXTRACT}); echo \"$token\"\n",
            quoted(&self.secret(resource)),
            self.url,
            authentication(resource),
        )
    }

    /// How to check a token: by a credential that may.
    fn introspection(&self, resources: &[&AppCredential]) -> String {
        let may = |resource: &&&AppCredential| {
            let active = resource.status.as_ref().is_some_and(|status| status.state == Some(State::Active));
            let scopes = resource.spec.scopes.iter().flatten();
            active && resource.spec.secret_hash.is_none() && scopes.into_iter().any(|scope| scope == INTROSPECT_SCOPE)
        };
        if resources.is_empty() {
            return "There is no AppCredential yet: write one into a .yaml file there.\n".into();
        }
        let Some(resource) = resources.iter().find(may) else {
            return format!(
                "To check tokens, give an AppCredential the scope: spec.scopes: [\"{INTROSPECT_SCOPE}\"]\n"
            );
        };
        format!(
            "Check a token, as {}\n    secret={}\n    curl -sS {}{INTROSPECTION_PATH} -d token=\"$token\" \\\n      {}; echo\n",
            label(resource),
            quoted(&self.secret(resource)),
            self.url,
            authentication(resource),
        )
    }

    fn secret(&self, resource: &AppCredential) -> PathBuf {
        let name = resource.status.as_ref().and_then(|status| status.secret_name.clone()).unwrap_or_default();
        self.directory.join(STATE).join("secrets").join(resource.namespace().unwrap_or_default()).join(name)
    }

    /// What happened to a resource.
    pub fn note(&self, resource: &AppCredential, note: &Note) {
        let place =
            if note.reason == "Created" { format!(" in {}", self.secret(resource).display()) } else { String::new() };
        self.event(note.reason, &format!("{}  {}{place}", label(resource), note.message));
    }

    /// A resource changed in a way that no note tells.
    pub fn updated(&self, resource: &AppCredential) {
        let conditions = resource.status.iter().flat_map(|status| &status.conditions);
        let refused = conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready" && condition.status != ConditionStatus::True);
        let (what, text) = refused.map_or(("Updated", "what the file says is in force"), |refused| {
            (refused.reason.as_str(), refused.message.as_str())
        });
        self.event(what, &format!("{}  {text}", label(resource)));
    }

    /// A resource is gone.
    pub fn deleted(&self, resource: &AppCredential, secret_stays: bool) {
        let secret = if secret_stays { "its Secret stays" } else { "its Secret is gone as well" };
        self.event("Deleted", &format!("{}  its tokens are inactive, {secret}", label(resource)));
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

    #[expect(clippy::unused_self, reason = "one way to print: through the console")]
    fn event(&self, what: &str, text: &str) {
        print(&format!("{}  {what:<14}  {text}\n", jiff::Zoned::now().strftime("%H:%M:%S")));
    }
}

/// The token out of a token response; an error stays as it is.
const EXTRACT: &str = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;

/// curl reads the client id and secret from their files, so that neither stands in a process list or a history.
fn authentication(resource: &AppCredential) -> String {
    let keys = resource.spec.secret_template.as_ref().and_then(|template| template.keys.clone()).unwrap_or_default();
    let (id, secret) = (keys.client_id, keys.client_secret);
    let (id, secret) = (id.map_or("client-id".into(), |key| key.0), secret.map_or("client-secret".into(), |key| key.0));
    format!(r#"--data-urlencode client_id@"$secret/{id}" --data-urlencode client_secret@"$secret/{secret}""#)
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

/// For a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%:,".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn print(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn an_unspecified_address_is_reached_through_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(reachable("192.0.2.1:80".parse().unwrap()).to_string(), "192.0.2.1:80");
    }
}
