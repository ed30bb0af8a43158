//! Flow 3, pure: what sort of address a receiver has. Whatever is not known to be on the public internet is special.
//!
//! From IANA's registries of special-purpose addresses (RFC 6890) and of IPv6 global unicast addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is special about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// RFC 4193: `fc00::/7`.
    UniqueLocal,
    /// 169.254.0.0/16, `fe80::/10`.
    LinkLocal,
    /// `fec0::/10`, RFC 3879.
    SiteLocal,
    /// Carrier-grade NAT: 100.64.0.0/10, RFC 6598.
    Shared,
    /// Where clouds hand credentials to machines and containers.
    Metadata,
    /// 224.0.0.0/4, `ff00::/8`.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 0.0.0.0/8, `::`.
    Unspecified,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// RFC 2544, RFC 5180.
    Benchmarking,
    /// An IPv4 address in an IPv6 one: mapped, compatible, translated, NAT64, 6to4, Teredo.
    Embedded(Ipv4Addr),
    /// Everything else that is not given out.
    Reserved,
}

impl Special {
    /// For messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::UniqueLocal => "a unique local address",
            Self::LinkLocal => "a link-local address",
            Self::SiteLocal => "a site-local address",
            Self::Shared => "an address of a carrier's NAT",
            Self::Metadata => "a metadata service",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Unspecified => "an unspecified address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::Embedded(_) => "an IPv4 address inside an IPv6 address",
            Self::Reserved => "a reserved address",
        }
    }
}

/// AWS (instances, ECS, EKS), Oracle, Alibaba; 168.63.129.16 is Azure's, though it looks public.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// AWS (instances, EKS), Google.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// What is special about `address`; nothing where it is on the public internet.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    if METADATA_V4.contains(&address) {
        return Some(Special::Metadata);
    }
    match address.octets() {
        [0, ..] => Some(Special::Unspecified),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Special::Private),
        [100, 64..=127, ..] => Some(Special::Shared),
        [127, ..] => Some(Special::Loopback),
        [169, 254, ..] => Some(Special::LinkLocal),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(Special::Documentation),
        [198, 18 | 19, ..] => Some(Special::Benchmarking),
        [224..=239, ..] => Some(Special::Multicast),
        [255, 255, 255, 255] => Some(Special::Broadcast),
        // Protocol assignments, the anycast of 6to4 relays, and class E.
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Some(Special::Reserved),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    if METADATA_V6.contains(&address) {
        return Some(Special::Metadata);
    }
    if let Some(inside) = embedded(address) {
        return Some(Special::Embedded(inside));
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Special::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Special::Loopback),
        [0xfc00..=0xfdff, ..] => Some(Special::UniqueLocal),
        [0xfe80..=0xfebf, ..] => Some(Special::LinkLocal),
        [0xfec0..=0xfeff, ..] => Some(Special::SiteLocal),
        [0xff00..=0xffff, ..] => Some(Special::Multicast),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(Special::Documentation),
        [0x2001, 2, 0, ..] => Some(Special::Benchmarking),
        [0x2001, 0..=0x1ff, ..] => Some(Special::Reserved),
        // Only 2000::/3 is given out.
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Special::Reserved),
    }
}

/// RFC 4291 (mapped, compatible), RFC 7915 (translated), RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(joined(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => Some(joined(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(expected: Option<Special>, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(special(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_public_internet_is_nothing_special() {
        is(
            None,
            &["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"],
        );
        is(
            None,
            &["128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0"],
        );
        is(
            None,
            &["192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15"],
        );
        is(
            None,
            &["2600::1", "2a00:1450:4001::1", "2001:4860:4860::8888", "2001:200::1", "2003::", "3ffe::1", "2000::"],
        );
    }

    #[test]
    fn every_special_range_from_its_first_address_to_its_last() {
        is(Some(Special::Loopback), &["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"]);
        is(Some(Special::Private), &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255"]);
        is(Some(Special::Private), &["192.168.0.0", "192.168.255.255"]);
        is(Some(Special::UniqueLocal), &["fc00::", "fd00::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
        is(Some(Special::LinkLocal), &["169.254.0.0", "169.254.255.255", "fe80::", "fe80::1", "febf::1"]);
        is(Some(Special::SiteLocal), &["fec0::", "feff::1"]);
        is(Some(Special::Shared), &["100.64.0.0", "100.127.255.255"]);
        is(Some(Special::Multicast), &["224.0.0.0", "239.255.255.255", "ff00::", "ff02::1", "ffff::1"]);
        is(Some(Special::Broadcast), &["255.255.255.255"]);
        is(Some(Special::Unspecified), &["0.0.0.0", "0.255.255.255", "::"]);
        is(
            Some(Special::Documentation),
            &["192.0.2.0", "198.51.100.255", "203.0.113.1", "2001:db8::", "2001:db8:ffff::"],
        );
        is(Some(Special::Documentation), &["3fff::", "3fff:fff::1"]);
        is(Some(Special::Benchmarking), &["198.18.0.0", "198.19.255.255", "2001:2::", "2001:2:0:ffff::"]);
        is(Some(Special::Reserved), &["192.0.0.0", "192.0.0.255", "192.88.99.1", "240.0.0.0", "255.255.255.254"]);
        is(
            Some(Special::Reserved),
            &["100::", "2001:1::1", "2001:10::", "2001:1ff::", "4000::", "5f00::", "fe00::", "1fff::"],
        );
    }

    #[test]
    fn where_clouds_hand_out_credentials() {
        is(Some(Special::Metadata), &["169.254.169.254", "169.254.170.2", "169.254.170.23", "192.0.0.192"]);
        is(
            Some(Special::Metadata),
            &["100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"],
        );
    }

    #[test]
    fn an_ipv4_address_is_found_inside_an_ipv6_address() {
        let loopback = Some(Special::Embedded(Ipv4Addr::LOCALHOST));
        is(loopback, &["::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1"]);
        is(loopback, &["64:ff9b:1::127.0.0.1", "64:ff9b:1:ffff:1:2:7f00:1", "2002:7f00:1::", "2002:7f00:1:1::1"]);
        is(loopback, &["2001:0:4136:e378:8000:63bf:80ff:fffe"]);
        let metadata = Some(Special::Embedded(Ipv4Addr::new(169, 254, 169, 254)));
        is(
            metadata,
            &["::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"],
        );
        is(Some(Special::Embedded(Ipv4Addr::new(8, 8, 8, 8))), &["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]);
    }
}
