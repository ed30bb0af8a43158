//! Start-up of `snaphook uninstall`: stops the controller, and removes what resources would hang on without one.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{controller::clients, server::duration};
use crate::{
    config::Config,
    controller::{
        leader::Candidate,
        uninstall::{Extent, Removed, uninstall},
    },
    crd::FIELD_MANAGER,
    telemetry::logging,
};

/// Arguments of `snaphook uninstall`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration of the controller
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Its Deployment in the realm's namespace, to be scaled to nothing. Without it, stop the controller first
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Remove records and signing keys as well: for when the resources are deleted with their CRDs. Without it, a controller
    /// that is installed again goes on where this one ends
    #[arg(long)]
    purge: bool,
    /// How long to wait for the controller to end
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    log_format: logging::Format,
}

/// Removes what nobody would remove later.
///
/// # Errors
/// What could not be removed, or a controller that does not end.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(args.log_format);
    super::runtime()?.block_on(work(args))
}

async fn work(args: Args) -> anyhow::Result<ExitCode> {
    let Args { config: file, deployment, purge, timeout, .. } = args;
    let config = Config::read(&file).with_context(|| file.display().to_string())?;
    let extent = if purge { Extent::Everything } else { Extent::Finalizers };
    let kubeconfig = super::cluster("uninstall").await?;
    let Removed { finalizers, records } = remove(kubeconfig, &config, deployment.as_deref(), extent, timeout).await?;
    tracing::info!(finalizers, records, "nothing is left that would hang");
    Ok(ExitCode::SUCCESS)
}

/// Scales the controller's Deployment to nothing, waits until no controller works, and removes what nobody would remove later.
pub(crate) async fn remove(
    kubeconfig: kube::Config,
    config: &Config,
    deployment: Option<&str>,
    extent: Extent,
    timeout: Duration,
) -> anyhow::Result<Removed> {
    let realm = config.realm.namespace.clone().unwrap_or_else(|| kubeconfig.default_namespace.clone());
    let (client, lease_client) = clients(kubeconfig).context("cannot use the cluster's configuration")?;
    if let Some(name) = deployment {
        scale_to_nothing(&client, &realm, name).await.with_context(|| format!("the Deployment {name}"))?;
    }
    let lease = &config.leader_election.lease_name;
    let mut candidate =
        Candidate::new(lease_client, &realm, "snaphook-uninstall".into(), config.leader_election.clone());
    let work = Box::pin(uninstall(&client, &realm, config, extent));
    let removed = tokio::time::timeout(timeout, candidate.lead_last(work)).await;
    let removed = removed
        .with_context(|| format!("not done after {timeout:?}: does a controller still hold the Lease {lease}?"))?;
    Ok(removed.with_context(|| format!("another controller took the Lease {lease}"))??)
}

/// A Deployment that is gone is stopped as well.
async fn scale_to_nothing(client: &Client, namespace: &str, name: &str) -> kube::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api.patch_scale(name, &params, &Patch::Merge(json!({ "spec": { "replicas": 0 } }))).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}
