//! Flow 1, step 2, pure: where messages go. Only a Service with a selector and a `ClusterIP` leads to the Pods of its own namespace:
//! any other can point anywhere, and the server may call what the record says.

use core::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use super::validate::invalid;
use crate::{
    controller::refusal::{Reason, Refusal},
    crd::webhook::{DeliverySpec, ServiceRef},
    delivery::target,
    record::endpoint::Target,
};

/// Why a Service cannot be called, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// In `PascalCase`.
    pub reason: &'static str,
    /// The object and the fix.
    pub message: String,
}

const NOT_FOUND: &str = "ServiceNotFound";
const NOT_ALLOWED: &str = "ServiceNotAllowed";
const PORT_NOT_FOUND: &str = "ServicePortNotFound";
/// Reasons of [`Unresolved`].
pub const REASONS: [&str; 3] = [NOT_FOUND, NOT_ALLOWED, PORT_NOT_FOUND];

/// Where messages go, and why they cannot yet.
///
/// # Errors
/// A URL that messages may not be delivered to.
pub fn resolve(
    delivery: &DeliverySpec,
    namespace: &str,
    service: Option<&Service>,
) -> Result<(Target, Option<Unresolved>), Refusal> {
    if let Some(reference) = &delivery.service {
        return Ok(match of_service(reference, namespace, service) {
            Ok(target) => (target, None),
            Err(unresolved) => (Target::Unresolved(unresolved.message.clone()), Some(unresolved)),
        });
    }
    let url = delivery.url.as_deref().unwrap_or_default();
    let url = target::parse(url).or_else(|error| invalid(Reason::TargetNotAllowed, "spec.delivery.url", &error))?;
    Ok((Target::Url(url.into()), None))
}

fn of_service(reference: &ServiceRef, namespace: &str, service: Option<&Service>) -> Result<Target, Unresolved> {
    let ServiceRef { name, port, path } = reference;
    let unresolved = |reason, why: &str| {
        let message =
            format!("spec.delivery.service: the Service {name} in namespace {namespace} {why}; messages wait");
        Unresolved { reason, message }
    };
    let spec =
        service.and_then(|service| service.spec.as_ref()).ok_or_else(|| unresolved(NOT_FOUND, "does not exist"))?;
    let address = address(spec).map_err(|why| unresolved(NOT_ALLOWED, why))?;
    let tcp = |port: &&k8s_openapi::api::core::v1::ServicePort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    let ports: Vec<i32> = spec.ports.iter().flatten().filter(tcp).map(|port| port.port).collect();
    if !ports.contains(port) {
        return Err(unresolved(PORT_NOT_FOUND, &format!("has no TCP port {port}, but {ports:?}")));
    }
    let at_port = if *port == 80 { String::new() } else { format!(":{port}") };
    Ok(Target::Service {
        host: format!("{name}.{namespace}.svc{at_port}"),
        address,
        port: u16::try_from(*port).unwrap_or_default(),
        path: path.clone().unwrap_or_else(|| "/".into()),
    })
}

fn address(spec: &ServiceSpec) -> Result<IpAddr, &'static str> {
    const ANYWHERE: &str = "can point anywhere: give it a selector and a ClusterIP, or write spec.delivery.url";
    if spec.type_.as_deref() == Some("ExternalName") {
        return Err("is of type ExternalName and can point anywhere: write spec.delivery.url instead");
    }
    if spec.selector.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
        return Err(ANYWHERE);
    }
    match spec.cluster_ip.as_deref() {
        Some("None") => Err("is headless: give it a ClusterIP"),
        Some(address) => address.parse().map_err(|_| "has no ClusterIP yet"),
        None => Err("has no ClusterIP yet"),
    }
}

/// As the status shows it: the path of a URL may be a secret.
#[must_use]
pub fn shown(delivery: &DeliverySpec) -> String {
    if let Some(ServiceRef { name, port, .. }) = &delivery.service {
        return format!("service/{name}:{port}");
    }
    let url = delivery.url.as_deref().and_then(|url| url::Url::parse(url).ok());
    url.map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: &str) -> Service {
        serde_yaml::from_str(&format!("spec: {spec}")).unwrap()
    }

    fn to(port: i32) -> ServiceRef {
        ServiceRef { name: "inbox".into(), port, path: None }
    }

    #[test]
    fn a_service_with_a_selector_and_an_address_is_called_there() {
        let found =
            service("{selector: {app: a}, clusterIP: 10.0.0.7, ports: [{port: 80}, {port: 8080, protocol: TCP}]}");
        let target = |host: &str, port| Target::Service {
            host: host.into(),
            address: "10.0.0.7".parse().unwrap(),
            port,
            path: "/".into(),
        };
        assert_eq!(of_service(&to(80), "team", Some(&found)), Ok(target("inbox.team.svc", 80)));
        assert_eq!(of_service(&to(8080), "team", Some(&found)), Ok(target("inbox.team.svc:8080", 8080)));
    }

    #[test]
    fn any_other_is_not_called() {
        for (spec, port, reason, why) in [
            (None, 80, "ServiceNotFound", "does not exist"),
            (
                Some("{type: ExternalName, externalName: evil.test, selector: {a: b}}"),
                80,
                "ServiceNotAllowed",
                "ExternalName",
            ),
            (Some("{clusterIP: 10.0.0.7, ports: [{port: 80}]}"), 80, "ServiceNotAllowed", "selector"),
            (Some("{clusterIP: 10.0.0.7, selector: {}, ports: [{port: 80}]}"), 80, "ServiceNotAllowed", "selector"),
            (Some("{clusterIP: None, selector: {a: b}, ports: [{port: 80}]}"), 80, "ServiceNotAllowed", "headless"),
            (Some("{selector: {a: b}, ports: [{port: 80}]}"), 80, "ServiceNotAllowed", "no ClusterIP yet"),
            (Some("{clusterIP: 10.0.0.7, selector: {a: b}, ports: [{port: 81}]}"), 80, "ServicePortNotFound", "[81]"),
            (
                Some("{clusterIP: 10.0.0.7, selector: {a: b}, ports: [{port: 80, protocol: UDP}]}"),
                80,
                "ServicePortNotFound",
                "[]",
            ),
        ] {
            let found = spec.map(service);
            let unresolved = of_service(&to(port), "team", found.as_ref()).unwrap_err();
            assert_eq!(unresolved.reason, reason, "{spec:?}");
            assert!(
                unresolved.message.contains(why) && unresolved.message.contains("inbox in namespace team"),
                "{unresolved:?}"
            );
        }
    }

    #[test]
    fn the_path_of_a_url_is_not_shown() {
        let delivery = |url: &str| DeliverySpec { url: Some(url.into()), ..DeliverySpec::default() };
        assert_eq!(
            shown(&delivery("https://hooks.example.net:8443/secret/path?key=x")),
            "https://hooks.example.net:8443"
        );
        let delivery = DeliverySpec { service: Some(to(80)), ..DeliverySpec::default() };
        assert_eq!(shown(&delivery), "service/inbox:80");
    }
}
