//! The tree of commands as Markdown.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use crate::args;

/// Options whose heading is this stand once, not with every command.
const GLOBAL_HEADING: &str = "Global options";

/// The reference of all commands.
pub(super) fn commands() -> String {
    let mut root = args::command();
    root.build();
    let mut page =
        String::from("# Commands\n\nWhat `coder` can do. Each command also explains itself with `--help`.\n");
    page.push_str("\n## Options of every command\n");
    let globals: Vec<&Arg> = shown(&root).filter(|arg| is_global(arg)).collect();
    push_table(&mut page, &globals);
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        push_command(&mut page, command, "coder");
    }
    page
}

/// The options of `coder server`, under their headings.
pub(super) fn server_options() -> String {
    let mut root = args::command();
    root.build();
    let server = root
        .find_subcommand("server")
        .expect("there is a command `server`");
    let mut page = String::from(
        "# Options of the server\n\nEach can be given as a flag, as a variable or in the configuration file, in this \
         order of precedence.\n",
    );
    let options: Vec<&Arg> = shown(server).filter(|arg| !is_global(arg)).collect();
    let mut headings: Vec<&str> = Vec::new();
    for option in &options {
        let heading = option.get_help_heading().unwrap_or("Options");
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let _ = write!(page, "\n## {heading}\n");
        let section: Vec<&Arg> = options
            .iter()
            .copied()
            .filter(|option| option.get_help_heading().unwrap_or("Options") == heading)
            .collect();
        push_table(&mut page, &section);
    }
    page
}

fn push_command(page: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent} {}", command.get_name());
    let _ = write!(page, "\n## {name}\n\n");
    let about = command.get_long_about().or_else(|| command.get_about());
    if let Some(about) = about {
        let _ = writeln!(page, "{}", sentence(&about.to_string()));
    }
    let aliases: Vec<String> = command
        .get_visible_aliases()
        .map(|alias| format!("`{alias}`"))
        .collect();
    if !aliases.is_empty() {
        let _ = write!(page, "\nAlso: {}.\n", aliases.join(", "));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim();
    let _ = write!(page, "\n```text\n{usage}\n```\n");
    // The server's have a page of their own.
    let own: Vec<&Arg> = shown(command).filter(|arg| !is_global(arg)).collect();
    if command.get_name() == "server" {
        page.push_str("\nIts options: [options.md](options.md).\n");
    } else {
        push_table(page, &own);
    }
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        push_command(page, child, &name);
    }
}

fn push_table(page: &mut String, args: &[&Arg]) {
    if args.is_empty() {
        return;
    }
    page.push_str("\n| option | variable | default | meaning |\n| --- | --- | --- | --- |\n");
    for arg in args {
        let variable = arg
            .get_env()
            .map(|name| format!("`{}`", name.to_string_lossy()))
            .unwrap_or_default();
        let _ = writeln!(
            page,
            "| {} | {variable} | {} | {} |",
            spelling(arg),
            default(arg),
            meaning(arg)
        );
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
}

fn is_global(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(GLOBAL_HEADING)
}

/// `-o`, `--output <OUTPUT>`
fn spelling(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .and_then(|names| names.first())
        .map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string);
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let mut spellings: Vec<String> = Vec::new();
    if let Some(short) = arg.get_short() {
        spellings.push(format!("`-{short}`"));
    }
    let longs = arg
        .get_long()
        .into_iter()
        .chain(arg.get_visible_aliases().into_iter().flatten());
    for (index, long) in longs.enumerate() {
        spellings.push(if takes_value && index == 0 {
            format!("`--{long} <{}>`", escaped(&value))
        } else {
            format!("`--{long}`")
        });
    }
    if spellings.is_empty() {
        return format!("`{}`", escaped(&value));
    }
    spellings.join(", ")
}

fn default(arg: &Arg) -> String {
    if arg.is_hide_default_value_set() || matches!(arg.get_action(), ArgAction::SetTrue) {
        return String::new();
    }
    let values: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| !value.is_empty())
        .collect();
    if values.is_empty() {
        String::new()
    } else {
        format!("`{}`", escaped(&values.join(",")))
    }
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let mut text = help.map(|help| sentence(&help.to_string())).unwrap_or_default();
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() && !arg.is_hide_possible_values_set() && arg.get_action().takes_values() {
        let _ = write!(text, " One of {}.", possible.join(", "));
    }
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The parser takes the stop off texts of one sentence.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let stop = if text.is_empty() || text.ends_with(['.', ')', ']', '?']) {
        ""
    } else {
        "."
    };
    format!("{text}{stop}")
}

/// A bar would begin the next cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
