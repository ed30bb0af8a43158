//! Flow 1 without a cluster: a `Webhook` as a person sees it, with the command that posts to it. Secrets are read from their files.

use std::fmt::Write as _;

use url::{Host, Url};

use super::{Console, Shown, quoted};
use crate::{
    crd::{DeletionPolicy, Webhook, webhook::VerificationType},
    record::endpoint::HandlerType,
};

const SAMPLE: &str = r#"{"status":"firing","alert":"disk full"}"#;
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
        text.push_str(&receiver(self));
        text.push_str(&post(self, &url, &quoted(&secret)));
        text
    }

    fn leaves_secret(&self) -> bool {
        self.spec.deletion_policy == Some(DeletionPolicy::Retain)
    }
}

/// How to see messages arrive, where they go to this machine.
fn receiver(resource: &Webhook) -> String {
    let url = resource.spec.delivery.url.as_deref().and_then(|url| Url::parse(url).ok());
    let Some(port) = url.filter(is_loopback).and_then(|url| url.port_or_known_default()) else { return String::new() };
    let listen = if port == RECEIVER_PORT { String::new() } else { format!(" --listen 127.0.0.1:{port}") };
    format!("  receiver   cargo run -- receive{listen}    (in another terminal: prints what arrives)\n")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A line to paste for those who sign as GitHub does or not at all; others sign with tools of their own.
fn post(resource: &Webhook, url: &str, secret: &str) -> String {
    let handler = resource.spec.handler.as_ref().map_or(HandlerType::Raw, |handler| handler.type_);
    let type_ = resource.spec.verification.type_;
    if !matches!(handler, HandlerType::Raw | HandlerType::Json) {
        return format!("  post       {handler:?}, verified as {type_:?}\n");
    }
    let keys = resource.spec.secret_template.as_ref().and_then(|template| template.keys.clone()).unwrap_or_default();
    let (url_key, signing) = (keys.url, keys.signing_secret);
    let url_key = url_key.map_or("url".into(), |key| key.0);
    let signing = signing.map_or("signing-secret".into(), |key| key.0);
    let curl = format!("curl -sS -w ' %{{http_code}}\\n' -H 'content-type: application/json' --data-raw '{SAMPLE}'");
    match type_ {
        VerificationType::GitHub => format!(
            "  post\n    secret={secret}\n    signature=$(printf %s '{SAMPLE}' | openssl dgst -sha256 -hmac \"$(cat \"$secret/{signing}\")\" | sed 's/.* //')\n    {curl} \\\n      -H \"x-hub-signature-256: sha256=$signature\" {url}\n"
        ),
        // The URL is the secret.
        VerificationType::None => format!("  post\n    secret={secret}\n    {curl} \"$(cat \"$secret/{url_key}\")\"\n"),
        _ => format!("  post       verified as {type_:?}\n"),
    }
}
