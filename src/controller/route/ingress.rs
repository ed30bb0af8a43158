//! Flow 1, step 3, pure: an Ingress. The class is `ingressClassName`, never the old annotation; paths are `Exact`, but for the one for all.

use k8s_openapi::{
    api::networking::v1::{
        HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
        IngressSpec, IngressTLS, ServiceBackendPort,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::{Value, json};

use super::Shape;

pub(super) fn with(metadata: ObjectMeta, spec: IngressSpec) -> Ingress {
    Ingress { metadata, spec: Some(spec), status: None }
}

pub(super) fn spec(shape: &Shape, class: Option<String>, tls_secret: Option<String>, paths: &[String]) -> IngressSpec {
    let host = shape.host.clone();
    let port = ServiceBackendPort { number: Some(shape.backend.port.into()), name: None };
    let service = IngressServiceBackend { name: shape.backend.name.clone(), port: Some(port) };
    let path_type = if shape.owner.is_some() { "Exact" } else { "Prefix" };
    let path = |path: &String| HTTPIngressPath {
        backend: IngressBackend { resource: None, service: Some(service.clone()) },
        path: Some(path.clone()),
        path_type: path_type.to_owned(),
    };
    let tls = |secret| vec![IngressTLS { hosts: host.clone().map(|host| vec![host]), secret_name: Some(secret) }];
    IngressSpec {
        default_backend: None,
        ingress_class_name: class,
        tls: tls_secret.map(tls),
        rules: Some(vec![IngressRule {
            http: Some(HTTPIngressRuleValue { paths: paths.iter().map(path).collect() }),
            host,
        }]),
    }
}

/// What differs, if anything does. Where no class is wanted, the API server has set the cluster's, and it stays.
pub(super) fn patch(wanted: &Ingress, seen: &Ingress) -> Option<Value> {
    let (wanted, seen) = (wanted.spec.clone().unwrap_or_default(), seen.spec.clone().unwrap_or_default());
    let class = wanted.ingress_class_name.clone().or_else(|| seen.ingress_class_name.clone());
    if (IngressSpec { ingress_class_name: class, ..wanted.clone() }) == seen {
        return None;
    }
    let IngressSpec { default_backend, ingress_class_name, rules, tls } = wanted;
    let mut spec = json!({ "defaultBackend": default_backend, "rules": rules, "tls": tls });
    if let Some(class) = ingress_class_name {
        spec["ingressClassName"] = class.into();
    }
    Some(spec)
}

pub(super) fn hosts(ingress: &Ingress) -> Vec<&str> {
    rules(ingress).filter_map(|rule| rule.host.as_deref()).collect()
}

pub(super) fn paths(ingress: &Ingress) -> Vec<&str> {
    let paths = rules(ingress).filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
    paths.filter_map(|path| path.path.as_deref()).collect()
}

fn rules(ingress: &Ingress) -> impl Iterator<Item = &IngressRule> {
    ingress.spec.iter().filter_map(|spec| spec.rules.as_ref()).flatten()
}
