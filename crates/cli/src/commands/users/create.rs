//! `coder users create`.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use gateway_api_types::{CreateUserRequest, SecretText, User, UserLoginType};
use gateway_core::{Roles, Secret, password};
use serde::Serialize;

use super::parse_roles;
use crate::commands::Context;
use crate::environment;
use crate::exit::{Exit, UsageError};
use crate::output::{TextFormat, visible};
use crate::prompt;

/// Make a user or a service account.
///
/// Without --password a password is made and printed; it is the only thing that goes to standard output.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// E-mail address, which the user logs in with.
    #[arg(short, long)]
    email: Option<String>,
    /// Username: letters, digits and single hyphens.
    #[arg(short, long)]
    username: Option<String>,
    /// Full name.
    #[arg(short = 'n', long, value_name = "NAME")]
    full_name: Option<String>,
    /// Password; without it one is made. Prefer the variable: others can see flags.
    #[arg(short, long, env = environment::USER_PASSWORD)]
    password: Option<Secret>,
    /// How the user logs in; none means not at all.
    #[arg(long, value_enum, conflicts_with_all = ["service_account", "disable_login"])]
    login_type: Option<LoginType>,
    /// A service account: no e-mail address, no password, only tokens that an owner makes for it.
    #[arg(long)]
    service_account: bool,
    /// Roles beyond that of a member, separated by commas: owner, user-admin, auditor.
    #[arg(long, value_parser = parse_roles)]
    roles: Option<Roles>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: TextFormat,
    /// The same as --login-type none.
    #[arg(long, hide = true)]
    disable_login: bool,
    /// Taken and ignored: there is one organisation.
    #[arg(short = 'O', long = "org", env = environment::ORGANIZATION, hide = true)]
    organization: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoginType {
    Password,
    None,
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    user: User,
    /// Only if it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<SecretText>,
}

// === impl Create ===

impl Create {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let with_password =
            !self.service_account && !self.disable_login && self.login_type != Some(LoginType::None);
        if self.service_account && self.email.is_some() {
            return Err(UsageError("a service account has no e-mail address".to_owned()).into());
        }
        let client = context.client()?;
        let username = match &self.username {
            Some(username) => username.clone(),
            None => prompt::line(&context.output, "Username").context("give --username")?,
        };
        let email = match &self.email {
            Some(email) => Some(email.clone()),
            None if self.service_account => None,
            None => Some(prompt::line(&context.output, "E-mail address").context("give --email")?),
        };
        // The variable may be set for other users, so it is no contradiction to a user without a password.
        let given = self
            .password
            .clone()
            .filter(|password| !password.is_empty() && with_password);
        let made = (with_password && given.is_none()).then(|| password::generate(&mut rand::rng()));
        let request = CreateUserRequest {
            email,
            username,
            name: self.full_name.clone(),
            password: given.or_else(|| made.clone()).map(Into::into),
            login_type: Some(if with_password {
                UserLoginType::Password
            } else {
                UserLoginType::None
            }),
            user_status: None,
            organization_ids: Vec::new(),
            is_service_account: self.service_account.then_some(true),
            roles: self
                .roles
                .as_ref()
                .map(|roles| roles.iter().map(|role| role.to_string()).collect()),
        };
        let user: User = client.post(&["users"], Some(&request)).await?;
        self.print(context, user, made)
    }

    fn print(&self, context: &Context, user: User, made: Option<Secret>) -> anyhow::Result<Exit> {
        let name = visible(&user.username);
        match (self.output, made) {
            (TextFormat::Json, made) => context.output.json(&Created {
                user,
                password: made.map(Into::into),
            })?,
            (TextFormat::Text, Some(made)) => {
                context
                    .output
                    .note(&format!("User {name} was created with this password, which is not shown again:"));
                context.output.line(made.expose())?;
            }
            (TextFormat::Text, None) if self.service_account => context.output.note(&format!(
                "Service account {name} was created; make a token for it with `coder tokens create --user {name}`."
            )),
            (TextFormat::Text, None) => context.output.note(&format!("User {name} was created.")),
        }
        Ok(Exit::Success)
    }
}
