//! `kubectl snaphook rotate` and `revoke`: one field of the spec is changed, as a person would in an editor.
//!
//! The field's owner is then this plugin; where another one owned it, the person is told before.

use std::{fmt::Debug, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::wait::{Condition, await_condition},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    USAGE,
    cluster::{Cluster, Look, Place},
    confirm::{self, Consent},
    kind_name::{KindArg, KindName},
    managers,
    output::Output,
};
use crate::crd::{AppCredential, Kind, Webhook, app_credential::State};

/// What changes have in common.
#[derive(clap::Args, Debug)]
struct Common {
    #[command(flatten)]
    place: Place,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How long to wait until the controller has done it; 0s does not wait
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = crate::app::server::duration)]
    timeout: Duration,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Arguments of `kubectl snaphook rotate`.
#[derive(clap::Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct RotateArgs {
    /// An AppCredential, or webhook/NAME
    #[arg(value_name = "[KIND/]NAME")]
    resource: KindName,
    /// Of a Webhook: replace its URL instead of its generated secrets
    #[arg(long)]
    url: bool,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `kubectl snaphook revoke`.
#[derive(clap::Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct RevokeArgs {
    /// The AppCredential
    #[arg(value_name = "NAME")]
    resource: KindName,
    #[command(flatten)]
    common: Common,
}

/// What was changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    kind: &'static str,
    namespace: String,
    name: String,
    /// The field of the spec.
    field: String,
    /// Whether the controller has done it; nothing was waited for where this is absent.
    done: Option<bool>,
    /// Who else owned the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// A field to change, and how to ask for it.
struct Change<'a> {
    path: &'a [&'a str],
    value: Value,
    question: String,
}

pub(super) async fn revoke(args: RevokeArgs) -> anyhow::Result<ExitCode> {
    let RevokeArgs { resource, common } = args;
    let Some(KindArg::AppCredential) = resource.kind.or(Some(KindArg::AppCredential)) else {
        bail!("only an AppCredential can be revoked; delete a Webhook, or set spec.active to false")
    };
    let cluster = common.place.cluster().await?;
    let credential: AppCredential = cluster.get(&cluster.namespace, &resource.name).await?;
    let question = format!(
        "Revoke the AppCredential {} in namespace {}? It gets no tokens any more, and those that it has end at once, for good.",
        resource.name, cluster.namespace
    );
    let change = Change { path: &["spec", "revoked"], value: json!(true), question };
    let revoked = |object: Option<&AppCredential>| {
        object.is_some_and(|credential| {
            credential.status.as_ref().and_then(|status| status.state) == Some(State::Revoked)
        })
    };
    carry_out(&cluster, &credential, change, revoked, &common).await
}

pub(super) async fn rotate(args: RotateArgs) -> anyhow::Result<ExitCode> {
    let RotateArgs { resource, url, common } = args;
    let cluster = common.place.cluster().await?;
    let (namespace, name) = (&cluster.namespace, &resource.name);
    match kind_to_rotate(&cluster, &resource).await? {
        KindArg::AppCredential if url => bail!("an AppCredential has no URL of its own: --url is for Webhooks"),
        KindArg::AppCredential => {
            let credential: AppCredential = cluster.get(namespace, name).await?;
            check_generated(&credential)?;
            let question = format!(
                "Replace the client secret of the AppCredential {name} in namespace {namespace}? The old one works until the overlap ends; tokens live on."
            );
            rotate_nonce(&cluster, &credential, &["spec", "rotation", "nonce"], question, &common).await
        }
        KindArg::Webhook => {
            let webhook: Webhook = cluster.get(namespace, name).await?;
            let (what, field) = if url { ("URL", "urlNonce") } else { ("generated secrets", "secretNonce") };
            let question = format!(
                "Replace the {what} of the Webhook {name} in namespace {namespace}? Whoever posts to it has to be given the new ones before the overlap ends."
            );
            rotate_nonce(&cluster, &webhook, &["spec", "rotation", field], question, &common).await
        }
        KindArg::WebhookCredential => {
            bail!("nothing of a WebhookCredential is generated: change its spec, or the Secret that it refers to")
        }
    }
}

/// A name alone is an `AppCredential`'s; where there is none, a Webhook's.
async fn kind_to_rotate(cluster: &Cluster, resource: &KindName) -> anyhow::Result<KindArg> {
    if let Some(kind) = resource.kind {
        return Ok(kind);
    }
    let found: Look<AppCredential> = cluster.look(&cluster.namespace, &resource.name).await?;
    Ok(if matches!(found, Look::Missing) { KindArg::Webhook } else { KindArg::AppCredential })
}

/// The CRD refuses it as well, in words about fields that nobody wrote.
fn check_generated(credential: &AppCredential) -> anyhow::Result<()> {
    if let Some(from) = &credential.spec.secret_from {
        let name = &from.secret_key_ref.name;
        bail!(
            "the client secret comes from the Secret {name}: put a new value there, and the old one works until the overlap ends"
        )
    }
    if credential.spec.secret_hash.is_some() {
        bail!("only the hash of the client secret is known here: set spec.secretHash to that of a new one")
    }
    Ok(())
}

async fn rotate_nonce<K: Kind>(
    cluster: &Cluster,
    resource: &K,
    path: &[&str],
    question: String,
    common: &Common,
) -> anyhow::Result<ExitCode> {
    // Any other text than before will do; a time tells people when it was.
    let value = json!(Timestamp::now().to_string());
    carry_out(cluster, resource, Change { path, value, question }, |_: Option<&K>| true, common).await
}

/// Warns, asks, patches and waits until the controller has seen it and `done` holds.
async fn carry_out<K: Kind>(
    cluster: &Cluster,
    resource: &K,
    change: Change<'_>,
    done: impl Fn(Option<&K>) -> bool,
    common: &Common,
) -> anyhow::Result<ExitCode> {
    let Change { path, value, question } = change;
    let warning = managers::warning(resource.managed_fields(), path);
    if let Some(warning) = &warning {
        eprintln!("Warning: {warning}");
    }
    match confirm::ask(&question, common.yes)? {
        Consent::Given => {}
        Consent::Refused => return Ok(ExitCode::FAILURE),
        Consent::NobodyToAsk => return Ok(ExitCode::from(USAGE)),
    }
    let api: Api<K> = cluster.api(&cluster.namespace);
    let (name, field) = (resource.name_any(), path.join("."));
    let patched = patch(&api, resource, path, value).await.with_context(|| format!("{field} could not be changed"))?;
    let seen = is_done(patched.meta().generation, done);
    let done = if common.timeout.is_zero() { None } else { Some(wait(api, &name, seen, common.timeout).await?) };
    let told = told(K::KIND, &name, &field, done, common.timeout);
    let changed = Changed { kind: K::KIND, namespace: cluster.namespace.clone(), name, field, done, warning };
    let shown = common.output.show(&changed, &told, true)?;
    Ok(if done == Some(false) { ExitCode::FAILURE } else { shown })
}

fn told(kind: &str, name: &str, field: &str, done: Option<bool>, timeout: Duration) -> String {
    let outcome = match done {
        None => "is changed; the controller was not waited for".to_owned(),
        Some(true) => "is changed, and in force".to_owned(),
        Some(false) => format!(
            "is changed, but not in force after {}s: kubectl snaphook status {kind}/{name} tells why",
            timeout.as_secs()
        ),
    };
    format!("{kind} {name}: {field} {outcome}\n")
}

/// The resource must still be the one that the person was asked about.
async fn patch<K: Kind>(api: &Api<K>, resource: &K, path: &[&str], value: Value) -> kube::Result<K> {
    let nested = path.iter().rev().fold(value, |value, field| json!({ (*field): value }));
    let mut changes = json!({ "metadata": { "uid": resource.uid() } });
    if let (Some(changes), Value::Object(nested)) = (changes.as_object_mut(), nested) {
        changes.extend(nested);
    }
    let params = PatchParams { field_manager: Some(managers::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&resource.name_any(), &params, &Patch::Merge(changes)).await
}

/// The controller has looked at this generation or a later one, is content, and what was wanted holds.
fn is_done<K: Kind>(generation: Option<i64>, done: impl Fn(Option<&K>) -> bool) -> impl Condition<K> {
    move |object: Option<&K>| {
        let ready = object.is_some_and(|object| super::status::is_ready(object, generation));
        ready && done(object)
    }
}

async fn wait<K: Kind>(api: Api<K>, name: &str, done: impl Condition<K>, timeout: Duration) -> anyhow::Result<bool> {
    match tokio::time::timeout(timeout, await_condition(api, name, done)).await {
        Ok(result) => result.map(|_| true).context("it is changed, but cannot be watched"),
        Err(_) => Ok(false),
    }
}
