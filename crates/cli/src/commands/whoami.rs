//! `coder whoami`: as whom, and where.

use clap::Args;
use gateway_api_types::User;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::output::{TextFormat, visible};

/// Show who is logged in, and where.
#[derive(Debug, Args)]
pub(crate) struct Whoami {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: TextFormat,
}

#[derive(Serialize)]
struct Report {
    url: String,
    #[serde(flatten)]
    user: User,
}

// === impl Whoami ===

impl Whoami {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let client = context.client()?;
        let user: User = client.get(&["users", "me"]).await?;
        let url = client.base().to_string();
        match self.output {
            TextFormat::Json => context.output.json(&Report { url, user })?,
            TextFormat::Text => {
                let roles: Vec<&str> = user.roles.iter().map(|role| role.name.as_str()).collect();
                let roles = if roles.is_empty() {
                    "member".to_owned()
                } else {
                    roles.join(", ")
                };
                context.output.line(&format!(
                    "Logged in to {url} as {} ({})",
                    visible(&user.username),
                    visible(&roles)
                ))?;
            }
        }
        Ok(Exit::Success)
    }
}
