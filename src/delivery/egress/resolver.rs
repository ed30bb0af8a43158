//! Flow 3: from a host's name to its addresses, once a connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    lookup_ip::LookupIp,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name,
};

/// A name server's word counts no longer than this, so that a receiver that moves is found.
const LONGEST_TTL: Duration = Duration::from_mins(1);
/// Also for names that are not there: they may just be on their way.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// More addresses of one name are not looked at.
const MAX_ADDRESSES: usize = 16;

/// Resolves names as the system's configuration says: `/etc/hosts`, then the name servers of `/etc/resolv.conf`. Its copies are one: hyper
/// makes one for each call.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<TokioResolver>);

impl Resolver {
    /// By the system's configuration. Without any, only `/etc/hosts` and IP addresses work.
    ///
    /// # Errors
    /// Where no resolver can be made from it.
    pub fn system() -> Result<Self, NetError> {
        let builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(%error, "no name server is known, so calls go only to IP addresses and to names in /etc/hosts");
            TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
        });
        Self::build(builder)
    }

    /// By one name server, with these search domains.
    ///
    /// # Errors
    /// Where no resolver can be made from it.
    pub fn with_name_server(address: SocketAddr, search: &[&str]) -> Result<Self, NetError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        let server = NameServerConfig::new(address.ip(), true, connections.into());
        let search = search.iter().map(Name::from_ascii).collect::<Result<_, _>>()?;
        let config = ResolverConfig::from_parts(None, search, vec![server]);
        Self::build(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, NetError> {
        let options = builder.options_mut();
        options.positive_max_ttl = Some(LONGEST_TTL);
        options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
        // A name with a dot is never looked for in the search domains first: `example.net` must not become a Service `example` in
        // somebody's namespace `net`.
        options.ndots = 1;
        Ok(Self(Arc::new(builder.build()?)))
    }

    /// All addresses of a host.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let name = Name::from_ascii(host)?;
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        let found = match self.0.lookup_ip(absolute).await {
            // Only a name that is nowhere is looked for in the search domains, such as `receiver.monitoring.svc`. One whose name
            // servers do not answer could be found there as another host.
            Err(error) if error.is_no_records_found() && !name.is_fqdn() => self.0.lookup_ip(name).await?,
            found => found?,
        };
        Ok(bounded(&found))
    }
}

fn bounded(found: &LookupIp) -> Vec<IpAddr> {
    found.iter().take(MAX_ADDRESSES).collect()
}
