//! The AI Gateway Proxy as this server runs it: which hosts are a provider's, whose authority signs for them, and what
//! clients are told about both.
//!
//! How it speaks to clients and where tunnels may lead is in `gateway-mitm`.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_api_types::{AiProxy, ProxyAuthority, ProxyHost};
use gateway_core::{Clock, ProviderName, SystemClock, Timestamp};
use gateway_mitm::ca::{CERTIFICATE_FILE, CertificateAuthority};
use gateway_mitm::connect::Authority;
use gateway_mitm::dial::{DialOptions, Dialer, SystemResolver};
use gateway_mitm::leaf::Leaves;
use gateway_mitm::proxy::{InterceptedHost, Proxy, ProxyOptions};
use gateway_relay::access::Access;
use gateway_relay::listen::{Ending, Endpoint};
use gateway_relay::{ProviderConfig, Relay};
use tokio_util::task::TaskTracker;
use url::{Host, Url};

use crate::config::{AuthoritySource, Environment, ServerArgs, ServerConfig};

/// Names that are looked up for tunnels at once. Each look-up holds a thread.
const LOOKUPS: usize = 64;

/// So many users at least it takes to hold all of the proxy's connections.
const USERS: usize = 4;

/// How long before its end an authority is warned of at every start.
const EXPIRES_SOON: Duration = Duration::from_hours(60 * 24);

/// What a proxy is made of.
pub struct ProxyParts {
    pub endpoint: Endpoint,
    /// As clients know it: scheme, host and port.
    pub url: Url,
    pub authority: AuthoritySource,
    pub dial: DialOptions,
    /// Hosts that are not intercepted need no token.
    pub allow_anonymous_tunnels: bool,
    /// A tunnel that is silent for so long is closed.
    pub idle_timeout: Duration,
}

/// A proxy that only has to be told whom to serve.
pub(crate) struct Prepared {
    endpoint: Endpoint,
    options: ProxyOptions,
    leaves: Leaves,
    dialer: Dialer,
    pub(crate) facts: Arc<ProxyFacts>,
}

/// A host that is intercepted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intercepted {
    authority: Authority,
    /// Whose it is.
    provider: ProviderName,
    /// Further instances on the same host and port, which the proxy cannot tell from the first.
    shadowed: Vec<ProviderName>,
}

/// What users may know of the proxy that runs.
#[derive(Clone, Debug)]
pub(crate) struct ProxyFacts {
    pub(crate) description: AiProxy,
    /// What clients must trust, in PEM form.
    pub(crate) certificate_pem: String,
}

/// An authority that was made in the place of another.
#[derive(Clone, Debug)]
pub struct Renewed {
    pub certificate: PathBuf,
    /// SHA-256, in hexadecimal with colons.
    pub fingerprint: String,
    /// The hosts that it has to sign for.
    pub hosts: Vec<String>,
}

/// The hosts of all providers, each once. Of those that share one, the first is in charge: `anthropic`, `openai`, then
/// the others in their order.
fn intercepted(providers: &[ProviderConfig]) -> anyhow::Result<Vec<Intercepted>> {
    let mut in_order: Vec<&ProviderConfig> = providers.iter().collect();
    in_order.sort_by_key(|provider| match provider.name.as_str() {
        "anthropic" => 0,
        "openai" => 1,
        _ => 2,
    });
    let mut found: Vec<Intercepted> = Vec::new();
    for provider in in_order {
        let authority = authority_of(&provider.base_url)
            .with_context(|| format!("the host of provider {} cannot be intercepted", provider.name))?;
        match found.iter_mut().find(|other| other.authority == authority) {
            Some(other) => other.shadowed.push(provider.name.clone()),
            None => found.push(Intercepted {
                authority,
                provider: provider.name.clone(),
                shadowed: Vec::new(),
            }),
        }
    }
    Ok(found)
}

/// In the form in which a CONNECT is compared with it.
fn authority_of(url: &Url) -> anyhow::Result<Authority> {
    let host = url.host().context("its base URL names no host")?;
    let port = url
        .port_or_known_default()
        .context("its base URL names no port")?;
    Ok(Authority::new(host.to_owned(), port)?)
}

/// The authority of the configuration, made if need be, that may sign for all the hosts.
fn authority(
    source: &AuthoritySource,
    hosts: &[Intercepted],
    now: Timestamp,
) -> anyhow::Result<Arc<CertificateAuthority>> {
    let names = names(hosts);
    let (authority, place) = match source {
        AuthoritySource::Loaded(authority) => {
            (Arc::clone(authority), "in --aibridge-proxy-cert-file".to_owned())
        }
        AuthoritySource::Directory(directory) => {
            let authority = CertificateAuthority::load_or_create(directory, &names, now)
                .context("the proxy has no certificate authority")?;
            let verb = if authority.is_new() { "new and in" } else { "in" };
            let place = format!("{verb} {}", directory.join(CERTIFICATE_FILE).display());
            (Arc::new(authority), place)
        }
    };
    authority.cover(&names)?;
    tracing::info!(
        fingerprint = authority.fingerprint(),
        "the certificate authority of the proxy is {place}; its clients get it with `coder aibridge proxy ca`"
    );
    for warning in authority.warnings() {
        tracing::warn!("{warning}");
    }
    if authority.not_after() < now.plus(EXPIRES_SOON) {
        tracing::warn!(
            "the certificate authority of the proxy expires within {} days; clients need time to trust the next one",
            EXPIRES_SOON.as_secs() / (24 * 3600)
        );
    }
    Ok(authority)
}

/// Each once, whatever its ports.
fn names(hosts: &[Intercepted]) -> Vec<Host<String>> {
    let mut names: Vec<Host<String>> = Vec::new();
    for Intercepted { authority, .. } in hosts {
        if !names.contains(&authority.host) {
            names.push(authority.host.clone());
        }
    }
    names
}

/// Says in the log which hosts are intercepted, and which provider instances cannot be reached that way.
fn announce(hosts: &[Intercepted]) {
    for host in hosts {
        let (authority, provider) = (&host.authority, &host.provider);
        tracing::info!(
            "the proxy intercepts {}:{} for provider {provider}",
            authority.host,
            authority.port
        );
        for shadowed in &host.shadowed {
            tracing::warn!(
                "providers {provider} and {shadowed} are both on {authority}; through the proxy {shadowed} cannot be \
                 reached, since requests to that host go to {provider}"
            );
        }
    }
}

// === impl ProxyParts ===

impl ProxyParts {
    /// Reads or makes the authority, which must be able to sign for the hosts of all providers.
    pub(crate) fn prepare(
        self,
        providers: &[ProviderConfig],
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Prepared> {
        let hosts = intercepted(providers)?;
        let authority = authority(&self.authority, &hosts, clock.now())?;
        announce(&hosts);
        let facts = ProxyFacts {
            description: self.describe(&hosts, &authority)?,
            certificate_pem: authority.certificate_pem(),
        };
        let options = ProxyOptions {
            hosts: hosts.into_iter().map(Intercepted::into_host).collect(),
            allow_anonymous_tunnels: self.allow_anonymous_tunnels,
            idle_timeout: self.idle_timeout,
            connections_per_user: self.endpoint.max_connections / USERS,
            ..ProxyOptions::default()
        };
        Ok(Prepared {
            endpoint: self.endpoint,
            options,
            leaves: Leaves::new(authority, clock)?,
            dialer: Dialer::new(self.dial, Arc::new(SystemResolver::new(LOOKUPS))),
            facts: Arc::new(facts),
        })
    }

    fn describe(&self, hosts: &[Intercepted], authority: &CertificateAuthority) -> std::io::Result<AiProxy> {
        Ok(AiProxy {
            enabled: true,
            url: Some(self.url.as_str().trim_end_matches('/').to_owned()),
            port: Some(self.endpoint.listener.local_addr()?.port()),
            tls: self.endpoint.tls.is_some(),
            ca: Some(ProxyAuthority {
                sha256_fingerprint: authority.fingerprint(),
                expires_at: authority.not_after().into(),
            }),
            hosts: hosts.iter().map(Intercepted::describe).collect(),
        })
    }
}

// === impl Prepared ===

impl Prepared {
    /// Serves until drained or aborted, with the data plane in this process behind the hosts of providers.
    pub(crate) async fn serve(
        self,
        access: Arc<Access>,
        relay: Arc<Relay>,
        ending: Ending,
        tasks: TaskTracker,
    ) {
        let service = tower::service_fn(move |request| {
            let relay = Arc::clone(&relay);
            async move { Ok::<_, Infallible>(relay.handle(request).await) }
        });
        let proxy = Proxy::new(self.options, self.leaves, self.dialer, access, service);
        gateway_mitm::proxy::serve(self.endpoint, proxy, ending, tasks).await;
    }
}

// === impl Intercepted ===

impl Intercepted {
    fn into_host(self) -> InterceptedHost {
        InterceptedHost {
            authority: self.authority,
            provider: self.provider,
        }
    }

    fn describe(&self) -> ProxyHost {
        ProxyHost {
            host: self.authority.host.to_string(),
            port: self.authority.port,
            provider: self.provider.to_string(),
            shadowed: self.shadowed.iter().map(ToString::to_string).collect(),
        }
    }
}

/// `coder aibridge proxy ca renew`: a new authority for the providers that are configured, in the directory of the
/// server that these options are for.
pub fn renew_authority(args: ServerArgs, config_dir: &Path) -> anyhow::Result<Renewed> {
    let config = ServerConfig::load(args, &Environment::read(), config_dir)?;
    let Some(proxy) = config.proxy else {
        bail!(
            "the proxy is off in this configuration; give this command the options, variables or file of the server"
        );
    };
    let AuthoritySource::Directory(directory) = proxy.authority else {
        bail!(
            "this server's certificate authority is in files of your own, --aibridge-proxy-cert-file and \
             --aibridge-proxy-key-file; replace those"
        );
    };
    let names = names(&intercepted(&config.aibridge.providers)?);
    let authority = CertificateAuthority::renew(&directory, &names, SystemClock.now())?;
    Ok(Renewed {
        certificate: directory.join(CERTIFICATE_FILE),
        fingerprint: authority.fingerprint(),
        hosts: names.iter().map(ToString::to_string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use gateway_core::ProviderKind;

    use super::*;

    fn provider(name: &str, base_url: &str) -> ProviderConfig {
        ProviderConfig {
            name: name.parse().unwrap(),
            kind: ProviderKind::OpenAi,
            base_url: base_url.parse().unwrap(),
            key: None,
            inject_usage: false,
        }
    }

    /// Host and port, provider, shadowed ones.
    fn summary(providers: &[(&str, &str)]) -> Vec<(String, String, Vec<String>)> {
        let providers: Vec<_> = providers.iter().map(|(name, url)| provider(name, url)).collect();
        intercepted(&providers)
            .unwrap()
            .iter()
            .map(|host| {
                (
                    format!("{}:{}", host.authority.host, host.authority.port),
                    host.provider.to_string(),
                    host.shadowed.iter().map(ToString::to_string).collect(),
                )
            })
            .collect()
    }

    fn one(host: &str, provider: &str, shadowed: &[&str]) -> (String, String, Vec<String>) {
        let shadowed = shadowed.iter().map(ToString::to_string).collect();
        (host.to_owned(), provider.to_owned(), shadowed)
    }

    #[test]
    fn hosts_have_the_port_of_their_url() {
        assert_eq!(
            summary(&[
                ("anthropic", "https://API.Anthropic.com/"),
                ("openai", "https://api.openai.com./v1/"),
                ("plain", "http://llm.example/v1"),
                ("local", "http://127.0.0.1:8000/v1"),
                ("six", "https://[2001:db8::1]:8443/v1"),
            ]),
            [
                one("api.anthropic.com:443", "anthropic", &[]),
                one("api.openai.com:443", "openai", &[]),
                one("llm.example:80", "plain", &[]),
                one("127.0.0.1:8000", "local", &[]),
                one("[2001:db8::1]:8443", "six", &[]),
            ]
        );
    }

    #[test]
    fn of_those_on_one_host_the_first_is_in_charge() {
        assert_eq!(
            summary(&[
                ("eu", "https://api.openai.com/v1"),
                ("us", "https://api.openai.com:443/other"),
                ("openai", "https://api.openai.com/v1"),
                ("far", "https://api.openai.com:444/v1"),
            ]),
            [
                one("api.openai.com:443", "openai", &["eu", "us"]),
                one("api.openai.com:444", "far", &[]),
            ]
        );
    }

    #[test]
    fn an_authority_that_may_not_sign_for_a_provider_has_to_be_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let source = AuthoritySource::Directory(folder.path().to_owned());
        let now = SystemClock.now();
        let hosts = |url: &str| intercepted(&[provider("one", url)]).unwrap();
        let first = authority(&source, &hosts("https://llm.corp.example/v1"), now).unwrap();
        let other = hosts("https://llm.other.example/v1");
        let error = authority(&source, &other, now).unwrap_err().to_string();
        for part in ["llm.other.example", "coder aibridge proxy ca renew"] {
            assert!(error.contains(part), "{error}");
        }
        let names = names(&other);
        CertificateAuthority::renew(folder.path(), &names, now).unwrap();
        let renewed = authority(&source, &other, now).unwrap();
        assert_ne!(renewed.fingerprint(), first.fingerprint());
    }
}
