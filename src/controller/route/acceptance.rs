//! Flow 1, step 5, pure: whether a route is in force, as those say who would have to take it.

use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt as _;

use super::{
    Route,
    http_route::{HttpRoute, ParentReference, RouteCondition},
};
use crate::crd::{condition::ConditionStatus, webhook::ParentStatus};

/// The reason of what is in force.
pub const ACCEPTED: &str = "Accepted";
/// The reason of what nobody has said anything about.
pub const PENDING: &str = "Pending";
const MAX_ADDRESSES: usize = 16;

/// What is said about a route.
pub struct Acceptance {
    /// Whether it is in force.
    pub accepted: ConditionStatus,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Addresses of load balancers.
    pub addresses: Vec<String>,
    /// What each parent says.
    pub parents: Vec<ParentStatus>,
}

impl Acceptance {
    fn new(accepted: ConditionStatus, reason: &str, message: String) -> Self {
        Self { accepted, reason: reason.to_owned(), message, addresses: Vec::new(), parents: Vec::new() }
    }

    /// Whether everybody who was asked has refused.
    #[must_use]
    pub fn is_refused_by_all(&self) -> bool {
        !self.parents.is_empty() && self.parents.iter().all(|parent| parent.accepted == ConditionStatus::False)
    }
}

/// What is said about the route that is wanted, where `seen` was there.
#[must_use]
pub fn of(wanted: &Route, seen: Option<&Route>) -> Acceptance {
    match (wanted, seen) {
        (Route::Ingress(wanted), Some(Route::Ingress(seen))) => of_ingress(wanted, seen),
        (Route::Ingress(wanted), _) => of_ingress(wanted, &Ingress::default()),
        (Route::HttpRoute(wanted), Some(found @ Route::HttpRoute(seen))) => {
            // What is about to change was said of something else.
            let seen = (wanted.spec == seen.spec).then_some((found, &**seen));
            of_http_route(wanted, seen)
        }
        (Route::HttpRoute(wanted), _) => of_http_route(wanted, None),
    }
}

/// Nothing in the status of an Ingress tells the generation that it is about.
fn of_ingress(wanted: &Ingress, seen: &Ingress) -> Acceptance {
    let balancer = seen.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let addresses = points.filter_map(|point| point.hostname.clone().or_else(|| point.ip.clone()));
    let addresses: Vec<String> = addresses.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() {
        let class = wanted.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
        let class = class.map_or("the cluster's default IngressClass".to_owned(), |it| format!("IngressClass {it}"));
        let message =
            format!("no load balancer has an address for it yet; the controller of {class} has to report one");
        return Acceptance::new(ConditionStatus::Unknown, PENDING, message);
    }
    let message = format!("load balancers have it at {}", addresses.join(", "));
    Acceptance { addresses, ..Acceptance::new(ConditionStatus::True, ACCEPTED, message) }
}

fn of_http_route(wanted: &HttpRoute, seen: Option<(&Route, &HttpRoute)>) -> Acceptance {
    let parents: Vec<_> = wanted.spec.parent_refs.iter().map(|parent| of_parent(wanted, parent, seen)).collect();
    let with = |status| parents.iter().filter(move |parent: &&ParentStatus| parent.accepted == status);
    let names = |status| with(status).map(|parent| parent.parent.as_str()).collect::<Vec<_>>().join(", ");
    let refusal = |it: &ParentStatus| {
        let said = if it.message.is_empty() { String::new() } else { format!(", {:?}", it.message) };
        format!("{} does not take it: {}{said}", it.parent, it.reason)
    };
    let refusals: Vec<_> = with(ConditionStatus::False).map(refusal).collect();
    let whole = if let Some(first) = with(ConditionStatus::False).next() {
        Acceptance::new(ConditionStatus::False, &first.reason, refusals.join("; "))
    } else if with(ConditionStatus::Unknown).next().is_some() {
        let silent = names(ConditionStatus::Unknown);
        let message = format!("nobody has said yet whether {silent} takes the route as it is now");
        Acceptance::new(ConditionStatus::Unknown, PENDING, message)
    } else {
        let message = format!("taken by {}", names(ConditionStatus::True));
        Acceptance::new(ConditionStatus::True, ACCEPTED, message)
    };
    Acceptance { parents, ..whole }
}

/// Several controllers may have reported on one parent, one of them long ago: who takes it now counts first.
fn of_parent(wanted: &HttpRoute, parent: &ParentReference, seen: Option<(&Route, &HttpRoute)>) -> ParentStatus {
    let namespace = wanted.namespace().unwrap_or_default();
    let name = title(parent, &namespace);
    let reports = seen.iter().flat_map(|(_, seen)| seen.status.iter().flat_map(|status| &status.parents));
    let reports = reports.filter(|report| report.parent_ref.is_same(parent, &namespace));
    let generation = seen.and_then(|(_, seen)| seen.metadata.generation).unwrap_or_default();
    let verdicts = reports.filter_map(|report| verdict(&report.conditions, generation));
    let verdict = verdicts.max_by_key(|(accepted, _)| *accepted == ConditionStatus::True);
    let masked = |text: &str| seen.map_or(String::new(), |(route, _)| route.masked(text));
    match verdict {
        Some((accepted, said)) => ParentStatus {
            parent: name,
            accepted,
            reason: masked(if said.reason.is_empty() { ACCEPTED } else { &said.reason }),
            message: masked(&said.message),
        },
        None => ParentStatus {
            parent: name,
            accepted: ConditionStatus::Unknown,
            reason: PENDING.to_owned(),
            message: "nothing was reported on the route as it is now".to_owned(),
        },
    }
}

/// The word of one controller on the route as it is now. One whose backend may not be referred to is accepted, and leads nowhere.
fn verdict(conditions: &[RouteCondition], generation: i64) -> Option<(ConditionStatus, &RouteCondition)> {
    let current = |type_: &str| conditions.iter().find(|it| it.type_ == type_ && it.observed_generation == generation);
    let accepted = current("Accepted")?;
    let unresolved = current("ResolvedRefs").filter(|it| it.status == "False");
    match (accepted.status.as_str(), unresolved) {
        ("True", None) => Some((ConditionStatus::True, accepted)),
        ("True", Some(unresolved)) => Some((ConditionStatus::False, unresolved)),
        ("False", _) => Some((ConditionStatus::False, accepted)),
        _ => None,
    }
}

fn title(parent: &ParentReference, namespace: &str) -> String {
    let ParentReference { namespace: own, name, section_name, port, .. } = parent;
    let mut title = format!("{}/{name}", own.as_deref().unwrap_or(namespace));
    for part in section_name.iter().cloned().chain(port.map(|port| format!("port {port}"))) {
        title.push('/');
        title.push_str(&part);
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::route::http_route::{HttpRouteSpec, HttpRouteStatus, RouteParentStatus};

    fn parent(yaml: &str) -> ParentReference {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn route(generation: i64, reports: &[(&str, &str, i64)]) -> Route {
        let report = |(parent_ref, status, observed_generation): &(&str, &str, i64)| RouteParentStatus {
            parent_ref: parent(parent_ref),
            conditions: vec![RouteCondition {
                type_: "Accepted".into(),
                status: (*status).into(),
                observed_generation: *observed_generation,
                reason: format!("Of{status}"),
                message: String::new(),
            }],
        };
        let parent_refs = vec![parent("{name: edge, namespace: infra}"), parent("{name: own, port: 80}")];
        let mut route = HttpRoute::new("r", HttpRouteSpec { parent_refs, ..HttpRouteSpec::default() });
        route.metadata.namespace = Some("realm".into());
        route.metadata.generation = Some(generation);
        route.status = Some(HttpRouteStatus { parents: reports.iter().map(report).collect() });
        route.into()
    }

    #[test]
    fn every_parent_has_to_take_the_present_generation() {
        let edge = "{group: gateway.networking.k8s.io, kind: Gateway, name: edge, namespace: infra}";
        let own = "{name: own, namespace: realm, port: 80}";
        for (reports, accepted, reason) in [
            (vec![], ConditionStatus::Unknown, "Pending"),
            (vec![(edge, "True", 2)], ConditionStatus::Unknown, "Pending"),
            (vec![(edge, "True", 2), (own, "True", 2)], ConditionStatus::True, "Accepted"),
            (vec![(edge, "True", 2), (own, "True", 1)], ConditionStatus::Unknown, "Pending"),
            (vec![(edge, "False", 2), (own, "True", 2)], ConditionStatus::False, "OfFalse"),
            (vec![(edge, "False", 1), (own, "True", 2)], ConditionStatus::Unknown, "Pending"),
            (vec![(edge, "Unknown", 2), (own, "True", 2)], ConditionStatus::Unknown, "Pending"),
            // A listener, a port or a namespace that is another is another parent.
            (vec![(edge, "True", 2), ("{name: own}", "True", 2)], ConditionStatus::Unknown, "Pending"),
            (vec![("{name: edge}", "True", 2), (own, "True", 2)], ConditionStatus::Unknown, "Pending"),
            // Of two controllers that report on one parent, the one that takes it counts.
            (vec![(edge, "False", 2), (edge, "True", 2), (own, "True", 2)], ConditionStatus::True, "Accepted"),
        ] {
            let route = route(2, &reports);
            let said = of(&route, Some(&route));
            assert_eq!((said.accepted, &*said.reason), (accepted, reason), "{reports:?}");
        }
    }

    #[test]
    fn who_refuses_is_named_and_all_are_told_from_some() {
        let (edge, own) = ("{name: edge, namespace: infra}", "{name: own, port: 80}");
        let some = route(1, &[(edge, "True", 1), (own, "False", 1)]);
        let said = of(&some, Some(&some));
        assert_eq!(said.message, "realm/own/port 80 does not take it: OfFalse");
        assert!(!said.is_refused_by_all());
        let all = route(1, &[(edge, "False", 1), (own, "False", 1)]);
        assert!(of(&all, Some(&all)).is_refused_by_all());
        assert!(!of(&all, None).is_refused_by_all());
    }
}
