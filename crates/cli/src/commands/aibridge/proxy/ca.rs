//! `coder aibridge proxy ca`: the certificate that clients of the proxy must trust.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{BUNDLE_FILE, authority, pem, renew, roots};
use crate::commands::Context;
use crate::exit::Exit;

/// Print the certificate authority of the proxy, which its clients must trust.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(
    clippy::doc_markdown,
    reason = "the doc comments are the help text, which is not Markdown"
)]
pub(crate) struct Ca {
    /// Print the system's root certificates after it, for variables such as SSL_CERT_FILE that replace them.
    #[arg(long)]
    bundle: bool,
    /// File with root certificates for --bundle; by default the one in SSL_CERT_FILE, or the system's.
    #[arg(long, value_name = "PATH", requires = "bundle")]
    roots: Option<PathBuf>,
    /// Write to a file instead of standard output.
    #[arg(long, value_name = "PATH")]
    output_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<CaCommand>,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    Renew(Box<renew::Renew>),
}

// === impl Ca ===

impl Ca {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if let Some(CaCommand::Renew(args)) = self.command {
            return args.run(context);
        }
        let mut text = authority(&context.client()?).await?;
        if self.bundle {
            let ours = context.config.path().join(BUNDLE_FILE);
            text = pem::bundle(&text, &roots::read(self.roots.as_deref(), &ours)?);
        }
        match &self.output_file {
            None => context.output.text(&text)?,
            Some(path) => {
                std::fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(Exit::Success)
    }
}
