//! `coder tokens create`.

use anyhow::bail;
use clap::Args;
use gateway_api_types::{AllowEntry, ApiKey, CreateTokenRequest, KeyReply, SecretText, TokenConfig};
use gateway_core::{ApiToken, Lifetime, Scope, Secret};
use serde::Serialize;

use crate::client::Client;
use crate::commands::Context;
use crate::complete;
use crate::environment;
use crate::exit::Exit;
use crate::find;
use crate::output::TextFormat;

/// Without `--lifetime`.
const DEFAULT_LIFETIME_DAYS: u64 = 30;

/// Make a token and print it. This is the only time that it is shown.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// How long the token lives, for example 30d, 720h, 1y or 1h30m [default: 30d, or the server's limit if that is
    /// shorter].
    #[arg(long, env = environment::TOKEN_LIFETIME)]
    lifetime: Option<Lifetime>,
    /// Name of the token; the server picks one if none is given.
    #[arg(short, long, env = environment::TOKEN_NAME)]
    name: Option<String>,
    /// User that the token is for, by name or id; service accounts too.
    #[arg(short, long, env = environment::TOKEN_USER, default_value = "me", add = complete::usernames())]
    user: String,
    /// What the token may be used for: all, or aibridge (calling models and nothing else); can be repeated.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "all",
        hide_default_value = false
    )]
    scope: Vec<Scope>,
    /// On which resources the token may act; only *:* is possible.
    #[arg(long, hide = true, value_delimiter = ',', value_parser = allow_entry)]
    allow: Vec<AllowEntry>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: TextFormat,
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    token: Option<ApiKey>,
    key: SecretText,
}

// === impl Create ===

impl Create {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        find::user(&self.user)?;
        let client = context.client()?;
        let lifetime = self.lifetime(context, &client).await?;
        let request = CreateTokenRequest {
            lifetime: Some(lifetime.as_nanos()),
            token_name: self.name.clone().filter(|name| !name.is_empty()),
            scopes: Some(self.scope.iter().map(ToString::to_string).collect()),
            scope: None,
            allow_list: (!self.allow.is_empty()).then(|| self.allow.clone()),
        };
        let reply: KeyReply = client
            .post(&["users", &self.user, "keys", "tokens"], Some(&request))
            .await?;
        match self.output {
            TextFormat::Text => context.output.line(reply.key.expose())?,
            TextFormat::Json => {
                let token = self.describe(context, &client, reply.key.as_secret()).await;
                context.output.json(&Created {
                    token,
                    key: reply.key,
                })?;
            }
        }
        Ok(Exit::Success)
    }

    /// As asked for, if the server allows it; unasked for, no longer than the server allows.
    async fn lifetime(&self, context: &Context, client: &Client) -> anyhow::Result<Lifetime> {
        let config: TokenConfig = client
            .get(&["users", &self.user, "keys", "tokens", "tokenconfig"])
            .await?;
        let limit = Lifetime::from_nanos(config.max_token_lifetime);
        let default = Lifetime::from_days(DEFAULT_LIFETIME_DAYS).expect("30 days is a lifetime");
        match (self.lifetime, limit) {
            (Some(wanted), Some(limit)) if wanted > limit => {
                bail!(
                    "a lifetime of {wanted} is longer than the server allows for this user, which is {limit}"
                )
            }
            (Some(wanted), _) => Ok(wanted),
            (None, Some(limit)) if default > limit => {
                context.output.note(&format!(
                    "The server allows no more than {limit}; that is the lifetime of this token."
                ));
                Ok(limit)
            }
            (None, _) => Ok(default),
        }
    }

    /// The token is made; that it cannot be described must not lose it.
    async fn describe(&self, context: &Context, client: &Client, key: &Secret) -> Option<ApiKey> {
        let described = match ApiToken::parse(key.expose()) {
            Ok(token) => client
                .get(&["users", &self.user, "keys", token.id().as_str()])
                .await
                .map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        described
            .inspect_err(|error| {
                context
                    .output
                    .note(&format!("The token was made, but cannot be described: {error}"));
            })
            .ok()
    }
}

fn allow_entry(text: &str) -> Result<AllowEntry, String> {
    text.split_once(':')
        .map(|(kind, id)| AllowEntry {
            kind: kind.to_owned(),
            id: id.to_owned(),
        })
        .ok_or_else(|| "must be of the form type:id".to_owned())
}
