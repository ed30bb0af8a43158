//! `kubectl snaphook token` and `verify`: what an app does with its Secret, done by hand.

mod claims;
mod client;

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;

use self::client::{Answer, Server};
use super::{
    cluster::{Cluster, Place},
    output::Output,
};
use crate::{
    controller::{consumer::key, fetch},
    crd::{AppCredential, Kind as _},
};

/// Whose Secret, and where its server is.
#[derive(clap::Args, Debug)]
struct Whose {
    /// The AppCredential
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: Place,
    /// Reach the server here, instead of where the Secret says: scheme, host and port, such as `http://127.0.0.1:8080` of a port-forward
    #[arg(long, value_name = "URL")]
    server: Option<Server>,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Arguments of `kubectl snaphook token`.
#[derive(clap::Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct TokenArgs {
    #[command(flatten)]
    whose: Whose,
    /// Ask for these scopes, separated by spaces [default: all]
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// Ask for a token for this audience (RFC 8707) [default: the only one]
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// Print the token as well: whoever has it is the app until it expires
    #[arg(long)]
    show_token: bool,
}

/// Arguments of `kubectl snaphook verify`.
#[derive(clap::Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct VerifyArgs {
    #[command(flatten)]
    whose: Whose,
}

/// What the Secret of an app holds.
struct Credentials {
    secret_name: String,
    client_id: String,
    current: KeyedSecret,
    /// While an overlap lasts.
    previous: Option<KeyedSecret>,
    token_url: String,
}

/// A client secret, and the key that it lies under.
struct KeyedSecret {
    key: String,
    value: SecretString,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenShown {
    client_id: String,
    expires_in: i64,
    scope: String,
    claims: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
}

/// Whether one secret authenticates.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    client_id: String,
    secret: String,
    key: String,
    authenticates: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn token(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let TokenArgs { whose, scope, resource, show_token } = args;
    let credentials = whose.credentials().await?;
    let wishes = [("scope", scope.as_deref()), ("resource", resource.as_deref())];
    let answer = whose.ask(&credentials, &credentials.current, &wishes).await?;
    let (token, expires_in, scope) = match answer {
        Answer::Token { token, expires_in, scope } => (token, expires_in, scope),
        Answer::Refused { status, error, description } => bail!("the server refused: {status} {error}: {description}"),
    };
    let claims = claims::decode(&token).context("the server sent what is no JWT")?;
    let client_id = credentials.client_id;
    let text = claims::table(&claims, Timestamp::now());
    let access_token = show_token.then_some(token);
    let text = access_token.iter().fold(text, |text, token| format!("{text}\n{token}\n"));
    whose.output.show(&TokenShown { client_id, expires_in, scope, claims, access_token }, &text, true)
}

pub(super) async fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let VerifyArgs { whose } = args;
    let credentials = whose.credentials().await?;
    let mut all = Vec::new();
    for keyed in std::iter::once(&credentials.current).chain(&credentials.previous) {
        let error = match whose.ask(&credentials, keyed, &[]).await? {
            // Who is told about the request was let in.
            Answer::Token { .. } | Answer::Refused { status: 400, .. } => None,
            Answer::Refused { error, description, .. } => Some(format!("{error}: {description}")),
        };
        let (client_id, secret) = (credentials.client_id.clone(), credentials.secret_name.clone());
        all.push(Verified { client_id, secret, key: keyed.key.clone(), authenticates: error.is_none(), error });
    }
    let text: String = all.iter().map(line).collect();
    // The former secret ends some day: that is no failure.
    let yes = all.first().is_some_and(|current| current.authenticates);
    whose.output.show(&all, &text, yes)
}

fn line(verified: &Verified) -> String {
    let Verified { client_id, secret, key, authenticates, error } = verified;
    let verb = if *authenticates { "authenticates" } else { "does not authenticate" };
    let error = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    format!("{key} in the Secret {secret} {verb} {client_id}{error}\n")
}

impl Whose {
    async fn credentials(&self) -> anyhow::Result<Credentials> {
        let cluster = self.place.cluster().await?;
        let credential: AppCredential = cluster.get(&cluster.namespace, &self.name).await?;
        read(&cluster, &credential).await
    }

    async fn ask(
        &self,
        credentials: &Credentials,
        secret: &KeyedSecret,
        wishes: &[(&str, Option<&str>)],
    ) -> anyhow::Result<Answer> {
        client::ask(&credentials.token_url, self.server.as_ref(), &credentials.client_id, &secret.value, wishes).await
    }
}

async fn read(cluster: &Cluster, credential: &AppCredential) -> anyhow::Result<Credentials> {
    let status = credential.status.as_ref().and_then(|status| status.secret_name.clone());
    let name = status.unwrap_or_else(|| credential.consumer_name());
    let secret: Secret = cluster.get(&cluster.namespace, &name).await.with_context(|| {
        format!(
            "without its Secret nothing can be tried: kubectl snaphook status appcredential/{}",
            credential.name_any()
        )
    })?;
    let keys = credential.spec.secret_template.as_ref().and_then(|template| template.keys.clone()).unwrap_or_default();
    let value = |key: &str| {
        let bytes = fetch::data(&secret).get(key).map(|value| value.0.clone());
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(|text| text.trim_end_matches('\n').to_owned())
    };
    let needed = |key: &str| value(key).with_context(|| format!("the Secret {name} has no key {key}"));
    let (id, current) = (key(keys.client_id, "client-id"), key(keys.client_secret, "client-secret"));
    if credential.spec.secret_hash.is_some() {
        bail!("the Secret {name} has no client secret: only the hash is known here (spec.secretHash)")
    }
    let previous = key(keys.client_secret_previous, "client-secret-previous");
    Ok(Credentials {
        client_id: needed(&id)?,
        current: KeyedSecret { value: needed(&current)?.into(), key: current },
        previous: value(&previous).map(|value| KeyedSecret { key: previous, value: value.into() }),
        token_url: needed(&key(keys.token_url, "token-url"))?,
        secret_name: name,
    })
}
