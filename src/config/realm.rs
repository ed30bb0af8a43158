//! Flow 1: the operator's configuration: where the server is, and where it is reached.

use serde::Deserialize;
use url::Url;

use super::{ConfigError, check_label, check_url, invalid};

/// A namespace with a server in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
        self.internal_url.as_deref().unwrap_or(&self.issuer).trim_end_matches('/')
    }

    /// Where the cluster posts to Webhooks, without a slash at the end.
    #[must_use]
    pub fn internal_hooks_url(&self) -> &str {
        self.internal_hooks_url.as_deref().unwrap_or(self.app_url()).trim_end_matches('/')
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

#[cfg(test)]
mod tests {
    use crate::config::Config;

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
