//! `coder server`: from flags and variables to a server that runs until it is told to stop.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use gateway_mitm::dial::DialOptions;
use gateway_relay::RelayOptions;
use gateway_relay::listen::Endpoint;
use tokio::net::{TcpListener, TcpSocket};
use url::Url;

use crate::assemble::{AccountOptions, JobOptions, Parts, serve};
use crate::config::{Environment, ProxyConfig, ServerArgs, ServerConfig};
use crate::lifecycle::run_until_signal;
use crate::proxy::ProxyParts;
use crate::service::Lifetimes;
use crate::telemetry;

/// Connections at once, over which new ones wait.
const MAX_CONNECTIONS: usize = 16 * 1024;

/// Connections that the system may hold until they are accepted; it has a limit of its own. Over it a connection is lost
/// without a word, and a client that waits to be spoken to learns of it after a minute.
const BACKLOG: u32 = 4096;

/// Reads the configuration, opens the log, binds, and serves. `config_dir` is where the embedded database is, and
/// the certificate authority that the proxy makes for itself.
pub async fn run(args: ServerArgs, config_dir: &Path) -> anyhow::Result<()> {
    let mut config = ServerConfig::load(args, &Environment::read(), config_dir)?;
    telemetry::init(&config.log).context("the log could not be opened")?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let mut endpoints = Vec::new();
    let http = match config.listen.http {
        Some(address) => Some(bind_into(&mut endpoints, address, None)?),
        None => None,
    };
    let tls = match &config.listen.tls {
        Some(tls) => Some(bind_into(
            &mut endpoints,
            tls.address,
            Some(Arc::clone(&tls.config)),
        )?),
        None => None,
    };
    let access_url = config.listen.access_url(http, tls);
    let proxy = match config.proxy.take() {
        Some(proxy) => Some(bind_proxy(proxy, &access_url)?),
        None => None,
    };
    for (scheme, address) in [("http", http), ("https", tls)] {
        if let Some(address) = address {
            tracing::info!("listening on {scheme}://{address}");
        }
    }
    let record_log = config
        .aibridge
        .structured_logging
        .then(|| telemetry::lines(&config.log))
        .transpose()
        .context("the log of records could not be opened")?;
    let parts = Parts {
        proxy,
        record_log,
        ..parts(config, access_url.as_str())
    };
    run_until_signal(|shutdown| serve(parts, endpoints, shutdown)).await
}

fn bind_into(
    endpoints: &mut Vec<Endpoint>,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> anyhow::Result<SocketAddr> {
    let endpoint = bind(address, tls)?;
    let bound = endpoint.listener.local_addr()?;
    endpoints.push(endpoint);
    Ok(bound)
}

fn bind(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> anyhow::Result<Endpoint> {
    let listener = listen(address)
        .with_context(|| format!("cannot listen on {address}; is another server running there?"))?;
    Ok(Endpoint {
        listener,
        tls,
        max_connections: MAX_CONNECTIONS,
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait for what is left of old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_proxy(config: ProxyConfig, access_url: &Url) -> anyhow::Result<ProxyParts> {
    let endpoint = match bind(config.address, config.tls.clone()) {
        // Every address of a machine that knows no IPv6.
        Err(_) if config.address.ip() == Ipv6Addr::UNSPECIFIED && !has_ipv6() => bind(
            (Ipv4Addr::UNSPECIFIED, config.address.port()).into(),
            config.tls.clone(),
        )?,
        bound => bound?,
    };
    let bound = endpoint.listener.local_addr()?;
    let url = config.access_url(access_url, bound);
    tracing::info!(
        "the AI Gateway Proxy listens on {bound}; its clients reach it at {}",
        url.as_str().trim_end_matches('/')
    );
    Ok(ProxyParts {
        endpoint,
        url,
        authority: config.authority,
        dial: DialOptions {
            allowed_ports: config.allowed_ports,
            allowed_networks: config.allowed_networks,
            upstream: config.upstream,
            ..DialOptions::default()
        },
        allow_anonymous_tunnels: config.allow_anonymous_tunnels,
        idle_timeout: config.idle_timeout,
    })
}

fn has_ipv6() -> bool {
    listen((Ipv6Addr::UNSPECIFIED, 0).into()).is_ok()
}

fn parts(config: ServerConfig, access_url: &str) -> Parts {
    let accounts = config.accounts;
    Parts {
        store: config.database.store_options(),
        accounts: AccountOptions {
            lifetimes: Lifetimes {
                session: accounts.session_duration,
                default_token: accounts.default_token_lifetime,
                max_token: accounts.max_token_lifetime,
                max_admin_token: accounts.max_admin_token_lifetime,
            },
            first_user_code: accounts.first_user_code,
        },
        jobs: JobOptions {
            sessions_slide: accounts.refresh_sessions,
            token_retention: accounts.expired_token_retention,
            audit_retention: config.audit.retention,
            record_retention: config.aibridge.retention,
        },
        options: config.options,
        access_url: access_url.to_owned(),
        trusted_proxies: config.listen.trusted_proxies,
        relay: RelayOptions {
            providers: config.aibridge.providers,
            enabled: config.aibridge.enabled,
            allow_byok: config.aibridge.allow_byok,
            token_in_body: config.aibridge.token_in_body,
            side_calls: config.aibridge.side_calls,
            recording: config.aibridge.recording,
            proxies: config.aibridge.proxies,
            ..RelayOptions::default()
        },
        record_log: None,
        proxy: None,
        shutdown_timeout: config.listen.shutdown_timeout,
    }
}
