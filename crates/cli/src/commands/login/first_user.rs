//! The first user of a new deployment.

use anyhow::{Context as _, bail};
use clap::Args;
use gateway_api_types::{FirstUserReply, FirstUserRequest};
use gateway_core::{Secret, password, user};

use super::sign_in;
use crate::client::Client;
use crate::commands::Context;
use crate::environment;
use crate::prompt;

/// Who the first user is to be. What is not given is asked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Setting up the first user")]
pub(super) struct FirstUser {
    /// E-mail address of the first user.
    #[arg(id = "first_user_email", long = "first-user-email", env = environment::FIRST_USER_EMAIL, value_name = "EMAIL")]
    email: Option<String>,
    /// Username of the first user.
    #[arg(id = "first_user_username", long = "first-user-username", env = environment::FIRST_USER_USERNAME, value_name = "USERNAME")]
    username: Option<String>,
    /// Full name of the first user.
    #[arg(id = "first_user_full_name", long = "first-user-full-name", env = environment::FIRST_USER_FULL_NAME, value_name = "NAME")]
    full_name: Option<String>,
    /// Password of the first user. Prefer the variable: others can see flags.
    #[arg(id = "first_user_password", long = "first-user-password", env = environment::FIRST_USER_PASSWORD, value_name = "PASSWORD")]
    password: Option<Secret>,
    /// Code that the server printed when it started; needed from another machine.
    #[arg(id = "first_user_code", long = "first-user-code", env = environment::FIRST_USER_CODE, value_name = "CODE")]
    code: Option<Secret>,
    /// Taken and ignored: there is no trial.
    #[arg(
        id = "first_user_trial", long = "first-user-trial", env = environment::FIRST_USER_TRIAL,
        hide = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    trial: Option<bool>,
}

// === impl FirstUser ===

impl FirstUser {
    /// Whether any of it was given.
    pub(super) fn is_given(&self) -> bool {
        self.email.is_some()
            || self.username.is_some()
            || self.full_name.is_some()
            || self.password.is_some()
            || self.code.is_some()
    }

    /// Makes the first user and signs in as that user.
    pub(super) async fn set_up(&self, context: &Context, client: &Client) -> anyhow::Result<Secret> {
        if self.username.is_none() && !prompt::is_interactive() {
            bail!(
                "{} has no users yet; make the first one with --first-user-username, --first-user-email and \
                 CODER_FIRST_USER_PASSWORD",
                client.base()
            );
        }
        context.output.note(&format!(
            "{} has no users yet; the first one becomes its owner.",
            client.base()
        ));
        let username = self.username(context)?;
        let email = self.email(context)?;
        let password = self.password(context, &username, &email)?;
        let request = FirstUserRequest {
            email: email.clone(),
            username,
            name: self.full_name.clone(),
            password: password.clone().into(),
            trial: None,
            trial_info: None,
            setup_code: self.code.clone().map(Into::into),
        };
        let _: FirstUserReply = client.post(&["users", "first"], Some(&request)).await?;
        sign_in(client, email, password).await
    }

    fn username(&self, context: &Context) -> anyhow::Result<String> {
        if let Some(username) = &self.username {
            return Ok(username.clone());
        }
        loop {
            let username = prompt::line(&context.output, "Username")?;
            match user::check_username(&username) {
                Ok(()) => return Ok(username),
                Err(error) => context.output.note(&error.to_string()),
            }
        }
    }

    fn email(&self, context: &Context) -> anyhow::Result<String> {
        if let Some(email) = &self.email {
            return Ok(email.clone());
        }
        if !prompt::is_interactive() {
            return prompt::line(&context.output, "E-mail address").context("give --first-user-email");
        }
        loop {
            let email = prompt::line(&context.output, "E-mail address")?;
            match user::check_email(&email) {
                Ok(()) => return Ok(email),
                Err(error) => context.output.note(&error.to_string()),
            }
        }
    }

    fn password(&self, context: &Context, username: &str, email: &str) -> anyhow::Result<Secret> {
        if let Some(password) = &self.password {
            return Ok(password.clone());
        }
        if !prompt::is_interactive() {
            return prompt::hidden(&context.output, "Password")
                .context("no password; set CODER_FIRST_USER_PASSWORD");
        }
        loop {
            let password = prompt::new_secret(&context.output, "Password")?;
            match password::check_strength(&password, &[username, email]) {
                Ok(()) => return Ok(password),
                Err(error) => context.output.note(&error.to_string()),
            }
        }
    }
}
