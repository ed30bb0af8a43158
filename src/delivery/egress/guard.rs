//! Flow 3, pure: which addresses a call may go to.

use core::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

use super::address::{Special, special};

/// The kubelet's API, and its read-only one.
const KUBELET_PORTS: [u16; 2] = [10250, 10255];

/// Decides about addresses. The default lets calls go to the public internet alone.
///
/// What the operator denies beats all else. The operator's exceptions open what they cover, but a wide one never opens by accident what is worth most: the metadata services
/// have to be named as one address; loopback, link-local and the like by a network inside their range; the API server, the server
/// itself and the kubelet's ports by address and port.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// What the operator allows.
    pub exceptions: Vec<Exception>,
    /// What the operator denies, whatever is allowed. A Service that a Webhook names is not concerned: the controller vouches for it.
    pub denied: Vec<Exception>,
    /// Whether receivers may be on the same machine, as on a laptop.
    pub loopback: bool,
    /// The API server and the server itself.
    pub forbidden: Vec<Forbidden>,
}

/// What the operator allows or denies: `10.0.0.0/8`, `10.1.2.3`, `10.1.2.3:8080`, `[fd00::1]:8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// All ports of all addresses in a network.
    Network(IpNet),
    /// One address and port.
    Exact(SocketAddr),
}

/// An address that is not for receivers: `10.96.0.1`, or with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The address.
    pub address: IpAddr,
    /// The port; without one, all.
    pub port: Option<u16>,
}

/// Text that names no network and no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a network, an address, or an address and port, such as 10.0.0.0/8, 10.1.2.3 or 10.1.2.3:8080; names of hosts are not \
     accepted: whoever controls a name would control what is allowed"
)]
pub struct NotAnAddress;

/// Why a call may not go to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not on the public internet.
    #[error("{} is for no receiver unless --allow-egress names it", .0.as_str())]
    Special(Special),
    /// In a network that the operator denies.
    #[error("--deny-egress covers it")]
    DeniedByOperator,
    /// One of the kubelet's ports.
    #[error("its port is the kubelet's")]
    KubeletPort,
    /// The API server or the server itself.
    #[error("it is the address of the API server or of Snaphook itself")]
    Forbidden,
}

impl Guard {
    /// Whether a call to a URL may go to `address`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: SocketAddr) -> Result<(), Denied> {
        if self.denied.iter().any(|denied| denied.covers(address)) {
            return Err(Denied::DeniedByOperator);
        }
        if self.names_exactly(address) {
            return Ok(());
        }
        self.check_forbidden(address)?;
        if KUBELET_PORTS.contains(&address.port()) {
            return Err(Denied::KubeletPort);
        }
        match special(address.ip()) {
            Some(special) if !self.opens(special, address) => Err(Denied::Special(special)),
            _ => Ok(()),
        }
    }

    /// Whether a call to a Service may go to its address: the controller has looked it up, so only what is forbidden is refused.
    ///
    /// # Errors
    /// Why not.
    pub fn check_service(&self, address: SocketAddr) -> Result<(), Denied> {
        if self.names_exactly(address) { Ok(()) } else { self.check_forbidden(address) }
    }

    fn check_forbidden(&self, address: SocketAddr) -> Result<(), Denied> {
        let canonical = address.ip().to_canonical();
        let forbids = |forbidden: &Forbidden| {
            forbidden.address.to_canonical() == canonical && forbidden.port.is_none_or(|port| port == address.port())
        };
        if self.forbidden.iter().any(forbids) { Err(Denied::Forbidden) } else { Ok(()) }
    }

    fn names_exactly(&self, address: SocketAddr) -> bool {
        self.exceptions.contains(&Exception::Exact(address))
    }

    fn opens(&self, what: Special, address: SocketAddr) -> bool {
        let mut covering = self.exceptions.iter().filter_map(|exception| match exception {
            Exception::Network(network) if network.contains(&address.ip()) => Some(network),
            _ => None,
        });
        match what {
            Special::Loopback if self.loopback => true,
            Special::Metadata => covering.any(|network| network.prefix_len() == network.max_prefix_len()),
            // A gateway that leads to IPv4 leads only to where IPv4 itself may go.
            Special::Embedded(inside) => {
                covering.next().is_some() && self.check(SocketAddr::new(inside.into(), address.port())).is_ok()
            }
            Special::Loopback | Special::LinkLocal | Special::Multicast | Special::Broadcast | Special::Unspecified => {
                covering.any(|network| is_within(network, what))
            }
            Special::Private
            | Special::UniqueLocal
            | Special::SiteLocal
            | Special::Shared
            | Special::Documentation
            | Special::Benchmarking
            | Special::Reserved => covering.next().is_some(),
        }
    }
}

impl Exception {
    /// Whether a call to the address is meant, also where it is an IPv4 address that is written as one of IPv6 or reached through a gateway.
    fn covers(&self, address: SocketAddr) -> bool {
        let mut addresses = vec![address.ip(), address.ip().to_canonical()];
        if let Some(Special::Embedded(inside)) = special(address.ip()) {
            addresses.push(inside.into());
        }
        addresses.into_iter().any(|ip| match self {
            Self::Network(network) => network.contains(&ip),
            Self::Exact(exact) => *exact == SocketAddr::new(ip, address.port()),
        })
    }
}

/// Whether all of a network is special in this one way.
fn is_within(network: &IpNet, what: Special) -> bool {
    [network.network(), network.broadcast()].into_iter().all(|end| special(end) == Some(what))
}

impl FromStr for Exception {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(exact) = text.parse() {
            return Ok(Self::Exact(exact));
        }
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self::Network).map_err(|_| NotAnAddress)
    }
}

impl FromStr for Forbidden {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(exact) = text.parse::<SocketAddr>() {
            return Ok(exact.into());
        }
        text.parse().map(|address| Self { address, port: None }).map_err(|_| NotAnAddress)
    }
}

impl From<SocketAddr> for Forbidden {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: Some(address.port()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(exceptions: &[&str]) -> Guard {
        let exceptions = exceptions.iter().map(|text| text.parse().unwrap()).collect();
        let forbidden = vec!["10.96.0.1".parse().unwrap(), "10.96.0.9:8080".parse().unwrap()];
        Guard { exceptions, forbidden, ..Guard::default() }
    }

    fn allows(guard: &Guard, address: &str) -> bool {
        guard.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn by_default_only_the_public_internet_is_allowed() {
        let guard = guard(&[]);
        for address in ["1.1.1.1:443", "1.1.1.1:8080", "[2600::1]:443"] {
            assert!(allows(&guard, address), "{address}");
        }
        for address in
            ["127.0.0.1:80", "10.1.2.3:80", "169.254.169.254:80", "[::1]:80", "[::ffff:1.1.1.1]:443", "0.0.0.0:80"]
        {
            assert!(!allows(&guard, address), "{address}");
        }
        assert_eq!(guard.check("1.1.1.1:10250".parse().unwrap()), Err(Denied::KubeletPort));
        assert_eq!(guard.check("1.1.1.1:10255".parse().unwrap()), Err(Denied::KubeletPort));
    }

    #[test]
    fn an_exception_opens_what_it_covers() {
        let guard = guard(&["10.0.0.0/8", "192.168.7.7", "172.16.0.1:8080", "[fd12::1]:80", "fd34::/16"]);
        for address in ["10.1.2.3:80", "192.168.7.7:1", "172.16.0.1:8080", "[fd12::1]:80", "[fd34::5]:443"] {
            assert!(allows(&guard, address), "{address}");
        }
        for address in ["192.168.7.8:1", "172.16.0.1:8081", "[fd12::1]:81", "[fd12::2]:80", "[::ffff:10.1.2.3]:80"] {
            assert!(!allows(&guard, address), "{address}");
        }
    }

    #[test]
    fn a_wide_exception_does_not_open_what_is_worth_most() {
        let wide = guard(&["0.0.0.0/0", "::/0"]);
        assert!(allows(&wide, "10.1.2.3:80") && allows(&wide, "[fd12::1]:80") && allows(&wide, "240.0.0.1:1"));
        for address in [
            "169.254.169.254:80",
            "169.254.1.1:80",
            "168.63.129.16:80",
            "127.0.0.1:80",
            "0.0.0.0:80",
            "255.255.255.255:80",
            "224.0.0.1:80",
            "[::1]:80",
            "[::]:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "10.1.2.3:10250",
            "10.96.0.1:443",
            "[::ffff:10.96.0.1]:443",
        ] {
            assert!(!allows(&wide, address), "{address}");
        }
    }

    #[test]
    fn what_is_worth_most_is_opened_by_its_name() {
        let named =
            guard(&["169.254.169.254", "127.0.0.0/8", "fe80::/10", "10.1.2.3:10250", "10.96.0.1:443", "0.0.0.0/8"]);
        for address in
            ["169.254.169.254:80", "127.1.1.1:80", "[fe80::1]:80", "10.1.2.3:10250", "10.96.0.1:443", "0.0.0.0:1"]
        {
            assert!(allows(&named, address), "{address}");
        }
        for address in ["169.254.170.2:80", "[::1]:80", "10.96.0.1:6443"] {
            assert!(!allows(&named, address), "{address}");
        }
    }

    #[test]
    fn a_gateway_to_ipv4_leads_only_to_where_ipv4_may_go() {
        let nat64 = guard(&["64:ff9b::/96"]);
        assert!(allows(&nat64, "[64:ff9b::8.8.8.8]:443"));
        for address in
            ["[64:ff9b::127.0.0.1]:80", "[64:ff9b::10.96.0.1]:443", "[64:ff9b::8.8.8.8]:10250", "[::ffff:8.8.8.8]:443"]
        {
            assert!(!allows(&nat64, address), "{address}");
        }
    }

    #[test]
    fn on_a_laptop_loopback_is_allowed_and_no_more() {
        let mut guard = Guard { loopback: true, ..guard(&[]) };
        guard.forbidden.push("127.0.0.1:8080".parse().unwrap());
        assert!(allows(&guard, "127.0.0.1:9000") && allows(&guard, "[::1]:9000") && allows(&guard, "127.9.9.9:9000"));
        for address in ["127.0.0.1:8080", "0.0.0.0:9000", "[::]:9000", "[::ffff:127.0.0.1]:9000", "10.0.0.1:9000"] {
            assert!(!allows(&guard, address), "{address}");
        }
    }

    #[test]
    fn a_service_is_allowed_unless_it_is_the_api_server_or_ourselves() {
        let guard = guard(&[]);
        let check = |address: &str| guard.check_service(address.parse().unwrap());
        assert_eq!(check("10.96.7.7:8080"), Ok(()));
        assert_eq!(check("[fd00::7]:10250"), Ok(()));
        assert_eq!(check("10.96.0.1:443"), Err(Denied::Forbidden));
        assert_eq!(check("10.96.0.9:8080"), Err(Denied::Forbidden));
        assert_eq!(check("10.96.0.9:8081"), Ok(()));
    }

    #[test]
    fn what_is_denied_beats_what_is_allowed_and_the_public_internet() {
        let denied = ["10.244.0.0/16", "203.0.113.0/24", "1.1.1.1:853", "fd00:1::/64", "192.168.0.9"];
        let denied = denied.iter().map(|text| text.parse().unwrap()).collect();
        let guard = Guard { denied, ..guard(&["0.0.0.0/0", "::/0", "10.244.1.1:80", "64:ff9b::/96"]) };
        for address in [
            "10.244.1.1:80",
            "10.244.255.255:1",
            "[::ffff:10.244.1.1]:80",
            "[64:ff9b::10.244.1.1]:80",
            "1.1.1.1:853",
            "[fd00:1::7]:443",
            "192.168.0.9:80",
        ] {
            assert_eq!(guard.check(address.parse().unwrap()), Err(Denied::DeniedByOperator), "{address}");
        }
        assert!(allows(&guard, "10.245.0.1:80") && allows(&guard, "1.1.1.1:443") && allows(&guard, "192.168.0.8:80"));
        assert_eq!(guard.check_service("10.244.1.1:80".parse().unwrap()), Ok(()), "the controller vouches for it");
    }

    #[test]
    fn exceptions_are_networks_and_addresses() {
        for text in [
            "",
            "example.net",
            "example.net:80",
            "10.0.0.0/33",
            "10.0.0",
            "*",
            "10.0.0.0/8:80",
            "fd00::1:80:x",
            "127.1",
        ] {
            assert_eq!(text.parse::<Exception>(), Err(NotAnAddress), "{text}");
        }
        assert_eq!("fd00::1".parse(), Ok(Exception::Network("fd00::1/128".parse().unwrap())));
    }

    #[test]
    fn a_refusal_says_what_the_address_is() {
        let denied = guard(&[]).check("10.1.2.3:80".parse().unwrap()).unwrap_err();
        assert_eq!(denied.to_string(), "a private address is for no receiver unless --allow-egress names it");
    }
}
