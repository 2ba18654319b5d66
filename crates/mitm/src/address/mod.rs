//! Which addresses a tunnel may not lead to.
//!
//! A tunnel reaches global unicast addresses and nothing else: not the machine itself, not the networks around it,
//! not what a cloud tells its machines about their credentials. IPv4 is judged by a list of what is not global, IPv6
//! the other way round: all that lies outside of `2000::/3`, the one block that is given out as global unicast, is
//! refused, and so are some parts of it. The lists follow IANA's registries of special-purpose addresses
//! (`iana-ipv4-special-registry`, `iana-ipv6-special-registry`, RFC 6890) and its map of the IPv6 space. They are
//! stricter in two ways: what is no host of the web (anycast of protocols, `192.88.99.0/24`, `2001::/23`) is refused
//! although some of it can be reached, and so is every form of transition that carries an IPv4 address.
//!
//! An IPv4 address stays one in whatever IPv6 address it is wrapped: it is taken out and judged by the rules and the
//! exceptions of IPv4. So an IPv6 exception, `::/0` included, opens IPv6 networks and never an IPv4 one:
//! `64:ff9b::/96` lets a host behind NAT64 reach what it could reach over IPv4. The other way an IPv4 exception holds
//! for the forms that surely lead to the address they carry, which the ends of ISATAP addresses and local NAT64 do
//! not. Addresses of cloud metadata are opened only by an exception for exactly that address; a wide one is about
//! networks, and rarely means them.
//!
//! A translator with a prefix of its own (RFC 6052, section 2.2) cannot be told from other global addresses; who runs
//! one lets it translate no private address (RFC 6052, section 3.1). In `64:ff9b:1::/48` the address is sought in the
//! last 32 bits, as in the well-known prefix. Names and the resolving of them are the matter of [`crate::dial`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What tunnels may reach beyond the public internet.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    allowed_v4: Vec<Ipv4Net>,
    allowed_v6: Vec<Ipv6Net>,
}

/// An address that a tunnel may not lead to. The text names the address, so it is for logs: a client may have asked
/// for a name, and is not told what that stands for in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is out of bounds for tunnels: {range}")]
pub struct Blocked {
    pub address: IpAddr,
    /// What kind of address it is, in words.
    pub range: &'static str,
}

struct Range<N> {
    network: N,
    name: &'static str,
}

/// Where clouds tell their machines about themselves, credentials included. Most lie in a blocked range as well.
const METADATA: [IpAddr; 11] = [
    // AWS, Google, Azure, OpenStack, Oracle, DigitalOcean and others; over IPv6: OpenStack, AWS, Google.
    v4(169, 254, 169, 254),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // AWS: the credentials of a container (ECS), of a pod (EKS).
    v4(169, 254, 170, 2),
    v4(169, 254, 170, 23),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // The wire server of Azure, in a public range.
    v4(168, 63, 129, 16),
    // Alibaba, Oracle, Tencent.
    v4(100, 100, 100, 200),
    v4(192, 0, 0, 192),
    v4(169, 254, 0, 23),
];

const BLOCKED_V4: [Range<Ipv4Net>; 16] = [
    range_v4([0, 0, 0, 0], 8, "this network"),
    range_v4([10, 0, 0, 0], 8, "a private network"),
    range_v4([100, 64, 0, 0], 10, "carrier-grade NAT"),
    range_v4([127, 0, 0, 0], 8, "loopback"),
    range_v4([169, 254, 0, 0], 16, "link-local"),
    range_v4([172, 16, 0, 0], 12, "a private network"),
    range_v4([192, 0, 0, 0], 24, "protocol assignments"),
    range_v4([192, 0, 2, 0], 24, "documentation"),
    range_v4([192, 88, 99, 0], 24, "6to4 relays"),
    range_v4([192, 168, 0, 0], 16, "a private network"),
    range_v4([198, 18, 0, 0], 15, "benchmarks"),
    range_v4([198, 51, 100, 0], 24, "documentation"),
    range_v4([203, 0, 113, 0], 24, "documentation"),
    range_v4([224, 0, 0, 0], 4, "multicast"),
    range_v4([255, 255, 255, 255], 32, "broadcast"),
    range_v4([240, 0, 0, 0], 4, "reserved"),
];

/// The part of the IPv6 space that is given out as global unicast; outside of it nothing is reachable or needed.
const GLOBAL_UNICAST: Ipv6Net = range_v6([0x2000, 0, 0, 0], 3, "").network;

/// What is blocked inside [`GLOBAL_UNICAST`], and what outside has a name worth telling.
const BLOCKED_V6: [Range<Ipv6Net>; 16] = [
    range_v6([0x2001, 0xdb8, 0, 0], 32, "documentation"),
    range_v6([0x3fff, 0, 0, 0], 20, "documentation"),
    range_v6([0x2001, 0, 0, 0], 32, "Teredo"),
    range_v6([0x2001, 0, 0, 0], 23, "protocol assignments"),
    range_v6([0x2002, 0, 0, 0], 16, "6to4"),
    range_v6([0, 0, 0, 0], 96, "IPv4-compatible, unspecified or loopback"),
    range_v6([0x64, 0xff9b, 0, 0], 96, "NAT64"),
    range_v6([0x64, 0xff9b, 1, 0], 48, "local NAT64"),
    range_v6([0x100, 0, 0, 0], 64, "discard only"),
    range_v6([0x100, 0, 0, 1], 64, "dummy"),
    range_v6([0x5f00, 0, 0, 0], 16, "segment routing"),
    range_v6([0xfc00, 0, 0, 0], 7, "a private network"),
    range_v6([0xfe80, 0, 0, 0], 10, "link-local"),
    range_v6([0xfec0, 0, 0, 0], 10, "site-local"),
    range_v6([0xff00, 0, 0, 0], 8, "multicast"),
    range_v6([0, 0, 0, 0], 8, "reserved"),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn range_v4(start: [u8; 4], length: u8, name: &'static str) -> Range<Ipv4Net> {
    let [a, b, c, d] = start;
    Range {
        network: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length),
        name,
    }
}

const fn range_v6(start: [u16; 4], length: u8, name: &'static str) -> Range<Ipv6Net> {
    let [a, b, c, d] = start;
    Range {
        network: Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length),
        name,
    }
}

/// The IPv4 addresses that a packet to this IPv6 address ends at or passes, by the form of transition that it has.
/// Mapped addresses are not among them: those are IPv4 for the kernel too, and have been turned into it before.
fn carried(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> + Clone {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = address.segments();
    let is_in_last = match [s0, s1, s2, s3, s4, s5] {
        // IPv4-compatible (RFC 4291, section 2.5.5.1).
        [0, 0, 0, 0, 0, 0] => address != Ipv6Addr::UNSPECIFIED && address != Ipv6Addr::LOCALHOST,
        // IPv4-translated (RFC 2765, section 2.1), NAT64 (RFC 6052, section 2.1).
        [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => true,
        _ => false,
    };
    let is_6to4 = s0 == 0x2002; // RFC 3056, section 2
    let is_teredo = [s0, s1] == [0x2001, 0]; // RFC 4380, section 4: the server, and the client with all bits turned
    [
        is_in_last.then(|| joined(s6, s7)),
        is_6to4.then(|| joined(s1, s2)),
        is_teredo.then(|| joined(s2, s3)),
        is_teredo.then(|| joined(!s6, !s7)),
    ]
    .into_iter()
    .flatten()
}

/// The IPv4 address that an IPv6 address may carry, for all that its form tells. It counts against the address, never
/// for it: anybody can give the end of an address this form.
fn suggested(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [s0, s1, s2, _, s4, s5, s6, s7] = address.segments();
    // An interface identifier, with and without the bit for one that is unique in the world (RFC 5214, section 6.1).
    let is_isatap = matches!(s4, 0 | 0x200) && s5 == 0x5efe;
    let is_local_nat64 = [s0, s1, s2] == [0x64, 0xff9b, 1]; // RFC 8215
    (is_isatap || is_local_nat64).then(|| joined(s6, s7))
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

// === impl AddressPolicy ===

impl AddressPolicy {
    /// `allowed` are the networks that tunnels may reach although they are not public. An IPv4 network, or an IPv6
    /// one of mapped addresses, holds for an IPv4 address however it is written.
    pub fn new(allowed: impl IntoIterator<Item = IpNet>) -> Self {
        let mut policy = Self::default();
        for network in allowed {
            match network {
                IpNet::V4(network) => policy.allowed_v4.push(network.trunc()),
                IpNet::V6(network) => match mapped(network) {
                    Some(network) => policy.allowed_v4.push(network),
                    None => policy.allowed_v6.push(network.trunc()),
                },
            }
        }
        policy
    }

    /// Whether a tunnel may lead to this address.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        let checked = match address.to_canonical() {
            IpAddr::V4(address) => self.check_v4(address),
            IpAddr::V6(address) => self.check_v6(address),
        };
        checked.map_err(|range| Blocked { address, range })
    }

    fn check_v4(&self, address: Ipv4Addr) -> Result<(), &'static str> {
        self.check_metadata(address.into())?;
        let blocked = BLOCKED_V4.iter().find(|range| range.network.contains(&address));
        match blocked {
            Some(range) if !self.excepts_v4(address) => Err(range.name),
            _ => Ok(()),
        }
    }

    fn check_v6(&self, address: Ipv6Addr) -> Result<(), &'static str> {
        self.check_metadata(address.into())?;
        let carried = carried(address);
        carried
            .clone()
            .chain(suggested(address))
            .try_for_each(|inner| self.check_v4(inner))?;
        let is_excepted_v4 =
            carried.clone().count() > 0 && carried.clone().all(|inner| self.excepts_v4(inner));
        if is_excepted_v4 || self.excepts_v6(address) {
            return Ok(());
        }
        match BLOCKED_V6.iter().find(|range| range.network.contains(&address)) {
            Some(range) => Err(range.name),
            None if !GLOBAL_UNICAST.contains(&address) => Err("not given out as global unicast"),
            None => Ok(()),
        }
    }

    fn check_metadata(&self, address: IpAddr) -> Result<(), &'static str> {
        let exactly = IpNet::from(address);
        let is_excepted = match exactly {
            IpNet::V4(exactly) => self.allowed_v4.contains(&exactly),
            IpNet::V6(exactly) => self.allowed_v6.contains(&exactly),
        };
        if METADATA.contains(&address) && !is_excepted {
            return Err("cloud metadata");
        }
        Ok(())
    }

    fn excepts_v4(&self, address: Ipv4Addr) -> bool {
        self.allowed_v4.iter().any(|network| network.contains(&address))
    }

    fn excepts_v6(&self, address: Ipv6Addr) -> bool {
        self.allowed_v6.iter().any(|network| network.contains(&address))
    }
}

/// The IPv4 network that a network of mapped addresses stands for.
fn mapped(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(96)?;
    let network = Ipv4Net::new(network.network().to_ipv4_mapped()?, length);
    Some(network.expect("no more than 128 less 96 bits"))
}

#[cfg(test)]
mod tests;
