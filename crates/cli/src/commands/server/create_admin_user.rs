//! `coder server create-admin-user`: an owner, made directly in the database.

use anyhow::bail;
use clap::Args;
use gateway_core::{Clock as _, Role, Roles, Secret, SystemClock, UserId, password, user};
use gateway_store::{Author, NewUser, Store};

use crate::commands::{Context, offline};
use crate::environment;
use crate::exit::Exit;
use crate::output::visible;
use crate::prompt;

/// Make a user with the role owner, directly in the database. The server must be stopped.
///
/// What is not given is asked for, or read from standard input.
#[derive(Debug, Args)]
pub(crate) struct CreateAdminUser {
    /// Username of the new owner.
    #[arg(long, env = environment::ADMIN_USERNAME)]
    username: Option<String>,
    /// E-mail address of the new owner.
    #[arg(long, env = environment::ADMIN_EMAIL)]
    email: Option<String>,
    /// Password of the new owner. Prefer the variable: others can see flags.
    #[arg(long, env = environment::ADMIN_PASSWORD)]
    password: Option<Secret>,
    #[command(flatten)]
    database: offline::Database,
}

// === impl CreateAdminUser ===

impl CreateAdminUser {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        // First, so that nobody types a password for a database that cannot be opened.
        let store = self.database.open(context, false).await?;
        let outcome = self.create(context, &store).await;
        store.close().await;
        outcome
    }

    async fn create(&self, context: &Context, store: &Store) -> anyhow::Result<Exit> {
        let username = match &self.username {
            Some(username) => username.clone(),
            None => prompt::line(&context.output, "Username")?,
        };
        user::check_username(&username)?;
        let email = match &self.email {
            Some(email) => email.clone(),
            None => prompt::line(&context.output, "E-mail address")?,
        };
        user::check_email(&email)?;
        let password = match &self.password {
            Some(password) if !password.is_empty() => password.clone(),
            _ => prompt::new_secret(&context.output, "Password")?,
        };
        password::check_strength(&password, &[&username, &email])?;
        let new = NewUser {
            id: UserId::generate(),
            username,
            email: Some(email),
            name: String::new(),
            roles: Roles::new([Role::Owner]),
            is_service_account: false,
            password_hash: Some(password::hash(&password)?),
        };
        let made = store
            .users()
            .create(
                &Author::SystemFor("coder server create-admin-user"),
                new,
                SystemClock.now(),
            )
            .await?;
        let Some(email) = made.email else {
            bail!("the database kept no e-mail address");
        };
        context.output.line(&format!(
            "User {} ({}) was created with the role owner.",
            visible(&made.username),
            visible(&email)
        ))?;
        Ok(Exit::Success)
    }
}
