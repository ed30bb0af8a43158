//! Flow 1, step 1: what only one kind depends on, as the cluster has it.

use std::future::Future;

use super::Cluster;
use crate::{
    controller::{
        app_credential::fetch::Around as AppCredentialAround,
        apply::ApplyError,
        fetch::Depth,
        steps::Steps,
        watches::{Listed, Of as _},
        webhook_credential::fetch::Around as WebhookCredentialAround,
    },
    crd::{AppCredential, WebhookCredential},
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
        let all: Vec<_> = self.all_resources.iter().flat_map(|resources| resources.of().state()).collect();
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
