//! `coder users show`.

use clap::{Args, ValueEnum};
use gateway_api_types::User;
use serde::Serialize;

use super::{UserColumn, role_names};
use crate::commands::Context;
use crate::complete;
use crate::exit::Exit;
use crate::find;
use crate::output::{Column as _, Format, visible};

/// Show one user.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Username or id, or me.
    #[arg(value_name = "USERNAME|ID|me", add = complete::usernames())]
    user: String,
    /// What to show, separated by commas [default: all].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<UserColumn>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    user: User,
    /// Always empty: there is one organisation and it has no name.
    organization_names: [String; 0],
}

// === impl Show ===

impl Show {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = find::user(&self.user)?;
        let user: User = context.client()?.get(&["users", name]).await?;
        match self.output {
            Format::Json => context.output.json(&Shown {
                user,
                organization_names: [],
            })?,
            Format::Table => context.output.text(&lines(&self.columns(), &user))?,
        }
        Ok(Exit::Success)
    }

    fn columns(&self) -> Vec<UserColumn> {
        let mut columns = if self.column.is_empty() {
            UserColumn::value_variants().to_vec()
        } else {
            self.column.clone()
        };
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// One `Title: value` a line, then the roles.
fn lines(columns: &[UserColumn], user: &User) -> String {
    let mut text = String::new();
    for column in columns.iter().filter(|column| **column != UserColumn::Roles) {
        let value = visible(&column.cell(user));
        text.push_str(format!("{}: {value}", capitalised(&column.title())).trim_end());
        text.push('\n');
    }
    if columns.contains(&UserColumn::Roles) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str("Roles:\n");
        let roles = role_names(user);
        let names = if roles.is_empty() { vec!["(none)"] } else { roles };
        for name in names {
            text.push_str("  ");
            text.push_str(&visible(name));
            text.push('\n');
        }
    }
    text
}

fn capitalised(title: &str) -> String {
    match title {
        "id" => "ID".to_owned(),
        other => {
            let mut characters = other.chars();
            characters
                .next()
                .map(|first| first.to_uppercase().chain(characters).collect())
                .unwrap_or_default()
        }
    }
}
