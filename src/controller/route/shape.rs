//! Flow 1, step 3, pure: a route as it is wanted, whichever kind it will be.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{ALL_NAMESPACES, LABEL, OF_ALL, OF_WEBHOOK, Route, UID_ANNOTATION, http_route, ingress};
use crate::{
    config::HooksService,
    controller::{fetch::OWNER_ANNOTATION, webhook::hook_id},
    crd::webhook::{ParentRef, RouteType},
    record::{self, Source},
};

/// What every path begins with.
pub const PREFIX: &str = hook_id::PATH;

/// A route as it is wanted.
#[derive(Clone)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// Its namespace: the realm's.
    pub namespace: String,
    /// The resource that it is for; absent for the one that is for all.
    pub owner: Option<Source>,
    /// The host; absent where the realm is reached at an address, for which no route can be.
    pub host: Option<String>,
    /// Annotations that were asked for.
    pub annotations: BTreeMap<String, String>,
    /// Where it leads.
    pub backend: HooksService,
    /// Through what.
    pub through: Through,
}

/// What takes the route.
#[derive(Clone)]
pub enum Through {
    /// The controller of an `IngressClass`.
    Ingress {
        /// Its name; absent: the cluster's default.
        class: Option<String>,
        /// The Secret with the host's certificate.
        tls_secret: Option<String>,
    },
    /// Gateways.
    Gateways(Vec<ParentRef>),
}

impl Shape {
    /// What it will be.
    #[must_use]
    pub fn kind(&self) -> RouteType {
        match self.through {
            Through::Ingress { .. } => RouteType::Ingress,
            Through::Gateways(_) => RouteType::HttpRoute,
        }
    }

    /// The route to these hooks, which are none where it is for all.
    #[must_use]
    pub fn route(&self, ids: &[&str]) -> Route {
        let paths = if self.owner.is_none() {
            vec![PREFIX.to_owned()]
        } else {
            ids.iter().map(|id| format!("{PREFIX}{id}")).collect()
        };
        match &self.through {
            Through::Ingress { class, tls_secret } => {
                let spec = ingress::spec(self, class.clone(), tls_secret.clone(), &paths);
                Route::Ingress(Box::new(ingress::with(self.metadata(), spec)))
            }
            Through::Gateways(parents) => {
                let spec = http_route::spec(self, parents, &paths);
                Route::HttpRoute(Box::new(http_route::HttpRoute { metadata: self.metadata(), spec, status: None }))
            }
        }
    }

    fn metadata(&self) -> ObjectMeta {
        let (of, namespace) = match &self.owner {
            Some(owner) => (OF_WEBHOOK, owner.namespace.as_str()),
            None => (OF_ALL, ALL_NAMESPACES),
        };
        let labels = [(LABEL, of), (record::NAMESPACE_LABEL, namespace), ("app.kubernetes.io/managed-by", "snaphook")];
        let mut annotations = self.annotations.clone();
        if let Some(Source { kind, namespace, name, uid }) = &self.owner {
            annotations.insert(OWNER_ANNOTATION.to_owned(), format!("{kind}/{namespace}/{name}"));
            annotations.insert(UID_ANNOTATION.to_owned(), uid.clone());
        }
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }
    }
}
