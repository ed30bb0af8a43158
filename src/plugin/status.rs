//! `kubectl snaphook status`: why is this not ready? Follows the chain from a resource to everything that it depends on.

mod checks;
mod facts;
mod report;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::{Api, api::ListParams};

use self::{
    facts::Chain,
    report::{Overview, ResourceReport},
};
use super::{
    cluster::{Cluster, Place},
    exec::SERVER_NAMESPACE,
    kind_name::{KindArg, KindName},
    output::Output,
};
use crate::{
    controller::report::READY,
    crd::{AppCredential, Kind, Webhook, WebhookCredential, condition::ConditionStatus},
};

/// Arguments of `kubectl snaphook status`.
#[derive(clap::Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Resources [default: all of the namespace]
    #[arg(value_name = "[KIND/]NAME")]
    resources: Vec<KindName>,
    #[command(flatten)]
    place: Place,
    /// All resources of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["resources", "namespace"])]
    all_namespaces: bool,
    /// Where the controller runs
    #[arg(long, value_name = "NAMESPACE", default_value = SERVER_NAMESPACE)]
    server_namespace: String,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cluster = args.place.cluster().await?;
    let mut resources = Vec::new();
    if args.resources.is_empty() {
        let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
        resources.extend(all::<AppCredential>(&cluster, namespace).await?);
        resources.extend(all::<Webhook>(&cluster, namespace).await?);
        resources.extend(all::<WebhookCredential>(&cluster, namespace).await?);
    }
    for wanted in &args.resources {
        resources.extend(named(&cluster, wanted).await?);
    }
    let seen = resources.iter().all(|resource| resource.seen);
    let controller = if seen { None } else { Some(facts::controller(&cluster, &args.server_namespace).await?) };
    let overview = Overview { resources, controller };
    let text = report::text(&overview, !args.resources.is_empty(), Timestamp::now());
    args.output.show(&overview, &text, overview.resources.iter().all(|resource| resource.ready))
}

async fn all<K: Chain>(cluster: &Cluster, namespace: Option<&str>) -> anyhow::Result<Vec<ResourceReport>> {
    let api: Api<K> = match namespace {
        Some(namespace) => cluster.api(namespace),
        None => Api::all(cluster.client.clone()),
    };
    let found = api.list(&ListParams::default()).await;
    let found = found.with_context(|| format!("{}s cannot be listed: are the CRDs installed?", K::KIND))?;
    let mut reports = Vec::new();
    for resource in found {
        // Of ten thousand that are well nobody wants to know more, and each look is several requests.
        reports.push(if is_ready(&resource, None) {
            facts::alone(&resource)
        } else {
            facts::look(cluster, &resource).await?
        });
    }
    Ok(reports)
}

/// The resources of this name, of whatever kind.
async fn named(cluster: &Cluster, wanted: &KindName) -> anyhow::Result<Vec<ResourceReport>> {
    let mut found = Vec::new();
    for kind in wanted.kinds() {
        match kind {
            KindArg::AppCredential => found.extend(one::<AppCredential>(cluster, &wanted.name).await?),
            KindArg::Webhook => found.extend(one::<Webhook>(cluster, &wanted.name).await?),
            KindArg::WebhookCredential => found.extend(one::<WebhookCredential>(cluster, &wanted.name).await?),
        }
    }
    if found.is_empty() {
        let kinds: Vec<&str> = wanted.kinds().into_iter().map(KindArg::as_str).collect();
        bail!("there is no {} {} in namespace {}", kinds.join(" or "), wanted.name, cluster.namespace)
    }
    Ok(found)
}

async fn one<K: Chain>(cluster: &Cluster, name: &str) -> anyhow::Result<Option<ResourceReport>> {
    let api: Api<K> = cluster.api(&cluster.namespace);
    let found = api.get_opt(name).await.with_context(|| format!("{} {name} in {}", K::KIND, cluster.namespace))?;
    match found {
        Some(resource) => facts::look(cluster, &resource).await.map(Some),
        None => Ok(None),
    }
}

/// Whether the controller has looked at this generation, or the resource's own, and is content.
pub(super) fn is_ready<K: Kind>(resource: &K, generation: Option<i64>) -> bool {
    let generation = generation.or(resource.meta().generation).unwrap_or_default();
    let ready = resource.conditions().iter().find(|condition| condition.type_ == READY);
    ready.is_some_and(|ready| ready.status == ConditionStatus::True && ready.observed_generation >= generation)
        && resource.meta().deletion_timestamp.is_none()
}
