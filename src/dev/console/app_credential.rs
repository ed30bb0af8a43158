//! Flow 1 without a cluster: an `AppCredential` as a person sees it, with the lines that get, check and revoke a token.

use std::path::Path;

use serde_json::{Value, json};

use super::{Console, Shown, label, quoted, steps::Step};
use crate::{
    controller::policy::INTROSPECT_SCOPE,
    crd::{AppCredential, DeletionPolicy, Kind as _, app_credential::State},
    dev::layout::read_manifest,
    terminal,
    token::{INTROSPECTION_PATH, TOKEN_PATH},
};

/// The token out of a token response; an error stays as it is.
const EXTRACT: &str = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;
/// What revokes, as it stands in a file.
const REVOKED: &str = "  revoked: true";

impl Shown for AppCredential {
    const END: &'static str = "its tokens are inactive";

    fn state(&self) -> Option<String> {
        state(self).map(|state| format!("{state:?}"))
    }

    fn details(&self, console: &Console) -> String {
        let client_id = self.status.as_ref().and_then(|status| status.client_id.as_ref());
        let (Some(client_id), Some(_)) = (client_id, state(self)) else { return String::new() };
        let mut text = format!("  client id  {client_id}\n  Secret     {}\n", console.secret(self).display());
        if self.spec.secret_hash.is_some() {
            text.push_str("  token      only you know the secret: send it as client_secret\n");
        }
        text
    }

    fn leaves_secret(&self) -> bool {
        self.spec.deletion_policy == Some(DeletionPolicy::Retain)
    }
}

fn state(resource: &AppCredential) -> Option<State> {
    resource.status.as_ref()?.state
}

/// Who gets the token: rather one that calls APIs than one that checks tokens.
pub(super) fn client(resources: &[AppCredential]) -> Option<&AppCredential> {
    let mut usable = resources.iter().filter(|resource| is_usable(resource));
    usable.clone().find(|resource| !may_introspect(resource)).or_else(|| usable.next())
}

/// Who checks the token.
pub(super) fn checker(resources: &[AppCredential]) -> Option<&AppCredential> {
    resources.iter().find(|resource| is_usable(resource) && may_introspect(resource))
}

/// Its secret lies in a file, and works.
fn is_usable(resource: &AppCredential) -> bool {
    state(resource) == Some(State::Active) && resource.spec.secret_hash.is_none()
}

fn may_introspect(resource: &AppCredential) -> bool {
    resource.spec.scopes.iter().flatten().any(|scope| scope == INTROSPECT_SCOPE)
}

pub(super) fn token_step(client: &AppCredential, console: &Console) -> Step {
    let (url, secret) = (&console.url, quoted(&console.secret(client)));
    let authentication = authentication(client);
    Step {
        title: format!("Get an access token as {}, and print it.", label(client)),
        lines: format!(
            "secret={secret}\ntoken=$(curl -sS {url}{TOKEN_PATH} -d grant_type=client_credentials \\\n  {authentication} |\n  {EXTRACT}); echo \"$token\"\n"
        ),
        after: String::new(),
    }
}

pub(super) fn check_step(checker: &AppCredential, console: &Console) -> Step {
    let (url, secret) = (&console.url, quoted(&console.secret(checker)));
    let authentication = authentication(checker);
    Step {
        title: format!("Have {} check the token. The answer says \"active\":true.", label(checker)),
        lines: format!(
            "secret={secret}\ncurl -sS -w '\\n' {url}{INTROSPECTION_PATH} -d token=\"$token\" \\\n  {authentication}\n"
        ),
        after: String::new(),
    }
}

pub(super) fn revoke_step(client: &AppCredential, check: usize, console: &Console) -> Step {
    let (name, file) = (label(client), console.file(client));
    // A path that is not shown as it is cannot be pasted.
    let is_shown = terminal::line(&file.to_string_lossy()) == file.to_string_lossy();
    let can_be_appended = is_shown && can_be_appended(client, &file);
    let (place, how) = if can_be_appended {
        (String::new(), " with an editor, or like this:")
    } else {
        (format!(" in {}", file.display()), ".")
    };
    let line = if can_be_appended { format!("echo '{REVOKED}' >> {}\n", quoted(&file)) } else { String::new() };
    Step {
        title: format!("Revoke {name}: add the line \"{REVOKED}\" to its spec{place}{how}"),
        lines: line,
        after: format!("   Then paste step {check} again. The answer says \"active\":false.\n"),
    }
}

/// Whether the line at the end of the file means the same as in the spec.
fn can_be_appended(client: &AppCredential, file: &Path) -> bool {
    let Some(text) = read_manifest(file).ok().and_then(|text| String::from_utf8(text).ok()) else { return false };
    let documents = |text: &str| serde_yaml::from_multiple::<Value>(text).unwrap_or_default();
    let mut expected = documents(&text);
    let Some(last) = expected.last_mut() else { return false };
    if last["kind"] != AppCredential::KIND || last["metadata"]["name"].as_str() != client.metadata.name.as_deref() {
        return false;
    }
    match last["spec"].as_object_mut() {
        Some(spec) => spec.insert("revoked".into(), json!(true)),
        None => return false,
    };
    text.ends_with('\n') && documents(&format!("{text}{REVOKED}\n")) == expected
}

/// What is missing to try tokens.
pub(super) fn hint(resources: &[AppCredential]) -> Option<String> {
    if resources.is_empty() {
        return Some("There is no AppCredential yet: write one into a .yaml file in that directory.".into());
    }
    let hint = || format!("To check tokens, give an AppCredential the scope: spec.scopes: [\"{INTROSPECT_SCOPE}\"]");
    checker(resources).is_none().then(hint)
}

/// Why a token step has no credential of those who call APIs: an earlier run was told to revoke it.
pub(super) fn revoked_hint(resources: &[AppCredential], console: &Console) -> Option<String> {
    if client(resources).is_some_and(|client| !may_introspect(client)) {
        return None;
    }
    let revoked = resources.iter().find(|resource| resource.spec.revoked == Some(true) && !may_introspect(resource))?;
    let (name, file) = (label(revoked), console.file(revoked));
    let file = file.display();
    Some(format!("{name} is revoked. To go through all steps, remove \"revoked: true\" from {file}, and start again."))
}

/// curl reads the client id and secret from their files, so that neither stands in a process list or a history.
fn authentication(resource: &AppCredential) -> String {
    let keys = resource.spec.secret_template.as_ref().and_then(|template| template.keys.clone()).unwrap_or_default();
    let (id, secret) = (keys.client_id, keys.client_secret);
    let (id, secret) = (id.map_or("client-id".into(), |key| key.0), secret.map_or("client-secret".into(), |key| key.0));
    format!(r#"--data-urlencode client_id@"$secret/{id}" --data-urlencode client_secret@"$secret/{secret}""#)
}
