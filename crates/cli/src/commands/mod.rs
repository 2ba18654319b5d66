//! The commands: one folder a noun, one file a verb, each with its options and a `run`.

use anyhow::Context as _;
use gateway_core::Secret;
use url::Url;

use crate::args::{Command, GlobalArgs};
use crate::client::{self, Client, Credential, Patience};
use crate::config_dir::ConfigDir;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) mod aibridge;
pub(crate) mod audit;
pub(crate) mod completion;
pub(crate) mod internal;
pub(crate) mod login;
pub(crate) mod logout;
mod offline;
pub(crate) mod reset_password;
pub(crate) mod server;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod whoami;

/// What every command gets: the global options, the configuration directory, and where to print.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: GlobalArgs,
    pub(crate) config: ConfigDir,
    pub(crate) output: Output,
}

pub(crate) async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Login(args) => args.run(context).await,
        Command::Logout(args) => args.run(context).await,
        Command::Whoami(args) => args.run(context).await,
        Command::Tokens(args) => args.run(context).await,
        Command::Users(args) => args.run(context).await,
        Command::Aibridge(args) => Box::pin(args.run(context)).await,
        Command::Audit(args) => args.run(context).await,
        Command::ResetPassword(args) => args.run(context).await,
        Command::Server(args) => Box::pin(args.run(context)).await,
        Command::Completion(args) => args.run(context),
        Command::Internal(args) => args.run(context),
    }
}

// === impl Context ===

impl Context {
    pub(crate) fn new(global: GlobalArgs, output: Output) -> anyhow::Result<Self> {
        let config = ConfigDir::new(global.global_config.clone())?;
        Ok(Self {
            global,
            config,
            output,
        })
    }

    /// The server by flag or variable.
    pub(crate) fn given_url(&self) -> anyhow::Result<Option<Url>> {
        let given = self.global.url.as_deref().filter(|url| !url.trim().is_empty());
        Ok(given.map(client::parse_url).transpose()?)
    }

    /// The server that was logged in to.
    pub(crate) fn stored_url(&self) -> anyhow::Result<Option<Url>> {
        match self.config.url()? {
            Some(url) => client::parse_url(&url).map(Some).with_context(|| {
                format!(
                    "{} does not hold a URL; run `coder login URL` again",
                    self.config.path().join("url").display()
                )
            }),
            None => Ok(None),
        }
    }

    /// The token by flag or variable.
    pub(crate) fn given_token(&self) -> Option<Secret> {
        let token = self.global.token.as_ref()?;
        Some(Secret::new(token.expose().trim())).filter(|token| !token.is_empty())
    }

    /// A client of the server in question as the user in question.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        self.client_with(Patience::default())
    }

    pub(crate) fn client_with(&self, patience: Patience) -> anyhow::Result<Client> {
        let stored = self.stored_url()?;
        let url = self.given_url()?.or_else(|| stored.clone()).context(
            "you are not logged in; run `coder login URL` with the URL of your server, for example \
             `coder login https://coder.example.com`",
        )?;
        let credential = match self.given_token() {
            Some(token) => Credential::Given(token),
            // A session is sent to nobody but the server that it is from.
            None => match &stored {
                Some(stored) if client::same_server(stored, &url) => self
                    .config
                    .session()?
                    .map(Credential::Stored)
                    .with_context(|| format!("you are not logged in; run `coder login {url}`"))?,
                Some(stored) => anyhow::bail!(
                    "you are logged in to {stored} and not to {url}; run `coder login {url}`, or leave --url out"
                ),
                None => anyhow::bail!("you are not logged in; run `coder login {url}`"),
            },
        };
        Client::new(url, credential, &self.global.header, patience)
    }

    /// A client for what anybody may ask.
    pub(crate) fn anonymous(&self, url: Url) -> anyhow::Result<Client> {
        Client::new(url, Credential::Nobody, &self.global.header, Patience::default())
    }
}
