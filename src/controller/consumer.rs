//! Flow 1, step 3, pure: the Secret for an app, whatever its kind.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt as _;

use super::{
    fetch::{self, CONSUMER_LABEL, OWNER_ANNOTATION, Observed},
    refusal::{Reason, Refusal, refuse},
    steps::Steps,
};
use crate::{
    crd::{Binding, KeyName, Kind, ServiceBinding},
    record::Source,
};

/// The Secret for the app.
#[derive(Clone)]
pub struct Consumer {
    /// The resource that it is made for.
    pub source: Source,
    /// It goes with the resource. False with `Retain`.
    pub owned: bool,
    /// `metadata.name`.
    pub name: String,
    /// `type`.
    pub type_: String,
    /// All labels that we set.
    pub labels: BTreeMap<String, String>,
    /// All annotations that we set.
    pub annotations: BTreeMap<String, String>,
    /// All data that we set.
    pub data: BTreeMap<String, ByteString>,
}

/// Data by key, in the making.
#[derive(Default)]
pub struct Data(BTreeMap<String, ByteString>);

impl Data {
    /// Puts a value under a key.
    pub fn put(&mut self, key: &str, value: impl AsRef<[u8]>) {
        self.0.insert(key.to_owned(), ByteString(value.as_ref().to_vec()));
    }
}

/// The name of a key: chosen, or the default.
#[must_use]
pub fn key(chosen: Option<KeyName>, default: &str) -> String {
    chosen.map_or_else(|| default.to_owned(), |key| key.0)
}

/// The type of the Secret.
#[must_use]
pub fn type_of<K: Kind>(resource: &K) -> String {
    let chosen = resource.secret_template().and_then(|template| template.type_.clone());
    chosen.unwrap_or_else(|| "Opaque".into())
}

/// Entries that say what the Secret is for. No value lies under their names: a rule of the CRDs.
fn of_binding(binding: &ServiceBinding) -> BTreeMap<String, ByteString> {
    let mut data = Data::default();
    data.put("type", &binding.type_);
    if let Some(provider) = &binding.provider {
        data.put("provider", provider);
    }
    data.0
}

impl Consumer {
    /// As the resource's template says; without the values yet.
    #[must_use]
    pub fn of<K: Kind>(resource: &K, retain: bool) -> Self {
        let template = resource.secret_template();
        let mut labels = template.and_then(|template| template.labels.clone()).unwrap_or_default();
        labels.insert(CONSUMER_LABEL.into(), K::CONSUMER.into());
        labels.insert("app.kubernetes.io/managed-by".into(), "snaphook".into());
        let mut annotations = template.and_then(|template| template.annotations.clone()).unwrap_or_default();
        annotations.insert(OWNER_ANNOTATION.into(), resource.owner_mark());
        Self {
            source: fetch::source(resource),
            owned: !retain,
            name: resource.consumer_name(),
            type_: type_of(resource),
            labels,
            annotations,
            data: template.and_then(|template| template.service_binding.as_ref()).map(of_binding).unwrap_or_default(),
        }
    }

    /// The same with more data.
    #[must_use]
    pub fn with(&self, Data(mut data): Data) -> Self {
        data.extend(self.data.clone());
        Self { data, ..self.clone() }
    }

    /// How the status names it.
    #[must_use]
    pub fn binding(&self) -> Binding {
        Binding { name: self.name.clone() }
    }

    /// Whether a Secret lacks something that we set. What others added is theirs.
    #[must_use]
    pub fn differs_from(&self, secret: &Secret) -> bool {
        let subset = |ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>| {
            ours.iter().all(|(key, value)| theirs.get(key) == Some(value))
        };
        let references = secret.owner_references();
        let owner_fits = if self.owned {
            references.iter().any(|owner| owner.uid == self.source.uid)
        } else {
            !references.iter().any(|owner| owner.kind == self.source.kind)
        };
        let data_fits = self.data.iter().all(|(key, value)| fetch::data(secret).get(key) == Some(value));
        let marked = subset(&self.labels, secret.labels()) && subset(&self.annotations, secret.annotations());
        !(marked && owner_fits && data_fits)
    }

    /// Whether a Secret has data that we no longer set. Ours or another's: only its managed fields can tell.
    #[must_use]
    pub fn may_have_leftovers(&self, secret: &Secret) -> bool {
        fetch::data(secret).keys().any(|key| !self.data.contains_key(key))
    }

    /// A Secret that is immutable is as it should be.
    ///
    /// # Errors
    /// It would have to change.
    pub fn check_immutable<K: Steps>(&self, observed: &Observed<K>) -> Result<(), Refusal> {
        let secret = observed.consumer(&self.name).or(observed.foreign.as_ref());
        let Some(secret) = secret.filter(|secret| secret.immutable == Some(true)) else { return Ok(()) };
        if !self.differs_from(secret) {
            return Ok(());
        }
        refuse(
            Reason::SecretImmutable,
            format!(
                "the Secret {} is immutable and would have to change; delete it, it is made anew with a new secret, or undo the change",
                self.name
            ),
        )
    }

    /// Secrets of ours under former names, to be deleted.
    #[must_use]
    pub fn outdated<K: Steps>(&self, observed: &Observed<K>) -> Vec<String> {
        observed.consumers.iter().map(kube::ResourceExt::name_any).filter(|name| *name != self.name).collect()
    }
}
