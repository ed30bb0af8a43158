//! Flow 1, step 1: what only one kind depends on, as the cluster has it.

use std::future::{self, Future};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt as _};

use super::{Cluster, record_id};
use crate::{
    controller::{
        api::call_opt,
        app_credential::fetch::Around as AppCredentialAround,
        apply::ApplyError,
        fetch::Depth,
        records::{Id, RecordCaches},
        steps::Steps,
        watches::{Listed, Of as _},
        webhook::fetch::{self as webhook, Around as WebhookAround},
        webhook_credential::fetch::Around as WebhookCredentialAround,
    },
    crd::{AppCredential, Kind as _, Webhook, WebhookCredential},
    record::{EndpointRecord, InjectionRecord},
};

/// Looks at what only one kind depends on.
pub trait Surroundings<K: Steps> {
    /// What has to be listed before.
    fn needs(&self) -> Vec<&Listed> {
        Vec::new()
    }
    /// Removes what only one kind has besides its record.
    fn delete_routes(&self, _: &K) -> impl Future<Output = Result<(), ApplyError>> + Send {
        future::ready(Ok(()))
    }
    /// Looks.
    fn around(&self, resource: &K, depth: Depth) -> impl Future<Output = Result<K::Around, ApplyError>> + Send;
}

impl Surroundings<AppCredential> for Cluster {
    async fn around(&self, resource: &AppCredential, _: Depth) -> Result<AppCredentialAround, ApplyError> {
        // Only ids that were chosen can meet, and there may be many resources without.
        let chosen = resource.spec.client_id.is_some();
        let all = self.all_resources.iter().filter(|_| chosen).flat_map(|resources| resources.of().state());
        let all: Vec<_> = all.collect();
        Ok(AppCredentialAround::of(resource, all.iter().filter_map(|guarded| guarded.0.as_ref().ok())))
    }
}

impl Surroundings<WebhookCredential> for Cluster {
    fn needs(&self) -> Vec<&Listed> {
        vec![self.caches.resources.webhooks.listed()]
    }

    async fn around(&self, resource: &WebhookCredential, _: Depth) -> Result<WebhookCredentialAround, ApplyError> {
        let webhooks = self.caches.resources.webhooks.within(&resource.namespace().unwrap_or_default());
        Ok(WebhookCredentialAround::of(resource, webhooks.iter().filter_map(|guarded| guarded.0.as_ref().ok())))
    }
}

impl Surroundings<Webhook> for Cluster {
    fn needs(&self) -> Vec<&Listed> {
        let routes = [self.caches.ingresses.listed(), self.caches.http_routes.listed()];
        routes.into_iter().chain(self.all_records.iter().flat_map(RecordCaches::listed)).collect()
    }

    async fn delete_routes(&self, resource: &Webhook) -> Result<(), ApplyError> {
        self.delete_routes_of(resource).await
    }

    async fn around(&self, resource: &Webhook, depth: Depth) -> Result<WebhookAround, ApplyError> {
        Ok(WebhookAround {
            has_credential: self.has_credential(resource),
            service: self.service(resource).await?,
            has_url: self.has_url(resource),
            routes: self.routes(resource, depth).await,
        })
    }
}

impl Cluster {
    /// As the server sees it: a credential that is not ready has no record.
    fn has_credential(&self, resource: &Webhook) -> bool {
        let namespace = resource.namespace().unwrap_or_default();
        resource.credential().is_some_and(|name| {
            let id = Id::of::<InjectionRecord>(WebhookCredential::KIND, &namespace, name);
            self.records.cached::<InjectionRecord>(&namespace, &id).is_some_and(|record| record.document.is_some())
        })
    }

    /// Asked for each time: foreign Services are in no cache.
    async fn service(&self, resource: &Webhook) -> Result<Option<Service>, ApplyError> {
        let Some(reference) = &resource.spec.delivery.service else { return Ok(None) };
        let api = Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default());
        call_opt(&format!("the Service {}", reference.name), api.get(&reference.name)).await
    }

    /// Only an id from an earlier life can be another's as well: whoever may write the Secret may have put it there.
    fn has_url(&self, resource: &Webhook) -> Option<String> {
        let namespace = resource.namespace().unwrap_or_default();
        if self.records.cached::<EndpointRecord>(&namespace, &record_id(resource)).is_some() {
            return None;
        }
        let secret = self.caches.consumers.get(&namespace, &resource.consumer_name())?;
        let id = webhook::retained_id(resource, &secret)?;
        let with_id = |records: &RecordCaches| records.documents_with::<EndpointRecord>(id.expose());
        let records = self.all_records.iter().flat_map(with_id);
        let mut holders = records.filter_map(|document| webhook::holder(&id, &document, resource));
        holders.next()
    }
}
