//! `coder login`: sets up the first user of a new deployment, or signs in, and keeps the session.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use gateway_api_types::{KeyReply, LoginReply, LoginRequest, MessageReply, User};
use gateway_core::{ApiToken, Secret};
use url::Url;

use super::Context;
use crate::client::{self, Client, Credential};
use crate::environment;
use crate::exit::{Exit, UsageError};
use crate::output::visible;
use crate::prompt;

mod browser;
mod first_user;
mod token;

/// Log in to a server, or set up its first user.
///
/// A new server has no users: the first to log in becomes its owner. Otherwise a browser opens, in which the login is
/// confirmed. With --email, the password is asked for in the terminal; scripts give the variable
/// CODER_LOGIN_PASSWORD with it, or --token (CODER_SESSION_TOKEN).
#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the doc comment is the help text, which is not Markdown"
)]
pub(crate) struct Login {
    #[command(subcommand)]
    command: Option<LoginCommand>,
    /// Address of the server; by default --url, or the one that was logged in to before.
    url: Option<String>,
    /// E-mail address to sign in with, and a password in place of a browser.
    #[arg(long)]
    email: Option<String>,
    /// Sign in through a browser, where standard input is no terminal too.
    #[arg(long, conflicts_with = "email")]
    web: bool,
    /// Print the address instead of starting a browser.
    #[arg(long, env = environment::NO_OPEN, value_parser = clap::builder::FalseyValueParser::new())]
    no_open: bool,
    /// Keep the given token itself instead of a new session made with it; `coder logout` then removes that token.
    #[arg(long)]
    use_token_as_session: bool,
    #[command(flatten)]
    first_user: first_user::FirstUser,
}

#[derive(Debug, Subcommand)]
enum LoginCommand {
    Token(token::Token),
}

// === impl Login ===

impl Login {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if let Some(LoginCommand::Token(_)) = &self.command {
            return token::Token::run(context);
        }
        let client = context.anonymous(self.server(context)?)?;
        // The one call that tells whether there is a user also tells whether this is a server of ours.
        let session = if client.find::<MessageReply>(&["users", "first"]).await?.is_some() {
            self.sign_in(context, &client).await?
        } else {
            self.first_user.set_up(context, &client).await?
        };
        self.keep(context, &client, session).await?;
        Ok(Exit::Success)
    }

    fn server(&self, context: &Context) -> anyhow::Result<Url> {
        if let Some(url) = &self.url {
            return Ok(client::parse_url(url)?);
        }
        let known = match context.given_url()? {
            Some(url) => Some(url),
            None => context.stored_url()?,
        };
        let url = known.ok_or_else(|| {
            UsageError("name the server, for example `coder login https://coder.example.com`".to_owned())
        })?;
        context.output.note(&format!("Logging in to {url}"));
        Ok(url)
    }

    async fn sign_in(&self, context: &Context, client: &Client) -> anyhow::Result<Secret> {
        if self.first_user.is_given() {
            context
                .output
                .note("This server has been set up already; the options for its first user are not used.");
        }
        match context.given_token() {
            // An address on the command line says clearer what is wanted than a variable in the environment.
            Some(token) if self.email.is_none() && !self.web => self.with_token(client, token).await,
            _ if self.is_for_browser() => browser::sign_in(context, client, !self.no_open).await,
            _ => self.with_password(context, client).await,
        }
    }

    /// A password that is there, or answers on standard input, need no browser.
    fn is_for_browser(&self) -> bool {
        let has_password = environment::read(environment::LOGIN_PASSWORD).is_some();
        self.web || (prompt::is_interactive() && self.email.is_none() && !has_password)
    }

    async fn with_password(&self, context: &Context, client: &Client) -> anyhow::Result<Secret> {
        let email = match &self.email {
            Some(email) => email.clone(),
            None => prompt::line(&context.output, "E-mail address")
                .context("no e-mail address; give --email and CODER_LOGIN_PASSWORD, or --token")?,
        };
        let password = match environment::read(environment::LOGIN_PASSWORD) {
            Some(password) => Secret::from(password),
            None => prompt::hidden(&context.output, "Password")
                .context("no password; set CODER_LOGIN_PASSWORD")?,
        };
        sign_in(client, email, password).await
    }

    /// A session of its own, so that logging out does not take away the token that was given.
    async fn with_token(&self, client: &Client, token: Secret) -> anyhow::Result<Secret> {
        if let Err(error) = ApiToken::parse(token.expose()) {
            bail!("the token given is {error}");
        }
        if self.use_token_as_session {
            return Ok(token);
        }
        let client = client.with_credential(Credential::Given(token));
        let reply: KeyReply = client.post(&["users", "me", "keys"], None::<&()>).await?;
        Ok(reply.key.into_secret())
    }

    /// Stores the session once the server has confirmed it.
    async fn keep(&self, context: &Context, client: &Client, session: Secret) -> anyhow::Result<()> {
        let client = client.with_credential(Credential::Given(session.clone()));
        let user: User = client.get(&["users", "me"]).await?;
        context.config.save(client.base(), &session)?;
        context.output.line(&format!(
            "Logged in to {} as {}.",
            client.base(),
            visible(&user.username)
        ))
    }
}

async fn sign_in(client: &Client, email: String, password: Secret) -> anyhow::Result<Secret> {
    let request = LoginRequest {
        email,
        password: password.into(),
    };
    let reply: LoginReply = client.post(&["users", "login"], Some(&request)).await?;
    Ok(reply.session_token.into_secret())
}
