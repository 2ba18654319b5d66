//! `coder aibridge proxy`: what a machine needs to go through the AI Gateway Proxy.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_api_types::AiProxy;

use super::Context;
use crate::client::Client;
use crate::exit::Exit;

mod ca;
mod env;
mod pem;
mod renew;
mod roots;
mod shell;

/// Go through the AI Gateway Proxy with tools that cannot set a base URL.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Proxy {
    #[command(subcommand)]
    command: ProxyCommand,
}

#[derive(Debug, Subcommand)]
enum ProxyCommand {
    Ca(Box<ca::Ca>),
    Env(env::Env),
}

// === impl Proxy ===

impl Proxy {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            ProxyCommand::Ca(args) => args.run(context).await,
            ProxyCommand::Env(args) => args.run(context).await,
        }
    }
}

/// Kept in the configuration directory of the client: what to trust of the proxy. The names differ from those under
/// which a server keeps its own authority, as both may use one directory.
const CA_FILE: &str = "proxy-ca.pem";

/// The same together with the system's roots.
const BUNDLE_FILE: &str = "proxy-bundle.pem";

/// The certificate authority of the proxy, in PEM form.
async fn authority(client: &Client) -> anyhow::Result<String> {
    let text = client
        .text(&["aibridge", "proxy", "ca-cert.pem"], "application/x-pem-file")
        .await?;
    pem::certificates(&text).with_context(|| format!("{} gave no certificate in PEM form", client.base()))
}

/// What the server says about its proxy.
async fn describe(client: &Client) -> anyhow::Result<AiProxy> {
    Ok(client.get(&["aibridge", "proxy"]).await?)
}
