//! Flow 1: the operator's configuration, read from one YAML file and checked as a whole before anything uses it.
//!
//! The file's shape is documented in `docs/configuration.md`; a mistake is reported with its place and the fix, and a file that is
//! broken later leaves the last good configuration in force.

mod forward_auth;
mod policy;
mod realm;
mod routes;

use std::{collections::BTreeMap, path::Path, time};

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

pub use self::{
    forward_auth::ForwardAuth,
    policy::{Namespaces, Policy, Rule},
    realm::{HooksService, Realm, RealmOf, SidecarRealm},
    routes::{RouteMode, Routes},
};
use crate::{
    crd::Duration,
    record::{Algorithm, endpoint::Limits},
};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The shared realm: the server of every namespace that has no realm of its own.
    pub realm: Realm,
    /// Namespaces with a realm of their own: their servers are sidecars in their Pods.
    #[serde(default)]
    pub realms: Vec<SidecarRealm>,
    /// Namespaces to look after. Empty: all.
    #[serde(default)]
    pub watch_namespaces: Vec<String>,
    /// How tokens are signed.
    #[serde(default)]
    pub signing_keys: SigningKeys,
    /// Who may ask for what.
    #[serde(default)]
    pub policy: Policy,
    /// How Webhooks are reached from outside the cluster.
    #[serde(default)]
    pub routes: Routes,
    /// What the server asks of requests through proxies.
    #[serde(default)]
    pub forward_auth: ForwardAuth,
    /// Which replica of the controller works.
    #[serde(default)]
    pub leader_election: LeaderElection,
    /// How many resources are reconciled at once: 1 to 256.
    #[serde(default = "default_concurrency")]
    pub concurrency: u16,
}

/// How tokens are signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SigningKeys {
    /// The algorithm of new keys.
    pub algorithm: Algorithm,
    /// How long a key signs before another takes over: at least 1h.
    pub rotation_interval: Duration,
}

impl Default for SigningKeys {
    fn default() -> Self {
        Self { algorithm: Algorithm::default(), rotation_interval: Duration::from_secs(30 * 24 * 3600) }
    }
}

/// Which replica works. The times are those of client-go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElection {
    /// False only where nothing else can run a second controller.
    pub enabled: bool,
    /// The Lease, in the realm's namespace.
    pub lease_name: String,
    /// After this time without renewal another replica takes over.
    pub lease_duration: Duration,
    /// A leader that could not renew for this long stops writing.
    pub renew_deadline: Duration,
    /// Time between two tries.
    pub retry_period: Duration,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            enabled: true,
            lease_name: "snaphook-controller".into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

fn default_concurrency() -> u16 {
    16
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration")]
    Read(#[source] std::io::Error),
    /// Not YAML, or not of the configuration's shape.
    #[error("the configuration does not parse: {0}")]
    Parse(String),
    /// A value that cannot be used.
    #[error("{place}: {problem}")]
    Invalid {
        /// Where, such as `policy.rules[2].scopes[0]`.
        place: String,
        /// What is wrong and how to mend it.
        problem: String,
    },
}

fn invalid<T>(place: impl Into<String>, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid { place: place.into(), problem: problem.into() })
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&std::fs::read_to_string(path).map_err(ConfigError::Read)?)
    }

    /// Parses and checks YAML.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_yaml::from_str(yaml).map_err(|error| ConfigError::Parse(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// What `snaphook dev` uses where there is no file: everything is allowed.
    #[must_use]
    pub fn laptop(issuer: String) -> Self {
        let rule = Rule {
            namespaces: Namespaces { names: None, match_labels: BTreeMap::new() },
            scopes: Some(vec!["*".into(), "snaphook:*".into()]),
            audiences: None,
            client_ids: vec!["*".into()],
            introspect_audiences: None,
            max_app_credentials: None,
            max_webhooks: None,
            webhook_limits: Limits::default(),
            route_hosts: vec!["*".into()],
            route_annotations: vec!["*".into()],
        };
        let realm = Realm {
            namespace: Some("snaphook-dev".into()),
            issuer,
            internal_url: None,
            hooks_url: None,
            internal_hooks_url: None,
            service: None,
        };
        Self {
            realm,
            realms: Vec::new(),
            watch_namespaces: Vec::new(),
            signing_keys: SigningKeys::default(),
            policy: Policy { rules: vec![rule] },
            routes: Routes::default(),
            forward_auth: ForwardAuth::default(),
            leader_election: LeaderElection { enabled: false, ..LeaderElection::default() },
            concurrency: default_concurrency(),
        }
    }

    /// Whether any rule asks for labels of namespaces.
    #[must_use]
    pub fn needs_namespace_labels(&self) -> bool {
        self.policy.rules.iter().any(|rule| !rule.namespaces.match_labels.is_empty())
    }

    /// The realm of the resources in a namespace.
    #[must_use]
    pub fn realm_of<'a>(&'a self, namespace: &str) -> RealmOf<'a> {
        let of_its_own = self.realms.iter().enumerate().find(|(_, realm)| realm.namespace == namespace);
        of_its_own.map_or(RealmOf::Shared(&self.realm), |(index, realm)| RealmOf::Sidecar { index, realm })
    }

    /// Refuses a table that lists the namespace in which the shared realm turns out to be.
    ///
    /// # Errors
    /// The row that lists it.
    pub fn check_shared_namespace(&self, namespace: &str) -> Result<(), ConfigError> {
        match self.realm_of(namespace) {
            RealmOf::Shared(_) => Ok(()),
            RealmOf::Sidecar { index, .. } => invalid(
                format!("realms[{index}].namespace"),
                format!("{namespace:?} is the namespace of the shared realm: a namespace has one realm"),
            ),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Self {
            realm,
            realms,
            watch_namespaces,
            signing_keys,
            policy,
            routes,
            forward_auth,
            leader_election,
            concurrency,
        } = self;
        realm.check()?;
        realm::check_table(realm, realms, watch_namespaces)?;
        routes.check()?;
        forward_auth.check()?;
        for (index, namespace) in watch_namespaces.iter().enumerate() {
            check_label(&format!("watchNamespaces[{index}]"), namespace, "a namespace")?;
        }
        if signing_keys.rotation_interval < Duration::from_secs(3600) {
            return invalid("signingKeys.rotationInterval", "must be at least 1h");
        }
        if !(1..=256).contains(concurrency) {
            return invalid("concurrency", "must be from 1 to 256");
        }
        leader_election.check()?;
        policy.rules.iter().enumerate().try_for_each(|(index, rule)| rule.check(&format!("policy.rules[{index}]")))
    }
}

impl LeaderElection {
    fn check(&self) -> Result<(), ConfigError> {
        let Self { enabled: _, lease_name, lease_duration, renew_deadline, retry_period } = self;
        if lease_name.is_empty() {
            return invalid("leaderElection.leaseName", "must not be empty");
        }
        if retry_period.as_secs() == 0 {
            return invalid("leaderElection.retryPeriod", "must be at least 1s");
        }
        if renew_deadline <= retry_period {
            return invalid("leaderElection.renewDeadline", "must be longer than retryPeriod");
        }
        if lease_duration <= renew_deadline {
            return invalid(
                "leaderElection.leaseDuration",
                "must be longer than renewDeadline, or two replicas would work at once",
            );
        }
        Ok(())
    }

    /// Time left between the last write of a leader that lost its Lease and the first of the next one.
    #[must_use]
    pub fn safety_margin(&self) -> time::Duration {
        time::Duration::from(self.lease_duration).saturating_sub(self.renew_deadline.into())
    }
}

fn check_url(place: &str, text: &str) -> Result<(), ConfigError> {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return invalid(place, format!("{text:?} is not a URL: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return invalid(place, "must begin with http:// or https://");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return invalid(place, "must have no query and no fragment (RFC 8414, section 2)");
    }
    let is_name = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
    if !url.host_str().is_some_and(is_name) {
        return invalid(place, "must have a host of letters, digits, hyphens and dots, or an IP address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid(place, "must not hold a user name or password");
    }
    if text.len() > 512 || text.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'"' | b'\\')) {
        return invalid(place, "must be at most 512 printable ASCII characters without quotes and backslashes");
    }
    Ok(())
}

fn check_label(place: &str, name: &str, what: &str) -> Result<(), ConfigError> {
    let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(label) || name.starts_with('-') || name.ends_with('-') {
        return invalid(place, format!("{name:?} is not the name of {what} (RFC 1123 label)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::webhook::RouteType;

    const SMALLEST: &str = "realm: {issuer: 'https://auth.example.com'}";

    #[test]
    fn the_smallest_configuration_has_the_documented_defaults() {
        let config = Config::parse(SMALLEST).unwrap();
        assert_eq!(config.realm.app_url(), "https://auth.example.com");
        assert_eq!(config.signing_keys.algorithm, Algorithm::ES256);
        assert_eq!(config.leader_election.lease_duration, Duration::from_secs(15));
        assert!(config.watch_namespaces.is_empty());
        assert_eq!((config.routes.mode, config.routes.type_), (RouteMode::PerWebhook, RouteType::Ingress));
    }

    #[test]
    fn each_mistake_names_its_place() {
        let cases = [
            ("realm: {}", "issuer"),
            ("realm: {issuer: 'auth.example.com'}", "realm.issuer"),
            ("realm: {issuer: 'ftp://x'}", "realm.issuer"),
            ("realm: {issuer: 'https://x/?a=b'}", "realm.issuer"),
            ("realm: {issuer: 'https://u:p@x/'}", "realm.issuer"),
            ("realm: {issuer: 'https://x;id;'}", "letters, digits"),
            ("realm: {issuer: 'https://x', hooksUrl: 'https://$(id)'}", "realm.hooksUrl"),
            ("realm: {issuer: 'https://x', internalUrl: 'nonsense'}", "realm.internalUrl"),
            ("realm: {issuer: 'https://x', namespace: 'Not Good'}", "realm.namespace"),
            ("realm: {issuer: 'https://x', hooksUrl: 'https://x/y'}", "realm.hooksUrl"),
            ("realm: {issuer: 'https://x', hooksUrl: 'x'}", "realm.hooksUrl"),
            ("realm: {issuer: 'https://x', internalHooksUrl: 'ftp://x'}", "realm.internalHooksUrl"),
            ("realm: {issuer: 'https://x', service: {name: A, port: 1}}", "realm.service.name"),
            ("realm: {issuer: 'https://x', service: {name: a, port: 0}}", "realm.service.port"),
            ("realm: {issuer: 'https://x'}\nrealms: [{namespace: a}]", "issuer"),
            ("realm: {issuer: 'https://x'}\nrealms: [{issuer: 'http://localhost:8080'}]", "namespace"),
            ("realm: {issuer: 'https://x'}\nrealms: [{namespace: A, issuer: 'http://a'}]", "realms[0].namespace"),
            ("realm: {issuer: 'https://x'}\nrealms: [{namespace: a, issuer: 'a'}]", "realms[0].issuer"),
            (
                "realm: {issuer: 'https://x'}\nrealms: [{namespace: a, issuer: 'http://a', bundles: 0}]",
                "realms[0].bundles",
            ),
            (
                "realm: {issuer: 'https://x'}\nrealms: [{namespace: a, issuer: 'http://a', hooksUrl: 'http://a'}]",
                "hooksUrl",
            ),
            ("realm: {issuer: 'https://x'}\nroutes: {mode: shared, type: None}", "routes.type"),
            ("realm: {issuer: 'https://x'}\nroutes: {mode: shared, type: HTTPRoute}", "routes.parentRefs"),
            ("realm: {issuer: 'https://x'}\nroutes: {annotations: {snaphook.dev/a: b}}", "routes.annotations"),
            (
                "realm: {issuer: 'https://x'}\npolicy: {rules: [{namespaces: {}, routeHosts: ['']}]}",
                "policy.rules[0].routeHosts[0]",
            ),
            (
                "realm: {issuer: 'https://x'}\npolicy: {rules: [{namespaces: {}, webhookLimits: {mesages: 1}}]}",
                "mesages",
            ),
            ("realm: {issuer: 'https://x'}\nwatchNamespaces: [a, '']", "watchNamespaces[1]"),
            ("realm: {issuer: 'https://x'}\nsigningKeys: {algorithm: HS256}", "HS256"),
            ("realm: {issuer: 'https://x'}\nsigningKeys: {rotationInterval: 5m}", "signingKeys.rotationInterval"),
            ("realm: {issuer: 'https://x'}\nsigningKeys: {rotationInterval: 5 days}", "5 days"),
            ("realm: {issuer: 'https://x'}\nconcurrency: 0", "concurrency"),
            ("realm: {issuer: 'https://x'}\nleaderElection: {leaseDuration: 5s}", "leaderElection.leaseDuration"),
            ("realm: {issuer: 'https://x'}\nleaderElection: {retryPeriod: 10s}", "leaderElection.renewDeadline"),
            ("realm: {issuer: 'https://x'}\npolicy: {rules: [{scopes: []}]}", "namespaces"),
            (
                "realm: {issuer: 'https://x'}\npolicy: {rules: [{namespaces: {}, scopes: [a, '']}]}",
                "policy.rules[0].scopes[1]",
            ),
            (
                "realm: {issuer: 'https://x'}\npolicy: {rules: [{namespaces: {names: []}}]}",
                "policy.rules[0].namespaces.names",
            ),
            ("realm: {issuer: 'https://x'}\npolicies: {}", "policies"),
            ("realm: {issuer: 'https://x'}\nforwardAuth: {policies: {orders: {}}}", "audience"),
            (
                "realm: {issuer: 'https://x'}\nforwardAuth: {policies: {Orders: {audience: a}}}",
                "forwardAuth.policies.Orders",
            ),
            (
                "realm: {issuer: 'https://x'}\nforwardAuth: {policies: {orders: {audience: ''}}}",
                "forwardAuth.policies.orders.audience",
            ),
            (
                "realm: {issuer: 'https://x'}\nforwardAuth: {policies: {orders: {audience: a, scopes: [b, 'c d']}}}",
                "forwardAuth.policies.orders.scopes[1]",
            ),
        ];
        for (yaml, place) in cases {
            let error = Config::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(place), "{yaml}\n→ {error}");
        }
    }
}
