//! `coder login token`: the stored session, for programs that want a token in a variable.

use anyhow::bail;
use clap::Args;

use crate::client;
use crate::commands::Context;
use crate::exit::Exit;

/// Print the stored session token and nothing else.
///
/// For example: export ANTHROPIC_API_KEY=$(coder login token)
#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the doc comment is the help text, which is not Markdown"
)]
pub(crate) struct Token {}

// === impl Token ===

impl Token {
    pub(crate) fn run(context: &Context) -> anyhow::Result<Exit> {
        let stored = context.stored_url()?;
        if let (Some(given), Some(stored)) = (context.given_url()?, &stored)
            && !client::same_server(&given, stored)
        {
            bail!("the stored session is for {stored} and not for {given}; run `coder login {given}`");
        }
        match context.config.session()? {
            Some(session) => context.output.line(session.expose())?,
            None => bail!("you are not logged in; run `coder login URL`"),
        }
        Ok(Exit::Success)
    }
}
