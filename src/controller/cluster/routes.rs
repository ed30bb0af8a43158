//! Flow 1, steps 1 and 4: routes in the realm's namespace. What fails is remembered for the next look, since it holds nothing else back.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Resource, api::Patch, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};

use super::{Caches, Cluster};
use crate::{
    controller::{
        api::{call, call_opt, create_params, merge_params},
        apply::ApplyError,
        fetch::{self, Depth},
        route::{HttpRoute, Route, RouteWrite},
        webhook::route::{self as webhook, Around},
    },
    crd::{Webhook, webhook::RouteType},
};

/// Why routes could not be written, by kind and name.
#[derive(Default)]
pub struct RouteFailures(Mutex<HashMap<(RouteType, String), String>>);

impl RouteFailures {
    fn of(&self, kind: RouteType, name: &str) -> Option<String> {
        self.lock().get(&(kind, name.to_owned())).cloned()
    }

    fn note(&self, route: &Route, failure: Option<&str>) {
        let place = (route.kind(), route.name());
        match failure {
            Some(failure) => drop(self.lock().insert(place, failure.to_owned())),
            None => drop(self.lock().remove(&place)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(RouteType, String), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Only what lies where the wanted one belongs is looked at closely: nobody else's has our marks.
    pub(super) async fn routes(&self, resource: &Webhook, depth: Depth) -> Around {
        let (kind, name) = (webhook::kind(resource, &self.routes), webhook::wanted_name(resource, &self.routes));
        let (own_name, source) = (webhook::own_name(resource), fetch::source(resource));
        let own =
            [self.cached_route(RouteType::Ingress, &own_name), self.cached_route(RouteType::HttpRoute, &own_name)];
        let served = self.served_kinds();
        let mut present = self.cached_route(kind, &name);
        if depth == Depth::Live && served.contains(&kind) {
            // Where it does not answer, the write will tell; the Secret does not wait for that.
            present = self.live_route(kind, &name).await.unwrap_or(present);
        }
        Around {
            own: own.into_iter().flatten().filter(|own| own.is_made_for(&source)).collect(),
            present,
            failure: self.route_failures.of(kind, &name),
            contested_by: self.contests.winner(&self.realm_namespace, &contested(kind, &name)),
            served,
        }
    }

    /// The kinds that the API server has, and lets us see.
    fn served_kinds(&self) -> Vec<RouteType> {
        let Caches { ingresses, http_routes, .. } = &self.caches;
        let kinds = [(RouteType::Ingress, ingresses.are_served()), (RouteType::HttpRoute, http_routes.are_served())];
        kinds.into_iter().filter_map(|(kind, served)| served.then_some(kind)).collect()
    }

    fn cached_route(&self, kind: RouteType, name: &str) -> Option<Route> {
        match kind {
            RouteType::Ingress => self.caches.ingresses.get(name).map(Route::from),
            RouteType::HttpRoute => self.caches.http_routes.get(name).map(Route::from),
            RouteType::None => None,
        }
    }

    async fn live_route(&self, kind: RouteType, name: &str) -> Result<Option<Route>, ApplyError> {
        let object = format!("the {} {name}", kind.as_str());
        Ok(match kind {
            RouteType::Ingress => call_opt(&object, self.in_realm::<Ingress>().get(name)).await?.map(Route::from),
            RouteType::HttpRoute => call_opt(&object, self.in_realm::<HttpRoute>().get(name)).await?.map(Route::from),
            RouteType::None => None,
        })
    }

    pub(super) async fn carry_out_route(&self, write: &RouteWrite) -> Result<(), ApplyError> {
        let (route, done) = match write {
            RouteWrite::Create(route) => (route, self.create_route(route).await),
            RouteWrite::Update { seen, patch } => {
                if let Some(rival) = seen.rewritten_by() {
                    self.contests.note(&self.realm_namespace, &contested(seen.kind(), &seen.name()), &rival);
                }
                (seen, self.patch_route(seen, patch).await)
            }
            RouteWrite::Delete(seen) => (seen, self.delete_route(seen).await),
        };
        let why = match &done {
            Err(ApplyError::Refused { message, .. }) => Some(route.masked(message)),
            Err(ApplyError::Unreachable { source, .. }) => Some(route.masked(&source.to_string())),
            _ => None,
        };
        self.route_failures.note(route, why.as_deref());
        match why {
            Some(message) => Err(ApplyError::RouteNotWritten { object: route.title(), message }),
            None => done,
        }
    }

    async fn create_route(&self, route: &Route) -> Result<(), ApplyError> {
        match route {
            Route::Ingress(wanted) => self.create_in_realm(&route.title(), &**wanted).await,
            Route::HttpRoute(wanted) => self.create_in_realm(&route.title(), &**wanted).await,
        }
    }

    async fn patch_route(&self, seen: &Route, patch: &serde_json::Value) -> Result<(), ApplyError> {
        match seen.kind() {
            RouteType::HttpRoute => self.patch_in_realm::<HttpRoute>(seen, patch).await,
            _ => self.patch_in_realm::<Ingress>(seen, patch).await,
        }
    }

    /// Removes a route that is still as it was seen.
    ///
    /// # Errors
    /// What kept it.
    pub async fn delete_route(&self, seen: &Route) -> Result<(), ApplyError> {
        match seen {
            Route::Ingress(found) => self.delete_unchanged(&seen.title(), &self.in_realm(), &**found).await,
            Route::HttpRoute(found) => self.delete_unchanged(&seen.title(), &self.in_realm(), &**found).await,
        }
    }

    /// Those of a resource that was deleted and made anew are its successor's.
    pub(super) async fn delete_routes_of(&self, resource: &Webhook) -> Result<(), ApplyError> {
        let (name, source) = (webhook::own_name(resource), fetch::source(resource));
        for kind in self.served_kinds() {
            let found = self.live_route(kind, &name).await?;
            let Some(found) = found.filter(|found| found.owner().as_ref() == Some(&source)) else { continue };
            self.delete_route(&found).await?;
            self.route_failures.note(&found, None);
        }
        Ok(())
    }

    fn in_realm<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.realm_namespace)
    }

    async fn create_in_realm<K>(&self, title: &str, wanted: &K) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
    {
        call(title, self.in_realm::<K>().create(&create_params(), wanted)).await.map(drop)
    }

    async fn patch_in_realm<K>(&self, seen: &Route, patch: &serde_json::Value) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api = self.in_realm::<K>();
        call(&seen.title(), api.patch(&seen.name(), &merge_params(), &Patch::Merge(patch))).await.map(drop)
    }
}

/// As contests name it, beside Secrets.
fn contested(kind: RouteType, name: &str) -> String {
    format!("{}/{name}", kind.as_str())
}
