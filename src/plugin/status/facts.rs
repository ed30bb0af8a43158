//! `kubectl snaphook status`: looks at a resource and everything on its chain.

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event, Secret, Service},
};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::Value;

use super::{
    checks::{self, Check},
    is_ready,
    report::{EventReport, ResourceReport},
};
use crate::{
    config::LeaderElection,
    crd::{AppCredential, Kind, Report as _, Webhook, WebhookCredential},
    plugin::cluster::{Cluster, Look},
};

/// What a kind depends on besides Secrets.
pub(super) trait Chain: Kind {
    /// Looks at it.
    async fn beyond_secrets(&self, _: &Cluster) -> anyhow::Result<Vec<Check>> {
        Ok(Vec::new())
    }
}

impl Chain for AppCredential {}

impl Chain for WebhookCredential {}

impl Chain for Webhook {
    async fn beyond_secrets(&self, cluster: &Cluster) -> anyhow::Result<Vec<Check>> {
        let namespace = self.namespace().unwrap_or_default();
        let mut found = Vec::new();
        if let Some(name) = self.credential() {
            let credential: Look<WebhookCredential> = cluster.look(&namespace, name).await?;
            found.push(checks::credential(name, &credential));
        }
        if let Some(reference) = &self.spec.delivery.service {
            let service: Look<Service> = cluster.look(&namespace, &reference.name).await?;
            found.push(checks::service(&self.spec.delivery, &namespace, &service));
        }
        let route = self.status.as_ref().and_then(|status| status.route.as_ref());
        found.extend(route.map(checks::route));
        Ok(found)
    }
}

/// What the resource itself tells.
pub(super) fn alone<K: Kind>(resource: &K) -> ResourceReport {
    ResourceReport {
        kind: K::KIND,
        namespace: resource.namespace().unwrap_or_default(),
        name: resource.name_any(),
        ready: is_ready(resource, None),
        seen: checks::is_seen(resource),
        state: state(resource),
        conditions: resource.conditions().to_vec(),
        checks: Vec::new(),
        events: Vec::new(),
    }
}

/// What kinds with a state say of it.
fn state<K: Kind>(resource: &K) -> Option<String> {
    let status = serde_json::to_value(resource.status()).ok()?;
    status.get("state").and_then(Value::as_str).map(str::to_owned)
}

/// Looks at everything that a resource depends on.
pub(super) async fn look<K: Chain>(cluster: &Cluster, resource: &K) -> anyhow::Result<ResourceReport> {
    let namespace = resource.namespace().unwrap_or_default();
    let mut checks: Vec<Check> = checks::own(resource).into_iter().collect();
    let reported = resource.status().and_then(|status| status.secret_name().map(str::to_owned));
    let secret_name = reported.unwrap_or_else(|| resource.consumer_name());
    let secret: Look<Secret> = cluster.look(&namespace, &secret_name).await?;
    checks.push(checks::consumer(resource, &secret_name, &secret));
    for from in resource.references() {
        let secret: Look<Secret> = cluster.look(&namespace, &from.secret_key_ref.name).await?;
        checks.push(checks::reference(&namespace, from, &secret));
    }
    checks.extend(resource.beyond_secrets(cluster).await?);
    Ok(ResourceReport { checks, events: events(cluster, resource, &namespace).await?, ..alone(resource) })
}

/// The Events about this very resource, newest first; none where they may not be read.
async fn events<K: Kind>(cluster: &Cluster, resource: &K, namespace: &str) -> anyhow::Result<Vec<EventReport>> {
    let selector = format!("involvedObject.uid={}", resource.uid().unwrap_or_default());
    let api: Api<Event> = cluster.api(namespace);
    let found = match api.list(&ListParams::default().fields(&selector)).await {
        Ok(found) => found.items,
        Err(kube::Error::Api(status)) if status.code == 403 => Vec::new(),
        Err(error) => return Err(error).context("Events cannot be listed"),
    };
    let mut events: Vec<EventReport> = found.into_iter().map(event).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.last));
    Ok(events)
}

fn event(event: Event) -> EventReport {
    let Event { type_, reason, message, count, series, last_timestamp, event_time, metadata, .. } = event;
    let of_series = series.as_ref().and_then(|series| series.last_observed_time.as_ref().map(|time| time.0));
    let last = of_series.or(last_timestamp.map(|time| time.0)).or(event_time.map(|time| time.0));
    EventReport {
        type_: type_.unwrap_or_default(),
        reason: reason.unwrap_or_default(),
        message: message.unwrap_or_default(),
        count: series.and_then(|series| series.count).or(count).unwrap_or(1),
        last: last.or(metadata.creation_timestamp.map(|time| time.0)),
    }
}

/// Whether a controller is at work.
pub(super) async fn controller(cluster: &Cluster, namespace: &str) -> anyhow::Result<Check> {
    let name = LeaderElection::default().lease_name;
    let lease: Look<Lease> = cluster.look(namespace, &name).await?;
    Ok(checks::controller(namespace, &name, &lease, Timestamp::now()))
}
