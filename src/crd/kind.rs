//! Flow 1: what all kinds have in common, so that one driver takes each of them through its steps.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt as _, core::NamespaceResourceScope, core::object::HasStatus};
use serde::{Serialize, de::DeserializeOwned};

use super::{Condition, SecretFrom, SecretTemplate};

/// A kind of ours.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Report>
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind, as it stands in records, owner references and messages.
    const KIND: &'static str;
    /// What marks a Secret as made for this kind.
    const CONSUMER: &'static str;
    /// What the name of its Secret ends with, where the resource says nothing else: `<name>-<suffix>`.
    const SUFFIX: &'static str;
    /// Other names for the keys in its Secret.
    type Keys;

    /// `spec.secretTemplate`.
    fn secret_template(&self) -> Option<&SecretTemplate<Self::Keys>>;
    /// The Secrets that the spec refers to.
    fn references(&self) -> Vec<&SecretFrom>;
    /// The `WebhookCredential` that calls are sent with, of kinds that send any.
    fn credential(&self) -> Option<&str> {
        None
    }
    /// Stands for a resource that does not parse: nothing but its metadata means anything.
    fn unreadable(metadata: ObjectMeta) -> Self;

    /// The name of the Secret for the app.
    fn consumer_name(&self) -> String {
        let chosen = self.secret_template().and_then(|template| template.name.clone());
        chosen.unwrap_or_else(|| format!("{}-{}", self.name_any(), Self::SUFFIX))
    }

    /// `<kind>/<name>`: the resource, as annotations of a Secret name it.
    fn owner_mark(&self) -> String {
        format!("{}/{}", Self::KIND, self.name_any())
    }

    /// The conditions that were last reported.
    fn conditions(&self) -> &[Condition] {
        self.status().map(Report::conditions).unwrap_or_default()
    }
}

/// What is reported of a kind.
pub trait Report: Clone + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// The conditions.
    fn conditions(&self) -> &[Condition];
    /// The Secret for the app.
    fn secret_name(&self) -> Option<&str>;
    /// Whether something was handed out for the resource: what it has is in use.
    fn is_established(&self) -> bool;
    /// The same with another verdict.
    #[must_use]
    fn with_verdict(self, observed_generation: Option<i64>, conditions: Vec<Condition>) -> Self;
}
