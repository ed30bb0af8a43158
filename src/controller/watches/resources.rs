//! Flow 1: the resources of all kinds as watches see them, and which of them something concerns.

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt as _, core::DeserializeGuard, runtime::reflector::ObjectRef};

use super::{cache::Listed, namespaces::Indexed};
use crate::{
    crd::{AppCredential, Kind, Webhook, WebhookCredential},
    record::Source,
};

/// A resource as watches see it: one that does not parse is still one, and can be deleted.
pub type Guarded<K> = DeserializeGuard<K>;

/// A resource to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trigger {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Trigger {
    /// This resource.
    #[must_use]
    pub fn of<K: Kind>(resource: &Guarded<K>) -> Self {
        let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
        Self { kind: K::KIND, namespace, name }
    }

    /// The resource of that name, where there is such a kind.
    #[must_use]
    pub fn named(kind: &str, namespace: &str, name: &str) -> Option<Self> {
        let kinds = [AppCredential::KIND, Webhook::KIND, WebhookCredential::KIND];
        let kind = kinds.into_iter().find(|known| *known == kind)?;
        Some(Self { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Whether a record or a route was made from the resource of that name.
    #[must_use]
    pub fn is_of(&self, source: &Source) -> bool {
        let Self { kind, namespace, name } = self;
        *kind == source.kind && *namespace == source.namespace && *name == source.name
    }

    /// As caches name it.
    #[must_use]
    pub fn object<K: Kind>(&self) -> ObjectRef<Guarded<K>> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

/// The resources of one namespace, or of all.
#[derive(Clone)]
pub struct Resources {
    /// Of this kind.
    pub app_credentials: Indexed<AppCredential>,
    /// Of this kind.
    pub webhooks: Indexed<Webhook>,
    /// Of this kind.
    pub webhook_credentials: Indexed<WebhookCredential>,
}

/// The resources of one kind among all.
pub trait Of<K: Kind> {
    /// Those of the kind.
    fn of(&self) -> &Indexed<K>;
}

impl Of<AppCredential> for Resources {
    fn of(&self) -> &Indexed<AppCredential> {
        &self.app_credentials
    }
}

impl Of<Webhook> for Resources {
    fn of(&self) -> &Indexed<Webhook> {
        &self.webhooks
    }
}

impl Of<WebhookCredential> for Resources {
    fn of(&self) -> &Indexed<WebhookCredential> {
        &self.webhook_credentials
    }
}

impl Resources {
    /// Whether each was filled.
    #[must_use]
    pub fn listed(&self) -> [&Listed; 3] {
        [self.app_credentials.listed(), self.webhooks.listed(), self.webhook_credentials.listed()]
    }

    /// The resources of every kind that something concerns.
    #[must_use]
    pub fn concerned(&self, by: &impl Concerns) -> Vec<Trigger> {
        let Self { app_credentials, webhooks, webhook_credentials } = self;
        [concerned(app_credentials, by), concerned(webhooks, by), concerned(webhook_credentials, by)].concat()
    }
}

fn concerned<K: Kind>(resources: &Indexed<K>, by: &impl Concerns) -> Vec<Trigger> {
    let near = resources.within(by.namespace());
    near.iter().filter(|resource| by.concerns(resource)).map(|resource| Trigger::of(resource)).collect()
}

/// Something that happened.
pub trait Concerns {
    /// Where.
    fn namespace(&self) -> &str;
    /// Whether a resource there has to be looked at for it.
    fn concerns<K: Kind>(&self, resource: &Guarded<K>) -> bool;
}

/// A Secret is gone: who waited for its name?
pub(super) struct Gone<'a>(pub &'a Secret);

impl Concerns for Gone<'_> {
    fn namespace(&self) -> &str {
        self.0.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn concerns<K: Kind>(&self, resource: &Guarded<K>) -> bool {
        let wanted = resource.0.as_ref().is_ok_and(|resource| resource.consumer_name() == self.0.name_any());
        wanted && is_held_up(resource)
    }
}

/// A Secret that may be referred to came, changed or went: who refers to it?
pub(super) struct Referable<'a>(pub &'a Secret);

impl Concerns for Referable<'_> {
    fn namespace(&self) -> &str {
        self.0.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn concerns<K: Kind>(&self, resource: &Guarded<K>) -> bool {
        let name = self.0.name_any();
        let refers = |resource: &K| resource.references().iter().any(|from| from.secret_key_ref.name == name);
        resource.0.as_ref().is_ok_and(refers)
    }
}

/// A namespace changed: who is in it?
pub(super) struct Within<'a>(pub &'a str);

impl Concerns for Within<'_> {
    fn namespace(&self) -> &str {
        self.0
    }

    fn concerns<K: Kind>(&self, _: &Guarded<K>) -> bool {
        true
    }
}

/// A `WebhookCredential` came, changed or went: who names it?
pub(super) struct Credential<'a>(pub &'a Trigger);

impl Concerns for Credential<'_> {
    fn namespace(&self) -> &str {
        &self.0.namespace
    }

    fn concerns<K: Kind>(&self, resource: &Guarded<K>) -> bool {
        let names_it = |resource: &K| resource.credential() == Some(self.0.name.as_str());
        resource.0.as_ref().is_ok_and(names_it)
    }
}

/// Whether somebody else stands in a resource's way.
#[must_use]
pub(super) fn is_held_up<K: Kind>(resource: &Guarded<K>) -> bool {
    let held_up = |resource: &K| resource.conditions().iter().any(|condition| condition.type_ == "Stalled");
    resource.0.as_ref().is_ok_and(held_up)
}
