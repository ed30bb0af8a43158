//! Flow 1: the operator's configuration: where servers are, and where they are reached.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, check_label, check_url, invalid};
use crate::record::bundle;

/// A namespace with a server in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Realm {
    /// Where the server and its records are. Default: the namespace that the controller runs in.
    pub namespace: Option<String>,
    /// The issuer of tokens (RFC 8414): an `http` or `https` URL without query and fragment, used exactly as written.
    pub issuer: String,
    /// Where apps in the cluster reach the server. Default: the issuer.
    pub internal_url: Option<String>,
    /// Where the rest of the world posts to Webhooks: scheme, host and port. Default: those of the issuer.
    pub hooks_url: Option<String>,
    /// Where the cluster posts to Webhooks. Default: `internalUrl`.
    pub internal_hooks_url: Option<String>,
    /// The Service that hooks are served behind. Without it no route is made: the operator has one of his own.
    pub service: Option<HooksService>,
}

/// A Service in the realm's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HooksService {
    /// Its name.
    pub name: String,
    /// One of its ports.
    pub port: u16,
}

impl Realm {
    /// Where apps in the cluster reach the server, without a slash at the end.
    #[must_use]
    pub fn app_url(&self) -> &str {
        trimmed(self.internal_url.as_deref().unwrap_or(&self.issuer))
    }

    /// Where the cluster posts to Webhooks, without a slash at the end.
    #[must_use]
    pub fn internal_hooks_url(&self) -> &str {
        self.internal_hooks_url.as_deref().map_or(self.app_url(), trimmed)
    }

    /// Where the rest of the world posts to Webhooks, without a slash at the end; to another host where one is given.
    #[must_use]
    pub fn hooks_url(&self, host: Option<&str>) -> String {
        let Ok(mut url) = Url::parse(self.hooks_url.as_ref().unwrap_or(&self.issuer)) else { return String::new() };
        if let Some(host) = host.filter(|host| Some(*host) != url.host_str()) {
            // The port is that of the realm's own host, and hosts of the policy are names.
            let _ = url.set_host(Some(host)).is_ok() && url.set_port(None).is_ok();
        }
        url.origin().ascii_serialization()
    }

    /// The host that Webhooks have by default.
    #[must_use]
    pub fn hooks_host(&self) -> Option<String> {
        let url = Url::parse(self.hooks_url.as_ref().unwrap_or(&self.issuer)).ok()?;
        url.host_str().map(str::to_owned)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { namespace, issuer, internal_url, hooks_url, internal_hooks_url, service } = self;
        check_url("realm.issuer", issuer)?;
        let urls = [
            ("realm.internalUrl", internal_url),
            ("realm.hooksUrl", hooks_url),
            ("realm.internalHooksUrl", internal_hooks_url),
        ];
        for (place, url) in urls {
            url.iter().try_for_each(|url| check_url(place, url))?;
        }
        if hooks_url.as_ref().and_then(|url| Url::parse(url).ok()).is_some_and(|url| url.path() != "/") {
            return invalid("realm.hooksUrl", "must have no path: routes lead to /hooks/ of the host");
        }
        if let Some(namespace) = namespace {
            check_label("realm.namespace", namespace, "a namespace")?;
        }
        match service {
            Some(HooksService { port: 0, .. }) => invalid("realm.service.port", "must be from 1 to 65535"),
            Some(HooksService { name, .. }) => check_label("realm.service.name", name, "a Service"),
            None => Ok(()),
        }
    }
}

/// A namespace whose servers are sidecars in its own Pods. Nothing outside a Pod reaches its sidecar, so no route leads to its hooks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarRealm {
    /// The namespace of the resources, of the records, and of the Pods.
    pub namespace: String,
    /// The issuer of tokens, as that of the shared realm.
    pub issuer: String,
    /// Where the containers of a Pod reach their sidecar. Default: the issuer.
    pub internal_url: Option<String>,
    /// Where they post to Webhooks. Default: `internalUrl`.
    pub internal_hooks_url: Option<String>,
    /// How many Secrets its records may fill, as many as the Pods mount: 1 to 32.
    #[serde(default = "default_bundles")]
    pub bundles: u8,
}

fn default_bundles() -> u8 {
    bundle::DEFAULT_COUNT
}

/// The realm of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealmOf<'a> {
    /// The one of all namespaces that are not listed.
    Shared(&'a Realm),
    /// The namespace's own.
    Sidecar {
        /// Its place in `realms`.
        index: usize,
        /// It.
        realm: &'a SidecarRealm,
    },
}

impl<'a> RealmOf<'a> {
    /// The issuer of its tokens.
    #[must_use]
    pub fn issuer(self) -> &'a str {
        match self {
            Self::Shared(realm) => &realm.issuer,
            Self::Sidecar { realm, .. } => &realm.issuer,
        }
    }

    /// Where apps reach the server, without a slash at the end.
    #[must_use]
    pub fn app_url(self) -> &'a str {
        match self {
            Self::Shared(realm) => realm.app_url(),
            Self::Sidecar { realm, .. } => trimmed(realm.internal_url.as_deref().unwrap_or(&realm.issuer)),
        }
    }

    /// Where apps post to Webhooks, without a slash at the end.
    #[must_use]
    pub fn internal_hooks_url(self) -> &'a str {
        match self {
            Self::Shared(realm) => realm.internal_hooks_url(),
            Self::Sidecar { realm, .. } => realm.internal_hooks_url.as_deref().map_or(self.app_url(), trimmed),
        }
    }

    /// The realm that routes may lead to.
    #[must_use]
    pub fn reachable(self) -> Option<&'a Realm> {
        match self {
            Self::Shared(realm) => Some(realm),
            Self::Sidecar { .. } => None,
        }
    }
}

fn trimmed(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// Checks the realms of single namespaces, also against one another and the shared one.
pub(super) fn check_table(
    shared: &Realm,
    realms: &[SidecarRealm],
    watch_namespaces: &[String],
) -> Result<(), ConfigError> {
    let of_shared = shared.namespace.as_deref().map(|name| (name, "realm.namespace".to_owned()));
    let mut namespaces: HashMap<_, _> = of_shared.into_iter().collect();
    let mut issuers = HashMap::from([(trimmed(&shared.issuer), "realm.issuer".to_owned())]);
    for (index, realm) in realms.iter().enumerate() {
        let place = |field: &str| format!("realms[{index}].{field}");
        realm.check(place)?;
        let (namespace, of_namespace, of_issuer) = (&realm.namespace, place("namespace"), place("issuer"));
        if !watch_namespaces.is_empty() && !watch_namespaces.contains(namespace) {
            return invalid(
                of_namespace,
                format!("{namespace:?} is not in watchNamespaces: nobody would make its records"),
            );
        }
        if let Some(other) = namespaces.insert(namespace.as_str(), of_namespace.clone()) {
            return invalid(of_namespace, format!("{namespace:?} is {other} as well: a namespace has one realm"));
        }
        if let Some(other) = issuers.insert(trimmed(&realm.issuer), of_issuer.clone()) {
            return invalid(
                of_issuer,
                format!("{:?} is {other} as well: each realm needs an issuer of its own", realm.issuer),
            );
        }
    }
    Ok(())
}

impl SidecarRealm {
    fn check(&self, place: impl Fn(&str) -> String) -> Result<(), ConfigError> {
        let Self { namespace, issuer, internal_url, internal_hooks_url, bundles } = self;
        check_label(&place("namespace"), namespace, "a namespace")?;
        check_url(&place("issuer"), issuer)?;
        for (field, url) in [("internalUrl", internal_url), ("internalHooksUrl", internal_hooks_url)] {
            url.iter().try_for_each(|url| check_url(&place(field), url))?;
        }
        if !(1..=bundle::MAX_COUNT).contains(bundles) {
            return invalid(place("bundles"), format!("must be from 1 to {}", bundle::MAX_COUNT));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn table(rows: &str) -> Result<Config, String> {
        let shared = "realm: {issuer: 'https://auth.example.com', namespace: vault}";
        Config::parse(&format!("{shared}\nrealms: {rows}")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_listed_namespace_has_a_realm_of_its_own() {
        let config =
            table("[{namespace: a, issuer: 'https://a.example/', internalUrl: 'http://localhost:8080/'}]").unwrap();
        let realm = config.realm_of("a");
        assert_eq!(realm.issuer(), "https://a.example/");
        assert_eq!((realm.app_url(), realm.internal_hooks_url()), ("http://localhost:8080", "http://localhost:8080"));
        assert_eq!(realm.reachable(), None);
        assert_eq!(config.realm_of("b").issuer(), "https://auth.example.com");
        assert_eq!(config.realm_of("b").reachable(), Some(&config.realm));
        let config =
            table("[{namespace: a, issuer: 'http://localhost:1', internalHooksUrl: 'http://localhost:2'}]").unwrap();
        let realm = config.realm_of("a");
        assert_eq!((realm.app_url(), realm.internal_hooks_url()), ("http://localhost:1", "http://localhost:2"));
    }

    #[test]
    fn two_realms_share_nothing() {
        for (rows, place, other) in [
            ("[{namespace: a, issuer: 'https://auth.example.com'}]", "realms[0].issuer", "realm.issuer"),
            ("[{namespace: a, issuer: 'https://auth.example.com/'}]", "realms[0].issuer", "realm.issuer"),
            (
                "[{namespace: a, issuer: 'http://x'}, {namespace: b, issuer: 'http://x'}]",
                "realms[1].issuer",
                "realms[0].issuer",
            ),
            (
                "[{namespace: a, issuer: 'http://x'}, {namespace: a, issuer: 'http://y'}]",
                "realms[1].namespace",
                "realms[0].namespace",
            ),
            ("[{namespace: vault, issuer: 'http://x'}]", "realms[0].namespace", "realm.namespace"),
            ("[{namespace: a, issuer: 'http://x'}]\nwatchNamespaces: [b]", "realms[0].namespace", "watchNamespaces"),
        ] {
            let error = table(rows).unwrap_err();
            assert!(error.starts_with(place) && error.contains(other), "{rows}\n→ {error}");
        }
    }

    #[test]
    fn hooks_are_where_the_issuer_is_unless_something_else_is_said() {
        let realm =
            |more: &str| Config::parse(&format!("realm: {{issuer: 'https://a.example:8443/x'{more}}}")).unwrap().realm;
        let default = realm("");
        assert_eq!(default.hooks_url(None), "https://a.example:8443");
        assert_eq!(default.hooks_url(Some("a.example")), "https://a.example:8443");
        assert_eq!(default.hooks_url(Some("b.example")), "https://b.example");
        assert_eq!(default.internal_hooks_url(), "https://a.example:8443/x");
        let said = realm(
            ", internalUrl: 'http://tokens/', hooksUrl: 'https://hooks.example/', internalHooksUrl: 'http://hooks/'",
        );
        assert_eq!(said.hooks_url(None), "https://hooks.example");
        assert_eq!(said.hooks_host().as_deref(), Some("hooks.example"));
        assert_eq!(said.internal_hooks_url(), "http://hooks");
        assert_eq!(realm(", internalUrl: 'http://tokens/'").internal_hooks_url(), "http://tokens");
    }
}
