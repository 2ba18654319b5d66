//! `coder aibridge proxy env`: the variables by which programs go through the proxy and trust it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use gateway_core::{ApiToken, Secret};
use url::{Host, Url};

use super::shell::Shell;
use super::{BUNDLE_FILE, CA_FILE, authority, describe, pem, roots};
use crate::client;
use crate::commands::Context;
use crate::environment;
use crate::exit::Exit;

/// Set a shell up for the proxy: eval "$(coder aibridge proxy env)"
///
/// Prints lines that set HTTPS_PROXY, NO_PROXY and the variables by which programs find certificates to trust. They
/// hold the session token, or the one given with --token. The certificates are written into the configuration
/// directory.
#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the doc comment is the help text, which is not Markdown"
)]
pub(crate) struct Env {
    /// For which shell; by default the one in the variable SHELL.
    #[arg(long, value_enum)]
    shell: Option<Shell>,
    /// File with the root certificates that programs trust beside the proxy's; by default the one in SSL_CERT_FILE, or
    /// the system's.
    #[arg(long, value_name = "PATH")]
    roots: Option<PathBuf>,
}

// === impl Env ===

impl Env {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let client = context.client()?;
        let proxy = describe(&client).await?;
        let Some(url) = proxy.url.filter(|_| proxy.enabled) else {
            bail!("the AI Gateway Proxy of {} is off", client.base());
        };
        let url = parse_proxy_url(&url)
            .with_context(|| format!("{} gave no usable address of its proxy", client.base()))?;
        let token = client
            .token()
            .context("you are not logged in; run `coder login URL`")?;
        ApiToken::parse(token.expose())?;
        if url.scheme() == "http" && !client::is_loopback(&url) {
            context.output.note(
                "Note: this proxy is reached without TLS, so that whoever is on the way there can read the token.",
            );
        }
        let certificate = authority(&client).await?;
        let bundle_path = context.config.path().join(BUNDLE_FILE);
        let bundle = pem::bundle(&certificate, &roots::read(self.roots.as_deref(), &bundle_path)?);
        let ca_path = absolute(&context.config.write_for_others(CA_FILE, &certificate)?)?;
        let bundle_path = absolute(&context.config.write_for_others(BUNDLE_FILE, &bundle)?)?;
        let shell = self.shell.unwrap_or_else(Shell::of_the_user);
        let mut lines = String::new();
        for (name, value) in variables(&url, token, client.base(), &ca_path, &bundle_path) {
            lines.push_str(&shell.export(name, value.expose()));
            lines.push('\n');
        }
        context.output.text(&lines)?;
        Ok(Exit::Success)
    }
}

/// Every variable that some program looks at, with its value.
fn variables(
    proxy: &Url,
    token: &Secret,
    server: &Url,
    ca: &str,
    bundle: &str,
) -> Vec<(&'static str, Secret)> {
    let https_proxy = proxy_with_token(proxy, token);
    let no_proxy = Secret::new(no_proxy(server));
    let mut variables = vec![
        (environment::HTTPS_PROXY[0], https_proxy.clone()),
        (environment::NO_PROXY[0], no_proxy.clone()),
        // Node adds these to its own.
        ("NODE_EXTRA_CA_CERTS", Secret::new(ca)),
        // These replace what is there.
        (environment::SSL_CERT_FILE, Secret::new(bundle)),
        ("REQUESTS_CA_BUNDLE", Secret::new(bundle)),
        ("CURL_CA_BUNDLE", Secret::new(bundle)),
    ];
    // Where the other spelling is set already, many programs would take that one.
    for (name, value) in [
        (environment::HTTPS_PROXY[1], https_proxy),
        (environment::NO_PROXY[1], no_proxy),
    ] {
        if environment::read(name).is_some() {
            variables.push((name, value));
        }
    }
    variables
}

fn parse_proxy_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let is_usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_usable.then_some(url)
}

/// Always with the port, since programs differ on which is meant without.
fn proxy_with_token(proxy: &Url, token: &Secret) -> Secret {
    let host = proxy.host_str().unwrap_or_default();
    let port = proxy.port_or_known_default().unwrap_or_default();
    Secret::new(format!(
        "{}://coder:{}@{host}:{port}",
        proxy.scheme(),
        token.expose()
    ))
}

/// What is reached without the proxy: this machine, the gateway itself, and what was exempt before.
fn no_proxy(server: &Url) -> String {
    let server = match server.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    let before = environment::NO_PROXY.into_iter().find_map(environment::read);
    let before = before.unwrap_or_default();
    let mut entries: Vec<&str> = Vec::new();
    for entry in ["localhost", "127.0.0.1", "::1", &server]
        .into_iter()
        .chain(before.split(',').map(str::trim))
    {
        if !entry.is_empty() && !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.join(",")
}

/// For programs that run elsewhere.
fn absolute(path: &Path) -> anyhow::Result<String> {
    std::path::absolute(path)
        .context("cannot find the current directory")?
        .into_os_string()
        .into_string()
        .ok()
        .context("the path of the configuration directory is not text; choose another with --global-config")
}
