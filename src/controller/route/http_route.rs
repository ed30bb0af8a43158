//! Flow 1, step 3, pure: an `HTTPRoute` of the Gateway API (`gateway.networking.k8s.io/v1`): what we write, and what else in a rule would
//! change where it leads. Everything that the API server has a default for is written out, so that what was written is what is read.

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shape;
use crate::crd::webhook::ParentRef;

/// The group of Gateways and `HTTPRoute`s.
const GROUP: &str = "gateway.networking.k8s.io";

/// The part of the spec that we know.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    root = "HttpRoute",
    plural = "httproutes",
    namespaced,
    status = "HttpRouteStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// The Gateways that it wants to belong to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// The hosts that it is for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// What leads where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// A reference to a parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentReference {
    /// That of the parent's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `Gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Absent: the route's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// One listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// The listeners on one port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// What leads where. Filters, time-outs and retries are others': we set none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Any of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// What is done to requests on their way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Value>,
    /// Where to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<BackendRef>,
    /// How long it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Value>,
    /// Whether it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Value>,
}

/// Which requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// With this path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// With these headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Value>,
    /// With these query parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<Value>,
    /// With this method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// Which paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathMatch {
    /// `Exact` or `PathPrefix`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The path.
    pub value: String,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendRef {
    /// Empty: the core group.
    pub group: String,
    /// `Service`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Absent: the route's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Its share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// What is done to requests on their way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Value>,
}

/// What the parents' controllers report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpRouteStatus {
    /// One for each parent and controller.
    pub parents: Vec<RouteParentStatus>,
}

/// What one controller reports for one parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteParentStatus {
    /// As the spec names it.
    pub parent_ref: ParentReference,
    /// `Accepted`, `ResolvedRefs` and others.
    pub conditions: Vec<RouteCondition>,
}

/// The part of a condition that we read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteCondition {
    /// Which.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The generation that it is about.
    pub observed_generation: i64,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

pub(super) fn spec(shape: &Shape, parents: &[ParentRef], paths: &[String]) -> HttpRouteSpec {
    let type_ = if shape.owner.is_some() { "Exact" } else { "PathPrefix" };
    let path = |path: &String| PathMatch { type_: type_.to_owned(), value: path.clone() };
    let backend = BackendRef {
        kind: "Service".into(),
        name: shape.backend.name.clone(),
        port: Some(shape.backend.port.into()),
        weight: Some(1),
        ..BackendRef::default()
    };
    let rule = Rule {
        matches: paths.iter().map(|it| Match { path: Some(path(it)), ..Match::default() }).collect(),
        backend_refs: vec![backend],
        ..Rule::default()
    };
    HttpRouteSpec {
        parent_refs: parents.iter().map(ParentReference::of).collect(),
        hostnames: shape.host.iter().cloned().collect(),
        rules: vec![rule],
    }
}

impl ParentReference {
    fn of(ParentRef { name, namespace, section_name, port }: &ParentRef) -> Self {
        Self {
            group: Some(GROUP.into()),
            kind: Some("Gateway".into()),
            namespace: namespace.clone(),
            name: name.clone(),
            section_name: section_name.clone(),
            port: *port,
        }
    }

    /// Whether both name one parent, from a route in `namespace`.
    #[must_use]
    pub fn is_same(&self, other: &Self, namespace: &str) -> bool {
        let whole = |it: &Self| Self {
            group: it.group.clone().or_else(|| Some(GROUP.into())),
            kind: it.kind.clone().or_else(|| Some("Gateway".into())),
            namespace: it.namespace.clone().or_else(|| Some(namespace.to_owned())),
            ..it.clone()
        };
        whole(self) == whole(other)
    }
}

impl HttpRoute {
    /// What differs, if anything does. Lists are replaced as a whole.
    pub(super) fn patch(&self, seen: &Self) -> Option<Value> {
        if self.spec == seen.spec {
            return None;
        }
        let HttpRouteSpec { parent_refs, hostnames, rules } = &self.spec;
        let hostnames = (!hostnames.is_empty()).then_some(hostnames);
        Some(json!({ "parentRefs": parent_refs, "hostnames": hostnames, "rules": rules }))
    }

    pub(super) fn paths(&self) -> Vec<&str> {
        let matches = self.spec.rules.iter().flat_map(|rule| &rule.matches);
        matches.filter_map(|it| it.path.as_ref()).map(|path| path.value.as_str()).collect()
    }
}
