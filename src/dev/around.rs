//! Flow 1 without a cluster: what only one kind depends on, as the files have it.

use super::{resources::Of as _, world::Directory};
use crate::{
    controller::{
        app_credential::fetch::Around as AppCredentialAround, steps::Steps,
        webhook_credential::fetch::Around as WebhookCredentialAround,
    },
    crd::{AppCredential, Webhook, WebhookCredential},
};

/// Looks at what only one kind depends on.
pub trait Surroundings<K: Steps> {
    /// Looks.
    fn around(&self, resource: &K) -> K::Around;
}

impl Surroundings<AppCredential> for Directory {
    fn around(&self, resource: &AppCredential) -> AppCredentialAround {
        AppCredentialAround::of(resource, self.resources.of().iter())
    }
}

impl Surroundings<WebhookCredential> for Directory {
    fn around(&self, resource: &WebhookCredential) -> WebhookCredentialAround {
        WebhookCredentialAround::of(resource, self.objects::<Webhook>().iter())
    }
}
