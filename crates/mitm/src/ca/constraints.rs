//! For which hosts an authority may sign: the name constraints of RFC 5280 section 4.2.1.10.
//!
//! A form of name without any permitted subtree is unrestricted. So an authority that is made here also excludes the
//! form that it has no host of: all addresses (`0.0.0.0/0` and `::/0`), or all names (the empty name), as section
//! 7.1.2.5 of the CA/Browser Forum's Baseline Requirements asks of constrained authorities. One permitted address is
//! enough to refuse the others of both families.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;
use x509_parser::extensions::{GeneralName, GeneralSubtree};

use super::der::{self, SEQUENCE};
use super::host;

/// Object identifier of the extension: 2.5.29.30.
const OID: [u64; 4] = [2, 5, 29, 30];

// Tags of DER in the context of `NameConstraints` and `GeneralName` of RFC 5280.
const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// The constraints of one certificate, as far as hosts are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NameConstraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree {
    /// In lower case. `example.com` is that name and all under it, `.example.com` those under it, the empty name all.
    Names(String),
    Addresses(IpNet),
}

/// Why the constraints of a certificate cannot be honoured.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There are constraints on directory names, which some clients hold every subject against and others refuse.
    DirectoryNames,
    /// An address without a network's mask.
    Malformed,
}

// === impl NameConstraints ===

impl NameConstraints {
    /// Permits what `hosts` need: the registrable domain of a name, or the name itself where it has none; addresses as
    /// they are. Names that no certificate can hold are given back as the error.
    pub(super) fn covering(hosts: &[Host<String>]) -> Result<Self, Host<String>> {
        let mut permitted = Vec::new();
        for given in hosts {
            let subtree = match host::normal(given).ok_or_else(|| given.clone())? {
                Host::Domain(name) => Subtree::Names(registrable(&name).to_owned()),
                Host::Ipv4(address) => Subtree::Addresses(IpAddr::from(address).into()),
                Host::Ipv6(address) => Subtree::Addresses(IpAddr::from(address).into()),
            };
            if !permitted.contains(&subtree) {
                permitted.push(subtree);
            }
        }
        let mut excluded = Vec::new();
        if !permitted
            .iter()
            .any(|subtree| matches!(subtree, Subtree::Names(_)))
        {
            excluded.push(Subtree::Names(String::new()));
        }
        if !permitted
            .iter()
            .any(|subtree| matches!(subtree, Subtree::Addresses(_)))
        {
            excluded.extend([
                Subtree::Addresses(IpNet::V4(ipnet::Ipv4Net::default())),
                Subtree::Addresses(IpNet::V6(ipnet::Ipv6Net::default())),
            ]);
        }
        Ok(Self { permitted, excluded })
    }

    /// Reads the extension of a certificate. Forms of names that no host has are left out.
    pub(super) fn read(given: &x509_parser::extensions::NameConstraints<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            permitted: subtrees(given.permitted_subtrees.as_deref())?,
            excluded: subtrees(given.excluded_subtrees.as_deref())?,
        })
    }

    /// Whether a certificate for this host conforms. The host is in the form of [`host::normal`].
    pub(super) fn permit(&self, host: &Host<String>) -> bool {
        let mut same_form = self
            .permitted
            .iter()
            .filter(|subtree| subtree.is_form_of(host))
            .peekable();
        let permitted = same_form.peek().is_none() || same_form.any(|subtree| subtree.contains(host));
        permitted && !self.excluded.iter().any(|subtree| subtree.contains(host))
    }

    /// The extension, not critical: a client that does not know it is better served by a certificate that it accepts.
    pub(super) fn extension(&self) -> rcgen::CustomExtension {
        let both = [(PERMITTED, &self.permitted), (EXCLUDED, &self.excluded)];
        let content: Vec<u8> = both
            .into_iter()
            .filter(|(_, subtrees)| !subtrees.is_empty())
            .flat_map(|(tag, subtrees)| {
                der::value(
                    tag,
                    &subtrees.iter().flat_map(Subtree::encoded).collect::<Vec<_>>(),
                )
            })
            .collect();
        rcgen::CustomExtension::from_oid_content(&OID, der::value(SEQUENCE, &content))
    }
}

/// The registrable domain of a name: one label more than the public suffix that it ends in. The name itself where it is
/// such a suffix or a single label.
fn registrable(name: &str) -> &str {
    psl::domain_str(name).unwrap_or(name)
}

fn subtrees(given: Option<&[GeneralSubtree<'_>]>) -> Result<Vec<Subtree>, Unusable> {
    let given = given.unwrap_or_default().iter();
    given
        .filter_map(|subtree| Subtree::read(&subtree.base).transpose())
        .collect()
}

// === impl Subtree ===

impl Subtree {
    fn read(base: &GeneralName<'_>) -> Result<Option<Self>, Unusable> {
        match base {
            GeneralName::DNSName(name) => Ok(Some(Self::Names(name.to_ascii_lowercase()))),
            GeneralName::IPAddress(bytes) => network(bytes).map(|network| Some(Self::Addresses(network))),
            GeneralName::DirectoryName(_) => Err(Unusable::DirectoryNames),
            _ => Ok(None),
        }
    }

    fn is_form_of(&self, host: &Host<String>) -> bool {
        matches!(self, Self::Names(_)) == matches!(host, Host::Domain(_))
    }

    fn contains(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Names(base), Host::Domain(name)) => match name.strip_suffix(base.as_str()) {
                Some(rest) => {
                    base.is_empty()
                        || base.starts_with('.') && !rest.is_empty()
                        || rest.is_empty()
                        || rest.ends_with('.')
                }
                None => false,
            },
            (Self::Addresses(network), Host::Ipv4(address)) => network.contains(&IpAddr::from(*address)),
            (Self::Addresses(network), Host::Ipv6(address)) => network.contains(&IpAddr::from(*address)),
            _ => false,
        }
    }

    /// `GeneralSubtree`; its minimum is left out, being 0.
    fn encoded(&self) -> Vec<u8> {
        let name = match self {
            Self::Names(name) => der::value(DNS_NAME, name.as_bytes()),
            Self::Addresses(IpNet::V4(network)) => der::value(
                IP_ADDRESS,
                &[network.addr().octets(), network.netmask().octets()].concat(),
            ),
            Self::Addresses(IpNet::V6(network)) => der::value(
                IP_ADDRESS,
                &[network.addr().octets(), network.netmask().octets()].concat(),
            ),
        };
        der::value(SEQUENCE, &name)
    }
}

/// An address and its mask.
fn network(bytes: &[u8]) -> Result<IpNet, Unusable> {
    let half = |bytes: &[u8]| -> Option<IpAddr> {
        <[u8; 4]>::try_from(bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
            .ok()
    };
    let (address, mask) = bytes.split_at(bytes.len() / 2);
    let (Some(address), Some(mask)) = (half(address), half(mask)) else {
        return Err(Unusable::Malformed);
    };
    IpNet::with_netmask(address, mask).map_err(|_| Unusable::Malformed)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer as _;

    use super::*;
    use crate::ca::testing::{host, hosts};

    /// Written and read again.
    fn covering(texts: &[&str]) -> NameConstraints {
        let made = NameConstraints::covering(&hosts(texts)).unwrap();
        let extension = made.extension();
        assert!(!extension.criticality());
        let content = extension.content();
        let (rest, read) = x509_parser::extensions::NameConstraints::from_der(content).unwrap();
        assert!(rest.is_empty());
        assert_eq!(NameConstraints::read(&read).unwrap(), made);
        made
    }

    fn names(constraints: &NameConstraints) -> Vec<&str> {
        let names = constraints.permitted.iter().filter_map(|subtree| match subtree {
            Subtree::Names(name) => Some(name.as_str()),
            Subtree::Addresses(_) => None,
        });
        names.collect()
    }

    #[test]
    fn a_name_becomes_its_registrable_domain() {
        let cases = [
            ("api.openai.com", "openai.com"),
            ("openai.com", "openai.com"),
            ("foo.bar.co.uk", "bar.co.uk"),
            ("API.OpenAI.com.", "openai.com"),
            ("me.github.io", "me.github.io"),
            ("x.me.github.io", "me.github.io"),
            ("github.io", "github.io"),
            ("co.uk", "co.uk"),
            ("localhost", "localhost"),
            ("llm", "llm"),
            ("a.b.internal", "b.internal"),
            ("bücher.example", "xn--bcher-kva.example"),
        ];
        for (given, expected) in cases {
            assert_eq!(names(&covering(&[given])), [expected], "{given}");
        }
    }

    #[test]
    fn each_domain_is_there_once() {
        let constraints = covering(&[
            "api.openai.com",
            "chat.openai.com",
            "api.anthropic.com",
            "10.0.0.7",
            "10.0.0.7",
        ]);
        assert_eq!(names(&constraints), ["openai.com", "anthropic.com"]);
        assert_eq!(constraints.permitted.len(), 3);
    }

    #[test]
    fn the_form_without_hosts_is_excluded() {
        assert_eq!(
            covering(&["a.example"]).excluded.len(),
            2,
            "both families of addresses"
        );
        assert_eq!(covering(&["10.0.0.7"]).excluded, [Subtree::Names(String::new())]);
        assert!(covering(&["10.0.0.7", "a.example"]).excluded.is_empty());
        assert!(covering(&["[2001:db8::7]", "a.example"]).excluded.is_empty());
        let none = covering(&[]);
        assert!(!none.permit(&host("a.example")) && !none.permit(&host("10.0.0.7")));
    }

    #[test]
    fn subtrees_contain_what_rfc_5280_says() {
        let names = |base: &str, name: &str| Subtree::Names(base.to_owned()).contains(&host(name));
        assert!(names("example.com", "example.com") && names("example.com", "a.b.example.com"));
        assert!(!names("example.com", "badexample.com") && !names("example.com", "com"));
        assert!(names(".example.com", "a.example.com") && !names(".example.com", "example.com"));
        assert!(names("", "anything.example") && !names("", "10.0.0.7"));
        let network = |network: &str, address: &str| {
            Subtree::Addresses(network.parse().unwrap()).contains(&host(address))
        };
        assert!(network("10.0.0.0/8", "10.1.2.3") && !network("10.0.0.0/8", "11.0.0.1"));
        assert!(
            !network("0.0.0.0/0", "[::1]") && !network("::/0", "10.0.0.7") && !network("::/0", "localhost")
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let read = |bytes: &[u8]| Subtree::read(&GeneralName::IPAddress(bytes));
        assert_eq!(read(&[10, 0, 0, 0, 255, 0, 255, 0]), Err(Unusable::Malformed));
        assert_eq!(read(&[10, 0, 0, 0]), Err(Unusable::Malformed));
        assert_eq!(read(&[]), Err(Unusable::Malformed));
        assert!(read(&[10, 0, 0, 0, 255, 0, 0, 0]).unwrap().is_some());
        assert_eq!(Subtree::read(&GeneralName::RFC822Name("example.com")), Ok(None));
    }
}
