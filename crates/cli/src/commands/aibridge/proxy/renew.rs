//! `coder aibridge proxy ca renew`: a new authority in the place of the one that the server made itself.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use gateway_server::config::ServerArgs;

use crate::commands::Context;
use crate::exit::Exit;

/// Make a new certificate authority for the proxy, on the machine of the server.
///
/// Takes the options, variables and configuration file of `coder server`, by which it finds the configuration directory
/// and the hosts that the new authority is for. A server that runs keeps the old one until it is started again.
#[derive(Debug, Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    options: Options,
}

/// Those of the server, which explains them itself.
#[derive(Debug)]
struct Options(ServerArgs);

// === impl Renew ===

impl Renew {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let renewed = gateway_server::renew_authority(self.options.0, context.config.path())?;
        context.output.text(&format!(
            "A new certificate authority is in {}.\n\
             SHA-256 fingerprint: {}\n\
             For: {}\n\
             Next: start the server again, then let every client trust the new certificate, which\n\
             `coder aibridge proxy ca` prints. Until then their requests through the proxy fail.\n",
            renewed.certificate.display(),
            renewed.fingerprint,
            renewed.hosts.join(", "),
        ))?;
        Ok(Exit::Success)
    }
}

// === impl Options ===

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        ServerArgs::augment_args(command).mut_args(|arg| arg.hide(true))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        ServerArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
