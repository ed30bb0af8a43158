//! Flow 1 without a cluster: a `Webhook` as a person sees it, with the lines that post to it. Secrets are read from their files.

use std::fmt::Write as _;

use super::{Console, Shown, label, quoted, quoted_text, steps::Step};
use crate::{
    crd::{DeletionPolicy, Webhook, webhook::VerificationType},
    dev::receiver::{ReceiverState, delivers_to, loopback_target},
    record::endpoint::HandlerType,
};

const SAMPLE: &str = r#"{"status":"firing","alert":"disk full"}"#;
/// Posts `$body`. One write shows the answer, so that nothing else can get into its line.
const CURL: &str = r#"curl -sS -w ' %{http_code}\n' -H 'content-type: application/json' -d "$body""#;
/// Where `snaphook receive` listens by default.
const RECEIVER_PORT: u16 = 9000;

impl Shown for Webhook {
    const END: &'static str = "its URL is gone";

    fn state(&self) -> Option<String> {
        self.status.as_ref()?.state.map(|state| format!("{state:?}"))
    }

    fn details(&self, console: &Console) -> String {
        let status = self.status.clone().unwrap_or_default();
        let Some(url) = status.url else { return String::new() };
        let secret = console.secret(self);
        let (delivery, auth) = (status.delivery.unwrap_or_default(), status.auth.unwrap_or_default());
        let mut text = format!("  URL        {url}\n  delivery   {delivery}\n  auth       {auth}\n");
        let _ = writeln!(text, "  Secret     {}", secret.display()); // a String takes everything
        text.push_str(&receiver(self, console));
        text.push_str(&signature(self));
        text
    }

    fn leaves_secret(&self) -> bool {
        self.spec.deletion_policy == Some(DeletionPolicy::Retain)
    }
}

/// How to see messages arrive that go to this machine, but not to the receiver here.
fn receiver(resource: &Webhook, console: &Console) -> String {
    let port = loopback_target(resource).and_then(|url| url.port_or_known_default());
    let Some(port) = port.filter(|_| !is_received(resource, console)) else { return String::new() };
    let listen = if port == RECEIVER_PORT { String::new() } else { format!(" --listen 127.0.0.1:{port}") };
    format!("  receiver   cargo run -- receive{listen}    (in another terminal: prints what arrives)\n")
}

fn is_received(resource: &Webhook, console: &Console) -> bool {
    match console.receiver {
        // The program that listens there needs no second one.
        ReceiverState::Listening(address) | ReceiverState::Taken(address) => delivers_to(resource, address),
        ReceiverState::Off | ReceiverState::Failed(..) => false,
    }
}

/// How others than GitHub sign, with tools of their own.
fn signature(resource: &Webhook) -> String {
    if can_be_posted(resource) {
        return String::new();
    }
    format!("  post       {:?}, verified as {:?}\n", handler(resource), resource.spec.verification.type_)
}

fn handler(resource: &Webhook) -> HandlerType {
    resource.spec.handler.as_ref().map_or(HandlerType::Raw, |handler| handler.type_)
}

/// Whether curl and openssl can: those sign as GitHub does, or not at all.
fn can_be_posted(resource: &Webhook) -> bool {
    matches!(handler(resource), HandlerType::Raw | HandlerType::Json)
        && matches!(resource.spec.verification.type_, VerificationType::GitHub | VerificationType::None)
}

/// Lines that post a sample; absent where others sign, with tools of their own.
pub(super) fn post_step(resource: &Webhook, console: &Console) -> Option<Step> {
    let url = resource.status.as_ref()?.url.as_ref().filter(|_| can_be_posted(resource))?;
    let (url, secret) = (quoted_text(url), quoted(&console.secret(resource)));
    let keys = resource.spec.secret_template.as_ref().and_then(|template| template.keys.clone()).unwrap_or_default();
    let signing = keys.signing_secret.map_or("signing-secret".into(), |key| key.0);
    let (how, lines) = match resource.spec.verification.type_ {
        VerificationType::GitHub => (
            ", signed as GitHub signs",
            format!(
                "secret={secret}\nbody='{SAMPLE}'\nsignature=$(printf %s \"$body\" | openssl dgst -sha256 -hmac \"$(cat \"$secret/{signing}\")\" | sed 's/.* //')\n{CURL} \\\n  -H \"x-hub-signature-256: sha256=$signature\" {url}\n"
            ),
        ),
        // The URL is the secret.
        _ => ("", format!("body='{SAMPLE}'\n{CURL} {url}\n")),
    };
    let seen = if is_received(resource, console) { delivery_shows(console) } else { "" };
    Some(Step { title: format!("Post to {}{how}.{seen}", label(resource)), lines, after: String::new() })
}

fn delivery_shows(console: &Console) -> &'static str {
    if matches!(console.receiver, ReceiverState::Listening(_)) { " Its delivery shows below." } else { "" }
}
