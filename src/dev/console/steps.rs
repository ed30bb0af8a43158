//! Flow 1 without a cluster: what a person can try, as numbered steps with lines to paste, in the order in which they make sense.

use std::fmt::Write as _;

use super::{Console, app_credential, webhook};
use crate::{
    crd::{AppCredential, Webhook},
    dev::objects::key,
};

/// One thing to try.
pub(super) struct Step {
    /// What it does, and what is seen then.
    pub(super) title: String,
    /// What is pasted into a shell: sh, bash or zsh. A step needs nothing of another but `$token`, which the first one sets.
    pub(super) lines: String,
    /// What is left to do.
    pub(super) after: String,
}

/// All steps as text.
pub(super) struct Steps {
    pub(super) text: String,
    /// Whether there is anything to paste.
    pub(super) has_lines: bool,
}

/// All steps: a token, its check, a post to each Webhook, and the end of the token.
pub(super) fn steps(app_credentials: &[AppCredential], webhooks: &[Webhook], console: &Console) -> Steps {
    let client = app_credential::client(app_credentials);
    let checker = app_credential::checker(app_credentials);
    let mut steps = Vec::new();
    steps.extend(client.map(|client| app_credential::token_step(client, console)));
    steps.extend(client.and(checker).map(|checker| app_credential::check_step(checker, console)));
    let check_number = steps.len();
    steps.extend(webhooks.iter().filter_map(|webhook| webhook::post_step(webhook, console)));
    // Revoked itself, the checker could not say so any more.
    if let Some((client, checker)) = client.zip(checker)
        && key(client) != key(checker)
    {
        steps.push(app_credential::revoke_step(client, check_number, console));
    }
    let hint = if webhooks.is_empty() || client.is_some() { app_credential::hint(app_credentials) } else { None };
    let hints = [hint, app_credential::revoked_hint(app_credentials, console)];
    let mut text = numbered(&steps);
    for hint in hints.into_iter().flatten() {
        let _ = write!(text, "\n{hint}\n"); // a String takes everything
    }
    Steps { text, has_lines: !steps.is_empty() }
}

fn numbered(steps: &[Step]) -> String {
    let mut text = String::new();
    for (index, step) in steps.iter().enumerate() {
        let _ = write!(text, "\n{}. {}\n", index + 1, step.title); // a String takes everything
        for line in step.lines.lines() {
            let _ = writeln!(text, "    {line}");
        }
        text.push_str(&step.after);
    }
    text
}
