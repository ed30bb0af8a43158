//! `kubectl snaphook uninstall`: what would hang or be lost without Snaphook, and, unless only that was asked for, the way out: the
//! controller is stopped, and what nobody would remove later is removed.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::ConfigMap},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use serde::Serialize;

use super::{
    USAGE,
    cluster::Which,
    confirm::{self, Consent},
    exec::SERVER_NAMESPACE,
    output::Output,
};
use crate::{
    app::uninstall::remove,
    config::Config,
    controller::{
        apply::FINALIZER,
        uninstall::{Extent, Removed},
    },
    crd::{AppCredential, DeletionPolicy, Kind, Report as _, Webhook, WebhookCredential},
};

/// The controller, as the chart labels it.
const CONTROLLER: &str = "app.kubernetes.io/name=snaphook,app.kubernetes.io/component=controller";
/// Its configuration: a volume of its Pods, and a key in the `ConfigMap` there.
const CONFIG: (&str, &str) = ("config", "config.yaml");

/// Arguments of `kubectl snaphook uninstall`.
#[derive(clap::Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Only look
    #[arg(long, conflicts_with_all = ["purge", "yes"])]
    check: bool,
    /// Remove records, signing keys and routes as well: for when the CRDs are deleted, and all resources with them
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How long to wait for the controller to end
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = crate::app::server::duration)]
    timeout: Duration,
    /// Where the controller runs
    #[arg(long, value_name = "NAMESPACE", default_value = SERVER_NAMESPACE)]
    server_namespace: String,
    #[command(flatten)]
    which: Which,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What is there.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outlook {
    /// Resources with the controller's finalizer: deleting them, or their namespace, or the CRDs, hangs where no controller runs.
    would_hang: Vec<Named>,
    /// Secrets that go with their resource, when that is deleted or its CRD is.
    would_be_lost: Vec<Named>,
    /// Secrets that stay.
    would_stay: Vec<Named>,
    /// CRDs that `helm uninstall` leaves, with all their resources.
    kept_definitions: Vec<String>,
    /// CRDs that go, and with them every resource.
    other_definitions: Vec<String>,
}

#[derive(Serialize)]
struct Named {
    kind: &'static str,
    namespace: String,
    name: String,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cluster = args.which.config().await?;
    let client = Client::try_from(cluster.clone()).context("the cluster's configuration cannot be used")?;
    let outlook = Outlook::of(&client).await?;
    if args.check {
        let lost = !outlook.would_be_lost.is_empty() && !outlook.other_definitions.is_empty();
        return args.output.show(&outlook, &text(&outlook), outlook.would_hang.is_empty() && !lost);
    }
    let controller = Controller::find(&client, &args.server_namespace).await?;
    eprint!("{}", crate::terminal::lines(text(&outlook).as_bytes()));
    match confirm::ask(&controller.question(args.purge), args.yes)? {
        Consent::Given => {}
        Consent::Refused => return Ok(ExitCode::FAILURE),
        Consent::NobodyToAsk => return Ok(ExitCode::from(USAGE)),
    }
    let extent = if args.purge { Extent::Everything } else { Extent::Finalizers };
    let Removed { finalizers, records } =
        remove(cluster, &controller.config, Some(&controller.deployment), extent, args.timeout).await?;
    let done = Done { finalizers, records };
    let said = format!(
        "The controller is stopped. {finalizers} finalizers and {records} records were removed: nothing is left that would hang.\n\
         What is left to do: helm uninstall --no-hooks, or delete what was applied.\n"
    );
    args.output.show(&done, &said, true)
}

/// What was removed.
#[derive(Serialize)]
struct Done {
    finalizers: usize,
    records: usize,
}

/// The controller of an installation.
struct Controller {
    namespace: String,
    deployment: String,
    config: Config,
}

impl Controller {
    /// With the configuration that its Pods have.
    async fn find(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let found = api.list(&ListParams::default().labels(CONTROLLER)).await;
        let found = found.with_context(|| format!("Deployments in namespace {namespace} cannot be listed"))?.items;
        let [deployment] = &found[..] else {
            bail!(
                "{} Deployments in namespace {namespace} have the labels {CONTROLLER}: --server-namespace names another namespace; \
                 a controller that the chart did not install is stopped by hand, and then: snaphook uninstall --config FILE",
                found.len()
            )
        };
        let deployment_name = deployment.name_any();
        let name = config_map(deployment)
            .with_context(|| format!("the Deployment {deployment_name} has no volume {} with a ConfigMap", CONFIG.0))?;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let map = maps.get(name).await.with_context(|| format!("the ConfigMap {name}"))?;
        let yaml = map.data.as_ref().and_then(|data| data.get(CONFIG.1));
        let yaml = yaml.with_context(|| format!("the ConfigMap {name} has no key {}", CONFIG.1))?;
        let mut config = Config::parse(yaml).with_context(|| format!("the ConfigMap {name}"))?;
        // As its Pods understand it: theirs is the namespace.
        config.realm.namespace.get_or_insert_with(|| namespace.to_owned());
        Ok(Self { namespace: namespace.to_owned(), deployment: deployment_name, config })
    }

    fn question(&self, purge: bool) -> String {
        let Self { namespace, deployment, .. } = self;
        let more = if purge {
            "remove the finalizer of every resource, every record, the signing keys and the routes? \
             All tokens and URLs end with that, for good"
        } else {
            "remove the finalizer of every resource? Secrets, records and keys stay, and servers go on"
        };
        format!("Stop the controller {deployment} in namespace {namespace}, and {more}.")
    }
}

fn config_map(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let volume = pod.volumes.iter().flatten().find(|volume| volume.name == CONFIG.0)?;
    Some(&volume.config_map.as_ref()?.name)
}

impl Outlook {
    async fn of(client: &Client) -> anyhow::Result<Self> {
        let mut outlook = Self::default();
        definitions(client, &mut outlook).await?;
        if !(outlook.kept_definitions.is_empty() && outlook.other_definitions.is_empty()) {
            add::<AppCredential>(client, &mut outlook, |credential| credential.spec.deletion_policy).await?;
            add::<Webhook>(client, &mut outlook, |webhook| webhook.spec.deletion_policy).await?;
            add::<WebhookCredential>(client, &mut outlook, |_| None).await?;
        }
        Ok(outlook)
    }
}

async fn definitions(client: &Client, outlook: &mut Outlook) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for ours in crate::crd::all() {
        let name = ours.name_any();
        let Some(found) = api.get_opt(&name).await.with_context(|| format!("the CRD {name}"))? else { continue };
        let keeps = found.annotations().get("helm.sh/resource-policy").is_some_and(|policy| policy == "keep");
        let list = if keeps { &mut outlook.kept_definitions } else { &mut outlook.other_definitions };
        list.push(name);
    }
    Ok(())
}

async fn add<K: Kind>(
    client: &Client,
    outlook: &mut Outlook,
    policy: impl Fn(&K) -> Option<DeletionPolicy>,
) -> anyhow::Result<()> {
    let api: Api<K> = Api::all(client.clone());
    let found = api.list(&ListParams::default()).await.with_context(|| format!("{}s cannot be listed", K::KIND))?;
    for resource in found {
        judge(outlook, &resource, policy(&resource).unwrap_or_default());
    }
    Ok(())
}

fn judge<K: Kind>(outlook: &mut Outlook, resource: &K, policy: DeletionPolicy) {
    let namespace = resource.namespace().unwrap_or_default();
    let named = |kind, name: &str| Named { kind, namespace: namespace.clone(), name: name.to_owned() };
    if resource.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        outlook.would_hang.push(named(K::KIND, &resource.name_any()));
    }
    let Some(secret) = resource.status().and_then(|status| status.secret_name()) else { return };
    match policy {
        DeletionPolicy::Delete => outlook.would_be_lost.push(named("Secret", secret)),
        DeletionPolicy::Retain => outlook.would_stay.push(named("Secret", secret)),
    }
}

// A String takes everything that is written to it.
fn text(outlook: &Outlook) -> String {
    let Outlook { would_hang, would_be_lost, would_stay, kept_definitions, other_definitions } = outlook;
    let mut text = String::new();
    let lists = [
        (
            would_hang,
            "would hang when they are deleted and no controller runs (helm uninstall sees to it; kubectl delete of the controller does not)",
        ),
        (would_be_lost, "go with their resource: when it is deleted, or its CRD is"),
        (would_stay, "stay (deletionPolicy: Retain)"),
    ];
    for (list, what) in lists.into_iter().filter(|(list, _)| !list.is_empty()) {
        let _ = writeln!(text, "{} {what}", list.len());
        for Named { kind, namespace, name } in list {
            let _ = writeln!(text, "  {kind} {namespace}/{name}");
        }
    }
    for (names, what) in [
        (kept_definitions, "stay, with all their resources"),
        (other_definitions, "go with helm uninstall, if they are the chart's, and with them every resource"),
    ]
    .into_iter()
    .filter(|(names, _)| !names.is_empty())
    {
        let _ = writeln!(text, "CRDs that {what}: {}", names.join(", "));
    }
    if text.is_empty() { "There is nothing of Snaphook in this cluster.\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_hangs_what_is_lost_and_what_stays() {
        let mut outlook = Outlook::default();
        for (name, policy, finalizers) in [
            ("a", DeletionPolicy::Delete, json!([FINALIZER])),
            ("b", DeletionPolicy::Retain, json!([FINALIZER, "x"])),
            ("c", DeletionPolicy::Delete, json!(["x"])),
        ] {
            let credential: AppCredential = serde_json::from_value(json!({"apiVersion": "snaphook.dev/v1alpha1", "kind": "AppCredential",
                "metadata": {"name": name, "namespace": "ns", "finalizers": finalizers}, "spec": {}, "status": {"secretName": format!("{name}-credential")}}))
            .unwrap();
            judge(&mut outlook, &credential, policy);
        }
        let names = |list: &[Named]| list.iter().map(|named| named.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&outlook.would_hang), ["a", "b"]);
        assert_eq!(names(&outlook.would_be_lost), ["a-credential", "c-credential"]);
        assert_eq!(names(&outlook.would_stay), ["b-credential"]);
        let text = text(&outlook);
        assert!(text.starts_with("2 would hang") && text.contains("\n  Secret ns/b-credential\n"), "{text}");
        assert!(self::text(&Outlook::default()).starts_with("There is nothing"));
    }
}
