//! `coder users edit-roles`.

use clap::Args;
use gateway_api_types::{RolesRequest, User};
use gateway_core::{Role, Roles};

use super::{parse_roles, role_names};
use crate::commands::Context;
use crate::complete;
use crate::exit::{Exit, UsageError};
use crate::output::visible;
use crate::{find, prompt};

/// Change the roles of a user.
#[derive(Debug, Args)]
pub(crate) struct EditRoles {
    /// Username or id.
    #[arg(value_name = "USERNAME|ID", add = complete::usernames())]
    user: String,
    /// All roles that the user is to have, separated by commas: owner, user-admin, auditor; member for none of them.
    #[arg(long, value_parser = parse_roles)]
    roles: Option<Roles>,
    /// Do not ask whether the roles that were typed in are right.
    #[arg(short, long)]
    yes: bool,
}

// === impl EditRoles ===

impl EditRoles {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.roles.is_none() && !prompt::is_interactive() {
            return Err(UsageError("give --roles".to_owned()).into());
        }
        let client = context.client()?;
        let user: User = client.get(&["users", find::user(&self.user)?]).await?;
        let name = visible(&user.username);
        let roles = match &self.roles {
            Some(roles) => roles.clone(),
            None => match self.ask(context, &user)? {
                Some(roles) => roles,
                None => return Ok(Exit::Declined),
            },
        };
        let request = RolesRequest {
            roles: roles.iter().map(|role| role.to_string()).collect(),
        };
        let id = user.id.to_string();
        let changed: User = client.put(&["users", &id, "roles"], Some(&request)).await?;
        context.output.note(&format!(
            "User {name} now has these roles: {}.",
            shown(&role_names(&changed))
        ));
        Ok(Exit::Success)
    }

    /// None if the person changed their mind.
    fn ask(&self, context: &Context, user: &User) -> anyhow::Result<Option<Roles>> {
        let all: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        context.output.note(&format!(
            "User {} has these roles: {}. There are: {}.",
            visible(&user.username),
            shown(&role_names(user)),
            all.join(", ")
        ));
        let roles = parse_roles(&prompt::line(&context.output, "Roles, separated by commas")?)?;
        let question = format!("Give these roles and no others: {}?", shown(&names(&roles)));
        if self.yes || prompt::confirm(&context.output, &question)? {
            Ok(Some(roles))
        } else {
            Ok(None)
        }
    }
}

fn names(roles: &Roles) -> Vec<&'static str> {
    roles.iter().map(Role::as_str).collect()
}

fn shown(names: &[&str]) -> String {
    if names.is_empty() {
        "member".to_owned()
    } else {
        visible(&names.join(", "))
    }
}
