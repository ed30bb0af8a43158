//! Flow 1, steps 2, 3 and 5, pure: how a Webhook is reached from outside: what is asked for, what is written for it, and what is reported.
//!
//! A route that cannot be never holds back the Secret or the report; what is in force stays until the new one can be made.

use core::net::IpAddr;

use kube::ResourceExt as _;

use super::validate::policy_of;
use crate::{
    config::{Config, RouteMode, Routes},
    controller::{
        fetch::{self, Observed},
        route::{
            Route, RouteWrite, RouteWrites, Shape,
            acceptance::{self, Acceptance},
            shape::Through,
        },
    },
    crd::{
        Kind as _, Webhook,
        condition::ConditionStatus,
        webhook::{RouteStatus, RouteType},
    },
    record::{self, endpoint::UrlVersion},
};

/// The route for all.
pub const SHARED_NAME: &str = "snaphook-hooks";
/// The API server does not have the kind of route.
pub const API_UNAVAILABLE: &str = "RouteApiUnavailable";
const NOT_CONFIGURED: &str = "RouteNotConfigured";
const NO_PARENT_REFS: &str = "NoParentRefs";
const EXISTS: &str = "RouteExists";
const NOT_WRITTEN: &str = "RouteNotWritten";
const CONTESTED: &str = "RouteContested";
/// Reasons of ours; parents have their own words.
pub const REASONS: [&str; 8] = [
    acceptance::ACCEPTED,
    acceptance::PENDING,
    API_UNAVAILABLE,
    NOT_CONFIGURED,
    NO_PARENT_REFS,
    EXISTS,
    NOT_WRITTEN,
    CONTESTED,
];

/// What is there of routes.
#[derive(Clone, Default)]
pub struct Around {
    /// The kinds that the API server has, and lets us see.
    pub served: Vec<RouteType>,
    /// Made for this Webhook alone, of either kind.
    pub own: Vec<Route>,
    /// What lies where the wanted one belongs, whose ever it is.
    pub present: Option<Route>,
    /// Why the last write did not succeed.
    pub failure: Option<String>,
    /// The field manager that keeps rewriting it.
    pub contested_by: Option<String>,
}

/// What the spec and the configuration ask for.
pub enum Asked {
    /// Only the in-cluster URL works, or the operator has a route of his own.
    Nothing,
    /// A route that cannot be.
    Impossible {
        /// What it would be.
        kind: RouteType,
        /// Why, for programs.
        reason: &'static str,
        /// Why, for people.
        message: &'static str,
    },
    /// This one.
    Route(Box<Shape>),
}

/// What becomes of it.
pub struct Outcome {
    /// What is written.
    pub writes: RouteWrites,
    /// What is reported.
    pub status: Option<RouteStatus>,
    /// Somebody has said no, and a person has to do something.
    pub refused: bool,
    /// What stands in the way shows in no watch.
    pub look_again: bool,
}

/// What it is to be.
#[must_use]
pub fn kind(resource: &Webhook, routes: &Routes) -> RouteType {
    resource.spec.route.as_ref().map_or(routes.type_, |route| route.type_)
}

/// Who says nothing uses the route for all, where there is one.
fn is_shared(resource: &Webhook, routes: &Routes) -> bool {
    routes.mode == RouteMode::Shared && resource.spec.route.is_none()
}

/// The name of the route that a Webhook has to itself, whatever its kind: that of its record.
#[must_use]
pub fn own_name(resource: &Webhook) -> String {
    record::secret_name(Webhook::KIND, &resource.namespace().unwrap_or_default(), &resource.name_any())
}

/// The name of the route that it is to have.
#[must_use]
pub fn wanted_name(resource: &Webhook, routes: &Routes) -> String {
    if is_shared(resource, routes) { SHARED_NAME.to_owned() } else { own_name(resource) }
}

/// What the spec and the configuration ask for.
#[must_use]
pub fn asked(resource: &Webhook, config: &Config) -> Asked {
    let (routes, spec) = (&config.routes, resource.spec.route.as_ref());
    // Nothing outside a Pod reaches its sidecar.
    let Some(realm) = config.realm_of(&resource.namespace().unwrap_or_default()).reachable() else {
        return Asked::Nothing;
    };
    let kind = kind(resource, routes);
    let impossible = |reason, message| Asked::Impossible { kind, reason, message };
    if kind == RouteType::None {
        return Asked::Nothing;
    }
    let Some(backend) = realm.service.clone() else {
        let message = "the operator's configuration names no realm.service that a route could lead to";
        return if spec.is_some() { impossible(NOT_CONFIGURED, message) } else { Asked::Nothing };
    };
    let own_host = realm.hooks_host();
    let host = spec.and_then(|route| route.host.clone()).or_else(|| own_host.clone());
    let through = if kind == RouteType::Ingress {
        let class = spec.and_then(|route| route.class_name.clone()).or_else(|| routes.class_name.clone());
        let tls_secret = routes.tls_secret.clone().filter(|_| host == own_host);
        Through::Ingress { class, tls_secret }
    } else {
        let parents = spec.and_then(|route| route.parent_refs.clone()).unwrap_or_else(|| routes.parent_refs.clone());
        if parents.is_empty() {
            let message = "spec.route.parentRefs names no Gateway, and neither does routes.parentRefs of the operator's configuration";
            return impossible(NO_PARENT_REFS, message);
        }
        Through::Gateways(parents)
    };
    let mut annotations = routes.annotations.clone();
    annotations.extend(spec.and_then(|route| route.annotations.clone()).unwrap_or_default());
    Asked::Route(Box::new(Shape {
        name: wanted_name(resource, routes),
        namespace: realm.namespace.clone().unwrap_or_default(),
        owner: (!is_shared(resource, routes)).then(|| fetch::source(resource)),
        // A route has names for hosts, and no addresses.
        host: host.filter(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err()),
        annotations,
        backend,
        through,
    }))
}

impl Asked {
    /// What becomes of it, where the Webhook has these ids.
    #[must_use]
    pub fn outcome(&self, urls: &[UrlVersion], around: &Around) -> Outcome {
        match self {
            Self::Nothing => Outcome { writes: removing(&around.own), status: None, refused: false, look_again: false },
            Self::Impossible { kind, reason, message } => {
                let status = RouteStatus { kind: *kind, ..refusal(reason, (*message).to_owned()) };
                let refused = *reason == NO_PARENT_REFS;
                Outcome { writes: RouteWrites::default(), status: Some(status), refused, look_again: false }
            }
            Self::Route(shape) => {
                // Who posts to the newest URL is found first.
                let ids: Vec<&str> = urls.iter().rev().map(|url| url.id.expose()).collect();
                Wanted { shape, route: shape.route(&ids), around }.outcome()
            }
        }
    }
}

/// A route that can be, beside what is there.
struct Wanted<'a> {
    shape: &'a Shape,
    route: Route,
    around: &'a Around,
}

impl Wanted<'_> {
    fn outcome(self) -> Outcome {
        let writes = self.writes();
        let obstacle = self.obstacle(!writes.is_empty());
        let acceptance = acceptance::of(&self.route, self.present());
        let failing = obstacle.as_ref().is_some_and(|(reason, _)| *reason == NOT_WRITTEN);
        let blocked = obstacle.is_some() && !failing;
        let refused = match &obstacle {
            Some((reason, _)) => *reason != API_UNAVAILABLE,
            None => acceptance.is_refused_by_all(),
        };
        let look_again = obstacle.as_ref().is_some_and(|(reason, _)| *reason == EXISTS);
        let said = obstacle.map_or_else(|| told(acceptance), |(reason, message)| refusal(reason, message));
        let status = RouteStatus {
            kind: self.shape.kind(),
            name: Some(self.shape.name.clone()),
            namespace: Some(self.shape.namespace.clone()),
            host: self.shape.host.clone(),
            ..said
        };
        let writes = if blocked { Vec::new() } else { writes };
        Outcome { writes: RouteWrites { writes, failing }, status: Some(status), refused, look_again }
    }

    /// Ours, where it belongs.
    fn present(&self) -> Option<&Route> {
        self.around.present.as_ref().filter(|present| match &self.shape.owner {
            Some(owner) => present.is_made_for(owner),
            None => present.is_of_all(),
        })
    }

    /// The new one first, so that there is always one; then the one that it replaces.
    fn writes(&self) -> Vec<RouteWrite> {
        let first = match self.present() {
            None => Some(RouteWrite::Create(self.route.clone())),
            Some(seen) => self.route.patch(seen).map(|patch| RouteWrite::Update { seen: seen.clone(), patch }),
        };
        let former = self.around.own.iter().filter(|own| !own.is_in_place_of(&self.route)).cloned();
        first.into_iter().chain(former.map(RouteWrite::Delete)).collect()
    }

    /// What stands in the way, the first of these.
    fn obstacle(&self, something_to_write: bool) -> Option<(&'static str, String)> {
        let (kind, title) = (self.shape.kind().as_str(), self.route.title());
        let Around { served, present, failure, contested_by, .. } = self.around;
        if !served.contains(&self.shape.kind()) {
            let message = format!(
                "the API server has no {kind}s for the controller: none of that kind, or no right to list them in the namespace {}; it is looked at again every minute",
                self.shape.namespace
            );
            return Some((API_UNAVAILABLE, message));
        }
        if present.is_some() && self.present().is_none() {
            let message = format!(
                "{title} in the namespace {} exists and is not ours; delete it, and it is made anew",
                self.shape.namespace
            );
            return Some((EXISTS, message));
        }
        if let Some(manager) = contested_by.as_ref().filter(|_| something_to_write) {
            let message = format!("{title} was rewritten by {manager:?} three times within a minute; stop it");
            return Some((CONTESTED, message));
        }
        let failure = failure.as_ref().filter(|_| something_to_write)?;
        Some((NOT_WRITTEN, format!("{title} could not be written: {failure}")))
    }
}

/// The writes for a Webhook that cannot be built: a route that it may no longer have goes, every other one stays.
#[must_use]
pub fn writes_of_refused(resource: &Webhook, observed: &Observed<Webhook>, config: &Config) -> RouteWrites {
    if kind(resource, &config.routes) == RouteType::None {
        return removing(&observed.around.routes.own);
    }
    let (verdict, own_host) = (policy_of(resource, observed, config), config.realm.hooks_host());
    let allowed = |route: &Route| {
        let foreign_hosts = || route.hosts().into_iter().filter(|host| Some(*host) != own_host.as_deref());
        let keys = route.own_annotations();
        let mut asked = keys.iter().filter(|key| !config.routes.annotations.contains_key(*key) && !is_mark(key));
        foreign_hosts().all(|host| verdict.route_host(host).is_ok())
            && asked.all(|key| verdict.route_annotation(key).is_ok())
    };
    let forbidden: Vec<Route> = observed.around.routes.own.iter().filter(|route| !allowed(route)).cloned().collect();
    removing(&forbidden)
}

fn is_mark(key: &str) -> bool {
    key.starts_with("snaphook.dev/")
}

fn removing(routes: &[Route]) -> RouteWrites {
    RouteWrites { writes: routes.iter().cloned().map(RouteWrite::Delete).collect(), failing: false }
}

fn refusal(reason: &str, message: String) -> RouteStatus {
    told(Acceptance {
        accepted: ConditionStatus::False,
        reason: reason.to_owned(),
        message,
        addresses: Vec::new(),
        parents: Vec::new(),
    })
}

fn told(Acceptance { accepted, reason, message, addresses, parents }: Acceptance) -> RouteStatus {
    let (kind, name, namespace, host) = (RouteType::None, None, None, None);
    RouteStatus { kind, name, namespace, host, accepted, reason, message, addresses, parents }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Confidential;

    fn config(more: &str) -> Config {
        Config::parse(&format!(
            "realm: {{namespace: realm, issuer: 'https://hooks.example', service: {{name: hooks, port: 80}}}}\n{more}"
        ))
        .unwrap()
    }

    fn webhook(route: &str) -> Webhook {
        let yaml = format!(
            "{{apiVersion: snaphook.dev/v1alpha1, kind: Webhook, metadata: {{name: alerts, namespace: team, uid: u}}, spec: {{verification: {{type: GitHub}}, delivery: {{}}, route: {route}}}}}"
        );
        serde_yaml::from_str(&yaml).unwrap()
    }

    fn shape(route: &str, config: &Config) -> Shape {
        match asked(&webhook(route), config) {
            Asked::Route(shape) => *shape,
            Asked::Nothing => panic!("nothing is asked for"),
            Asked::Impossible { reason, .. } => panic!("{reason}"),
        }
    }

    fn urls(ids: &[&str]) -> Vec<UrlVersion> {
        let created_at = jiff::Timestamp::UNIX_EPOCH;
        let url = |id: &&str| UrlVersion {
            id: Confidential::from((*id).to_owned()),
            created_at,
            not_after: None,
            nonce: None,
        };
        ids.iter().map(url).collect()
    }

    fn served() -> Around {
        Around { served: vec![RouteType::Ingress, RouteType::HttpRoute], ..Around::default() }
    }

    #[test]
    fn a_realm_that_is_reached_at_an_address_has_routes_for_every_host() {
        for (issuer, host) in [
            ("http://192.0.2.1:8080", None),
            ("http://[2001:db8::1]", None),
            ("http://a.example:8080", Some("a.example")),
        ] {
            let mut config = config("");
            config.realm.issuer = issuer.into();
            assert_eq!(shape("null", &config).host.as_deref(), host, "{issuer}");
        }
    }

    #[test]
    fn the_certificate_is_for_the_realms_host_alone_and_annotations_of_the_resource_count_more() {
        let config = config("routes: {tlsSecret: tls, annotations: {a: operator, b: operator}}");
        let own = shape("{type: Ingress, annotations: {b: team}}", &config);
        assert!(matches!(&own.through, Through::Ingress { tls_secret: Some(secret), .. } if secret == "tls"));
        assert_eq!(
            own.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
            ["a=operator", "b=team"]
        );
        let other = shape("{type: Ingress, host: other.example}", &config);
        assert!(matches!(other.through, Through::Ingress { tls_secret: None, .. }));
    }

    #[test]
    fn what_is_as_wanted_is_not_written_and_what_failed_is_told_only_while_it_is_to_be_written() {
        let config = config("");
        let asked = asked(&webhook("null"), &config);
        let present = shape("null", &config).route(&["two", "one"]);
        let failed = |present| Around { present, failure: Some("no room".into()), ..served() };
        let done = asked.outcome(&urls(&["one", "two"]), &failed(Some(present.clone())));
        assert!(done.writes.writes.is_empty() && !done.writes.failing);
        assert_eq!(done.status.unwrap().reason, "Pending");
        let failing = asked.outcome(&urls(&["one", "two"]), &failed(None));
        assert!(failing.writes.writes.len() == 1 && failing.writes.failing && failing.refused);
        let status = failing.status.unwrap();
        assert_eq!(status.reason, "RouteNotWritten");
        assert!(status.message.ends_with("could not be written: no room"), "{}", status.message);
        assert_eq!(present.masked("path /hooks/two, not /hooks/one"), "path /hooks/********, not /hooks/********");
    }

    #[test]
    fn nothing_is_written_over_what_is_not_ours_nor_where_the_kind_is_missing() {
        let config = config("");
        let asked = asked(&webhook("null"), &config);
        let mut other = webhook("null");
        other.metadata.name = Some("other".into());
        let Asked::Route(others) = super::asked(&other, &config) else { panic!("no route") };
        for (around, reason, refused) in [
            (Around { present: Some(others.route(&["x"])), ..served() }, "RouteExists", true),
            (Around::default(), "RouteApiUnavailable", false),
        ] {
            let outcome = asked.outcome(&urls(&["one"]), &around);
            assert!(outcome.writes.writes.is_empty());
            assert_eq!((&*outcome.status.unwrap().reason, outcome.refused), (reason, refused));
        }
    }
}
