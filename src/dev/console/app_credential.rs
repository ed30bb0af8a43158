//! Flow 1 without a cluster: an `AppCredential` as a person sees it, with the commands that get and check a token.

use super::{Console, Shown, label, quoted};
use crate::{
    controller::policy::INTROSPECT_SCOPE,
    crd::{AppCredential, DeletionPolicy, app_credential::State},
    token::{INTROSPECTION_PATH, TOKEN_PATH},
};

/// The token out of a token response; an error stays as it is.
const EXTRACT: &str = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;

impl Shown for AppCredential {
    const END: &'static str = "its tokens are inactive";

    fn state(&self) -> Option<String> {
        state(self).map(|state| format!("{state:?}"))
    }

    fn details(&self, console: &Console) -> String {
        let mut text = String::new();
        let client_id = self.status.as_ref().and_then(|status| status.client_id.as_ref());
        if let (Some(client_id), Some(_)) = (client_id, state(self)) {
            let secret = console.secret(self);
            text = format!("  client id  {client_id}\n  Secret     {}\n", secret.display());
        }
        if state(self) == Some(State::Active) {
            text.push_str(&token_request(self, console));
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

fn token_request(resource: &AppCredential, console: &Console) -> String {
    if resource.spec.secret_hash.is_some() {
        return "  token      only you know the secret: send it as client_secret\n".into();
    }
    format!(
        "  token\n    secret={}\n    token=$(curl -sS {}{TOKEN_PATH} -d grant_type=client_credentials \\\n      {} |\n      {EXTRACT}); echo \"$token\"\n",
        quoted(&console.secret(resource)),
        console.url,
        authentication(resource),
    )
}

/// How to check a token: by a credential that may.
pub(super) fn introspection(resources: &[AppCredential], console: &Console) -> String {
    if resources.is_empty() {
        return "There is no AppCredential yet: write one into a .yaml file there.\n".into();
    }
    let Some(resource) = resources.iter().find(|resource| may_introspect(resource)) else {
        return format!("To check tokens, give an AppCredential the scope: spec.scopes: [\"{INTROSPECT_SCOPE}\"]\n");
    };
    format!(
        "Check a token, as {}\n    secret={}\n    curl -sS {}{INTROSPECTION_PATH} -d token=\"$token\" \\\n      {}; echo\n",
        label(resource),
        quoted(&console.secret(resource)),
        console.url,
        authentication(resource),
    )
}

fn may_introspect(resource: &AppCredential) -> bool {
    let mut scopes = resource.spec.scopes.iter().flatten();
    let may = state(resource) == Some(State::Active) && resource.spec.secret_hash.is_none();
    may && scopes.any(|scope| scope == INTROSPECT_SCOPE)
}

/// curl reads the client id and secret from their files, so that neither stands in a process list or a history.
fn authentication(resource: &AppCredential) -> String {
    let keys = resource.spec.secret_template.as_ref().and_then(|template| template.keys.clone()).unwrap_or_default();
    let (id, secret) = (keys.client_id, keys.client_secret);
    let (id, secret) = (id.map_or("client-id".into(), |key| key.0), secret.map_or("client-secret".into(), |key| key.0));
    format!(r#"--data-urlencode client_id@"$secret/{id}" --data-urlencode client_secret@"$secret/{secret}""#)
}
