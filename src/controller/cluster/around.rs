//! Flow 1, step 1: what only one kind depends on, as the cluster has it.

use std::future::Future;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt as _, runtime::reflector::ObjectRef};

use super::{Cluster, record_name, stored_record};
use crate::{
    controller::{
        api::call_opt,
        app_credential::fetch::Around as AppCredentialAround,
        apply::ApplyError,
        fetch::Depth,
        steps::Steps,
        watches::{Listed, Of as _},
        webhook::fetch::{self as webhook, Around as WebhookAround},
        webhook_credential::fetch::Around as WebhookCredentialAround,
    },
    crd::{AppCredential, Kind as _, Webhook, WebhookCredential},
    record::{self, EndpointRecord, InjectionRecord},
};

/// Looks at what only one kind depends on.
pub trait Surroundings<K: Steps> {
    /// What has to be listed before.
    fn needs(&self) -> Vec<&Listed> {
        Vec::new()
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
        let webhooks = self.caches.resources.webhooks.state();
        Ok(WebhookCredentialAround::of(resource, webhooks.iter().filter_map(|guarded| guarded.0.as_ref().ok())))
    }
}

impl Surroundings<Webhook> for Cluster {
    async fn around(&self, resource: &Webhook, _: Depth) -> Result<WebhookAround, ApplyError> {
        Ok(WebhookAround {
            has_credential: self.has_credential(resource),
            service: self.service(resource).await?,
            has_url: self.has_url(resource),
        })
    }
}

impl Cluster {
    /// As the server sees it: a credential that is not ready has no record.
    fn has_credential(&self, resource: &Webhook) -> bool {
        let namespace = resource.namespace().unwrap_or_default();
        let record = resource.credential().and_then(|name| {
            let name = record::secret_name(WebhookCredential::KIND, &namespace, name);
            self.caches.records.get(&ObjectRef::new(&name).within(&self.realm_namespace))
        });
        record.is_some_and(|secret| stored_record::<InjectionRecord>(&secret).document.is_some())
    }

    /// Asked for each time: foreign Services are in no cache.
    async fn service(&self, resource: &Webhook) -> Result<Option<Service>, ApplyError> {
        let Some(reference) = &resource.spec.delivery.service else { return Ok(None) };
        let api = Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default());
        call_opt(&format!("the Service {}", reference.name), api.get(&reference.name)).await
    }

    /// Only an id from an earlier life can be another's as well: whoever may write the Secret may have put it there.
    fn has_url(&self, resource: &Webhook) -> Option<String> {
        let record = ObjectRef::new(&record_name(resource)).within(&self.realm_namespace);
        if self.caches.records.get(&record).is_some() {
            return None;
        }
        let namespace = resource.namespace().unwrap_or_default();
        let secret = self.caches.consumers.get(&ObjectRef::new(&resource.consumer_name()).within(&namespace))?;
        let id = webhook::retained_id(resource, &secret)?;
        let records = self.all_records.iter().flat_map(|records| records.state());
        let mut holders = records
            .filter_map(|secret| stored_record::<EndpointRecord>(&secret).document)
            .filter_map(|document| webhook::holder(&id, &document, resource));
        holders.next()
    }
}
