//! `coder users`: users and service accounts.

use clap::{Args, Subcommand, ValueEnum};
use gateway_api_types::User;
use gateway_core::Roles;

use super::Context;
use crate::exit::Exit;
use crate::output::{Column, time};

mod create;
mod delete;
mod edit_roles;
mod list;
mod show;
mod status;

/// Make, show, change and delete users and service accounts.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Users {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    Create(create::Create),
    #[command(visible_alias = "ls")]
    List(list::List),
    Show(show::Show),
    #[command(visible_alias = "rm")]
    Delete(delete::Delete),
    Suspend(status::Suspend),
    #[command(visible_alias = "active")]
    Activate(status::Activate),
    EditRoles(edit_roles::EditRoles),
}

/// What can be shown of a user in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum UserColumn {
    #[value(name = "id")]
    Id,
    #[value(name = "username")]
    Username,
    #[value(name = "name")]
    Name,
    #[value(name = "email")]
    Email,
    #[value(name = "roles")]
    Roles,
    #[value(name = "created at", alias = "created_at")]
    CreatedAt,
    #[value(name = "updated at", alias = "updated_at")]
    UpdatedAt,
    #[value(name = "last seen at", alias = "last_seen_at")]
    LastSeenAt,
    #[value(name = "status")]
    Status,
}

/// Shown unless others are asked for.
const DEFAULT_COLUMNS: [UserColumn; 4] = [
    UserColumn::Username,
    UserColumn::Email,
    UserColumn::CreatedAt,
    UserColumn::Status,
];

// === impl Users ===

impl Users {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            UsersCommand::Create(args) => args.run(context).await,
            UsersCommand::List(args) => args.run(context).await,
            UsersCommand::Show(args) => args.run(context).await,
            UsersCommand::Delete(args) => args.run(context).await,
            UsersCommand::Suspend(args) => args.run(context).await,
            UsersCommand::Activate(args) => args.run(context).await,
            UsersCommand::EditRoles(args) => args.run(context).await,
        }
    }
}

// === impl UserColumn ===

impl Column for UserColumn {
    type Row = User;

    fn cell(self, user: &User) -> String {
        match self {
            Self::Id => user.id.to_string(),
            Self::Username => user.username.clone(),
            Self::Name => user.name.clone(),
            Self::Email => user.email.clone(),
            Self::Roles => role_names(user).join(", "),
            Self::CreatedAt => time(user.created_at),
            Self::UpdatedAt => time(user.updated_at),
            Self::LastSeenAt => time(user.last_seen_at),
            Self::Status => user.status.as_str().to_owned(),
        }
    }
}

fn role_names(user: &User) -> Vec<&str> {
    user.roles.iter().map(|role| role.name.as_str()).collect()
}

/// `owner, auditor`; empty or `member` for none.
fn parse_roles(text: &str) -> Result<Roles, gateway_core::role::UnknownRole> {
    let names: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    names.join(",").parse()
}
