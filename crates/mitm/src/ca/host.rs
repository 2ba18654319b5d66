//! The one form in which certificates name hosts.

use rustls_pki_types::DnsName;
use url::Host;

/// The host as a certificate names it: a name in lower case and without a last dot, an address as it is. None for what
/// is no name of one host: wildcards, labels over 63 characters, names over 253. Names come with their A-labels, as
/// [`url`] parses them. Underscores are left: clients accept them, and internal hosts have them.
pub(crate) fn normal(host: &Host<String>) -> Option<Host<String>> {
    let Host::Domain(name) = host else {
        return Some(host.clone());
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let one_name = !name.ends_with('.') && DnsName::try_from(name.as_str()).is_ok();
    one_name.then_some(Host::Domain(name))
}
