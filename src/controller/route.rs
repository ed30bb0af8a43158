//! Flow 1, pure: routes of ours, Ingress or `HTTPRoute`: whose one is, and what turns one that was seen into the one that is wanted.
//!
//! They are written as Secrets are: the first write is a create, later ones are merge patches of what differs, with the uid and the
//! resource version as preconditions. No Debug: where everybody may post, the path of a route is a credential.

pub mod acceptance;
pub mod http_route;
pub mod ingress;
pub mod shape;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{api::networking::v1::Ingress, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::{Value, json};

pub use self::{http_route::HttpRoute, shape::Shape};
use super::{
    fetch::OWNER_ANNOTATION,
    secrets::{OwnedFields, other_managers},
};
use crate::{crd::webhook::RouteType, record::Source};

/// On a route: marks it as ours, so that one label-selected watch sees them all. [`OF_WEBHOOK`] or [`OF_ALL`].
pub const LABEL: &str = "snaphook.dev/route";
/// Made for one Webhook.
pub const OF_WEBHOOK: &str = "webhook";
/// Made for all.
pub const OF_ALL: &str = "shared";
/// In place of a namespace, on the route that is made for all: no namespace can have this name.
pub const ALL_NAMESPACES: &str = "all_namespaces";
/// On a route: the uid of the resource that it was made for.
const UID_ANNOTATION: &str = "snaphook.dev/owner-uid";
/// In place of the id in a path.
const MASK: &str = "********";
/// Of what others say, in characters.
const LONGEST: usize = 512;

/// A route, wanted or seen.
#[derive(Clone)]
pub enum Route {
    /// Of `networking.k8s.io/v1`.
    Ingress(Box<Ingress>),
    /// Of `gateway.networking.k8s.io/v1`.
    HttpRoute(Box<HttpRoute>),
}

/// One write.
pub enum RouteWrite {
    /// Makes it.
    Create(Route),
    /// Turns what was seen into what is wanted.
    Update {
        /// As it was seen.
        seen: Route,
        /// A merge patch with preconditions.
        patch: Value,
    },
    /// Removes what was seen.
    Delete(Route),
}

/// The writes of one run.
#[derive(Default)]
pub struct RouteWrites {
    /// In their order.
    pub writes: Vec<RouteWrite>,
    /// They failed before, and the status tells.
    pub failing: bool,
}

impl From<Ingress> for Route {
    fn from(ingress: Ingress) -> Self {
        Self::Ingress(Box::new(ingress))
    }
}

impl From<HttpRoute> for Route {
    fn from(route: HttpRoute) -> Self {
        Self::HttpRoute(Box::new(route))
    }
}

impl Route {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> RouteType {
        match self {
            Self::Ingress(_) => RouteType::Ingress,
            Self::HttpRoute(_) => RouteType::HttpRoute,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.metadata().name.clone().unwrap_or_default()
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Ingress(ingress) => &ingress.metadata,
            Self::HttpRoute(route) => &route.metadata,
        }
    }

    /// As messages name it.
    #[must_use]
    pub fn title(&self) -> String {
        format!("the {} {}", self.kind().as_str(), self.name())
    }

    /// Whether it lies where another belongs.
    #[must_use]
    pub fn is_in_place_of(&self, other: &Self) -> bool {
        (self.kind(), self.name()) == (other.kind(), other.name())
    }

    /// The hosts that it is for.
    #[must_use]
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Ingress(ingress) => ingress::hosts(ingress),
            Self::HttpRoute(route) => route.spec.hostnames.iter().map(String::as_str).collect(),
        }
    }

    /// The annotations that we have set.
    #[must_use]
    pub fn own_annotations(&self) -> BTreeSet<String> {
        OwnedFields::of(self.metadata().managed_fields.as_deref().unwrap_or_default()).annotations
    }

    /// What others say about it, without the ids in its paths and not at any length.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        let paths = match self {
            Self::Ingress(ingress) => ingress::paths(ingress),
            Self::HttpRoute(route) => route.paths(),
        };
        let ids = paths.into_iter().filter_map(|path| path.strip_prefix(shape::PREFIX)).filter(|id| !id.is_empty());
        ids.fold(text.to_owned(), |text, id| text.replace(id, MASK)).chars().take(LONGEST).collect()
    }

    /// What turns `seen` into this one, if anything has to change.
    #[must_use]
    pub fn patch(&self, seen: &Self) -> Option<Value> {
        let (wanted, found) = (self.metadata(), seen.metadata());
        let spec = self.spec_patch(seen);
        let stale: Vec<String> = seen
            .own_annotations()
            .into_iter()
            .filter(|key| !annotations(wanted).contains_key(key) && annotations(found).contains_key(key))
            .collect();
        let marked = is_within(wanted.labels.as_ref(), found.labels.as_ref())
            && is_within(wanted.annotations.as_ref(), found.annotations.as_ref());
        if spec.is_none() && marked && stale.is_empty() {
            return None;
        }
        let mut patch = json!({
            "metadata": {
                "uid": found.uid,
                "resourceVersion": found.resource_version,
                "labels": wanted.labels,
                "annotations": wanted.annotations,
            },
        });
        for key in stale {
            patch["metadata"]["annotations"][key] = Value::Null;
        }
        if let Some(spec) = spec {
            patch["spec"] = spec;
        }
        Some(patch)
    }

    /// Whether what it routes would change, and with it its generation.
    #[must_use]
    pub fn routes_as(&self, seen: &Self) -> bool {
        self.spec_patch(seen).is_none()
    }

    fn spec_patch(&self, seen: &Self) -> Option<Value> {
        match (self, seen) {
            (Self::Ingress(wanted), Self::Ingress(seen)) => ingress::patch(wanted, seen),
            (Self::HttpRoute(wanted), Self::HttpRoute(seen)) => wanted.patch(seen),
            _ => None,
        }
    }

    /// Another field manager that has set what it routes, if there is one: who rewrote our route.
    #[must_use]
    pub fn rewritten_by(&self) -> Option<String> {
        let entries = self.metadata().managed_fields.as_deref().unwrap_or_default();
        let on_spec = other_managers(entries).find(|entry| {
            entry.subresource.is_none()
                && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec").is_some())
        });
        on_spec.and_then(|entry| entry.manager.clone())
    }
}

fn annotations(metadata: &ObjectMeta) -> &BTreeMap<String, String> {
    static EMPTY: BTreeMap<String, String> = BTreeMap::new();
    metadata.annotations.as_ref().unwrap_or(&EMPTY)
}

fn is_within(ours: Option<&BTreeMap<String, String>>, theirs: Option<&BTreeMap<String, String>>) -> bool {
    let has = |(key, value): (&String, &String)| theirs.is_some_and(|theirs| theirs.get(key) == Some(value));
    ours.into_iter().flatten().all(has)
}

/// The resource that a route was made for; none for the one that is made for all, and for those of others.
#[must_use]
pub fn owner(route: &impl kube::ResourceExt) -> Option<Source> {
    let marks = route.annotations();
    let mut parts = marks.get(OWNER_ANNOTATION)?.splitn(3, '/').map(str::to_owned);
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let uid = marks.get(UID_ANNOTATION).cloned().unwrap_or_default();
    (route.labels().get(LABEL)? == OF_WEBHOOK).then_some(Source { kind, namespace, name, uid })
}

/// Whether a route is the one that is made for all.
#[must_use]
pub fn is_of_all(route: &impl kube::ResourceExt) -> bool {
    route.labels().get(LABEL).is_some_and(|value| value == OF_ALL)
}

impl Route {
    /// Whether it was made for this resource, or for one of the same name before it.
    #[must_use]
    pub fn is_made_for(&self, resource: &Source) -> bool {
        self.owner().is_some_and(|owner| {
            (owner.kind, owner.namespace, owner.name)
                == (resource.kind.clone(), resource.namespace.clone(), resource.name.clone())
        })
    }

    /// See [`owner`].
    #[must_use]
    pub fn owner(&self) -> Option<Source> {
        match self {
            Self::Ingress(ingress) => owner(&**ingress),
            Self::HttpRoute(route) => owner(&**route),
        }
    }

    /// See [`is_of_all`].
    #[must_use]
    pub fn is_of_all(&self) -> bool {
        match self {
            Self::Ingress(ingress) => is_of_all(&**ingress),
            Self::HttpRoute(route) => is_of_all(&**route),
        }
    }
}
