//! Flow 1 without a cluster: what only one kind depends on, as the files have it.

use std::{collections::BTreeMap, io};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use kube::ResourceExt as _;

use super::{
    resources::Of as _,
    world::{Directory, record_name},
};
use crate::{
    controller::{
        app_credential::fetch::Around as AppCredentialAround,
        steps::Steps,
        webhook::{
            fetch::{self as webhook, Around as WebhookAround},
            route as webhook_route,
        },
        webhook_credential::fetch::Around as WebhookCredentialAround,
    },
    crd::{AppCredential, Kind as _, Webhook, WebhookCredential, webhook::ServiceRef},
    record::{self, EndpointRecord, InjectionRecord},
};

/// Looks at what only one kind depends on.
pub trait Surroundings<K: Steps> {
    /// Looks.
    ///
    /// # Errors
    /// Those of the file system.
    fn around(&self, resource: &K) -> io::Result<K::Around>;
}

impl Surroundings<AppCredential> for Directory {
    fn around(&self, resource: &AppCredential) -> io::Result<AppCredentialAround> {
        Ok(AppCredentialAround::of(resource, self.resources.of().iter()))
    }
}

impl Surroundings<WebhookCredential> for Directory {
    fn around(&self, resource: &WebhookCredential) -> io::Result<WebhookCredentialAround> {
        Ok(WebhookCredentialAround::of(resource, self.objects::<Webhook>().iter()))
    }
}

impl Surroundings<Webhook> for Directory {
    fn around(&self, resource: &Webhook) -> io::Result<WebhookAround> {
        Ok(WebhookAround {
            has_credential: self.has_credential(resource)?,
            // There are none here, and admission refuses who asks for one, unless somebody only wants to see.
            service: resource.spec.delivery.service.as_ref().filter(|_| self.assumes_services()).map(assumed),
            has_url: self.has_url(resource)?,
            // There is nobody here who could take one, and no configuration that asks for one.
            routes: webhook_route::Around::default(),
        })
    }
}

/// A Service that can be delivered to.
fn assumed(reference: &ServiceRef) -> Service {
    let port = ServicePort { port: reference.port, ..ServicePort::default() };
    let spec = ServiceSpec {
        cluster_ip: Some("10.0.0.1".to_owned()),
        selector: Some(BTreeMap::from([("app".to_owned(), reference.name.clone())])),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    Service { spec: Some(spec), ..Service::default() }
}

impl Directory {
    /// As the server sees it: a credential that is not ready has no record.
    fn has_credential(&self, resource: &Webhook) -> io::Result<bool> {
        let Some(name) = resource.credential() else { return Ok(false) };
        let namespace = resource.namespace().unwrap_or_default();
        let stored =
            self.records.read::<InjectionRecord>(&record::secret_name(WebhookCredential::KIND, &namespace, name))?;
        Ok(stored.is_some_and(|stored| stored.document.is_some()))
    }

    /// Only an id from an earlier life can be another's as well: the Secret may have been copied there.
    fn has_url(&self, resource: &Webhook) -> io::Result<Option<String>> {
        if self.endpoint(resource)?.is_some() {
            return Ok(None);
        }
        let namespace = resource.namespace().unwrap_or_default();
        let secret = self.mounts.read(&namespace, &resource.consumer_name())?;
        let Some(id) = secret.and_then(|secret| webhook::retained_id(resource, &secret)) else { return Ok(None) };
        for other in self.objects::<Webhook>().iter() {
            let holder = self.endpoint(other)?.and_then(|record| webhook::holder(&id, &record, resource));
            if holder.is_some() {
                return Ok(holder);
            }
        }
        Ok(None)
    }

    fn endpoint(&self, resource: &Webhook) -> io::Result<Option<EndpointRecord>> {
        let stored = self.records.read::<EndpointRecord>(&record_name(resource))?;
        Ok(stored.and_then(|stored| stored.document))
    }
}
