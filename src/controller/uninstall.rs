//! Flow 1, the way out of an installation: what nobody would remove once the controller is gone.
//!
//! | | the finalizer | records, what else cleaning up removes | signing keys |
//! |---|---|---|---|
//! | resources stay ([`Extent::Finalizers`]) | removed | of resources that are being deleted | stay |
//! | resources go with their CRDs ([`Extent::Everything`]) | removed | removed, with routes | removed |
//!
//! In the first case a controller that is installed again goes on where the last one ended.

use std::{fmt::Debug, time::Duration};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::{core::v1::Secret, networking::v1::Ingress};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectList},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

use super::{
    api::call_opt,
    apply::{ApplyError, World, has_finalizer},
    cleanup::cleanup,
    cluster::Cluster,
    route::{self, HttpRoute},
    run,
    steps::Steps,
};
use crate::{
    config::Config,
    crd::{AppCredential, Kind, Webhook, WebhookCredential},
    record,
};

const PAGE: u32 = 500;
/// Objects may change while they are looked at.
const ROUNDS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// How much is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Resources stay, with everything that they need to go on.
    Finalizers,
    /// Resources are about to be deleted.
    Everything,
}

/// How much was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// From so many resources.
    pub finalizers: usize,
    /// Besides those of these resources.
    pub records: usize,
}

/// Removes what nobody would remove later. The caller makes sure that no controller works. Again does no harm.
///
/// # Errors
/// What could not be removed, after some tries.
pub async fn uninstall(
    client: &Client,
    realm_namespace: &str,
    config: &Config,
    extent: Extent,
) -> Result<Removed, ApplyError> {
    let mut removed = Removed::default();
    for (namespace, cluster) in run::unwatched(client, realm_namespace, config) {
        let scope = Scope { client, namespace: namespace.as_deref(), cluster, extent };
        removed.finalizers += scope.release_all::<AppCredential>().await?;
        removed.finalizers += scope.release_all::<WebhookCredential>().await?;
        removed.finalizers += scope.release_all::<Webhook>().await?;
        if extent == Extent::Everything {
            removed.records += scope.remove_records(realm_namespace).await?;
            scope.remove_routes::<Ingress>(realm_namespace).await?;
            scope.remove_routes::<HttpRoute>(realm_namespace).await?;
        }
    }
    Ok(removed)
}

/// The resources of a namespace, or of all.
struct Scope<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    cluster: Cluster,
    extent: Extent,
}

impl Scope<'_> {
    /// Goes over the resources until none has the finalizer any more.
    async fn release_all<K: Steps>(&self) -> Result<usize, ApplyError>
    where
        Cluster: World<K>,
    {
        let (mut count, mut round) = (0, 1);
        loop {
            let held = self.held::<K>().await?;
            let results = stream::iter(&held).map(|resource| self.release(resource)).buffer_unordered(16);
            let (done, failed): (Vec<_>, Vec<_>) =
                results.collect::<Vec<_>>().await.into_iter().partition(Result::is_ok);
            count += done.len();
            match failed.into_iter().find_map(Result::err) {
                None => return Ok(count),
                Some(error) if round == ROUNDS => return Err(error),
                Some(error) => tracing::warn!(error = &error as &dyn std::error::Error, "trying again"),
            }
            tokio::time::sleep(PAUSE * round).await;
            round += 1;
        }
    }

    /// The resources with the finalizer; none, where their CRD is gone. They need not parse.
    async fn held<K: Kind>(&self) -> Result<Vec<K>, ApplyError> {
        let api: Api<K> = run::scoped(self.client, self.namespace);
        let (mut held, mut params) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let page = call_opt(K::KIND, api.list_metadata(&params)).await?;
            let Some(ObjectList { items, metadata, .. }) = page else { return Ok(held) };
            let resources = items.into_iter().map(|PartialObjectMeta { metadata, .. }| K::unreadable(metadata));
            held.extend(resources.filter(has_finalizer));
            match metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(held),
            }
        }
    }

    async fn release<K: Steps>(&self, resource: &K) -> Result<(), ApplyError>
    where
        Cluster: World<K>,
    {
        let goes = self.extent == Extent::Everything || resource.meta().deletion_timestamp.is_some();
        if goes { cleanup(&self.cluster, resource).await } else { self.cluster.remove_finalizer(resource).await }
    }

    /// Ours of one kind. None, where the API server does not have it.
    async fn remove_routes<K>(&self, realm_namespace: &str) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), realm_namespace);
        let all = call_opt("the routes", api.list_metadata(&ListParams::default().labels(route::LABEL))).await?;
        for route in all.map(|list| list.items).unwrap_or_default() {
            let name = route.name_any();
            call_opt(&format!("the route {name}"), api.delete(&name, &DeleteParams::default())).await?;
        }
        Ok(())
    }

    /// Signing keys, and records of resources that are gone.
    async fn remove_records(&self, realm_namespace: &str) -> Result<usize, ApplyError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), realm_namespace);
        let all = call_opt("the records", api.list_metadata(&ListParams::default().labels(record::LABEL))).await?;
        let all = all.map(|list| list.items).unwrap_or_default();
        for record in &all {
            let name = record.name_any();
            call_opt(&format!("the record {name}"), api.delete(&name, &DeleteParams::default())).await?;
        }
        Ok(all.len())
    }
}
