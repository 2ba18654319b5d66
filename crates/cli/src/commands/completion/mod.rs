//! `coder completion`: prints what makes a shell complete `coder`, or installs it.
//!
//! The script asks the program itself for each completion (see `complete`), so it stays right when the program
//! changes.

use std::path::Path;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

use super::Context;
use crate::environment;
use crate::exit::{Exit, UsageError};

mod install;

/// The variable by which a shell asks for completions.
const VARIABLE: &str = "COMPLETE";

/// Print the completion script of a shell, or install it.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// Which shell; by default the one in the variable SHELL.
    #[arg(value_enum)]
    shell: Option<Shell>,
    /// The same as the argument.
    #[arg(
        short,
        long = "shell",
        value_enum,
        hide = true,
        value_name = "SHELL",
        conflicts_with = "shell"
    )]
    shell_option: Option<Shell>,
    /// Write it where the shell reads it at start. What was installed before is replaced.
    #[arg(long)]
    install: bool,
    /// Print the script, as without --install.
    #[arg(short, long, hide = true, conflicts_with = "install")]
    print: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(alias = "pwsh")]
    Powershell,
}

// === impl Completion ===

impl Completion {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shell = self
            .shell
            .or(self.shell_option)
            .or_else(Shell::of_the_user)
            .ok_or_else(|| UsageError("name the shell: bash, zsh, fish or powershell".to_owned()))?;
        let program = program()?;
        if self.install {
            let file = install::install(shell, &program)?;
            context.output.line(&format!(
                "Completion was written to {}; it works in shells started from now on.",
                file.display()
            ))?;
        } else {
            context.output.text(&shell.script(&program)?)?;
        }
        Ok(Exit::Success)
    }
}

// === impl Shell ===

impl Shell {
    fn of_the_user() -> Option<Self> {
        let path = environment::read(environment::SHELL)?;
        let name = Path::new(&path).file_stem()?.to_str()?;
        Self::from_str(name, true).ok()
    }

    fn script(self, program: &str) -> anyhow::Result<String> {
        let completer: &dyn EnvCompleter = match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
            Self::Powershell => &Powershell,
        };
        let mut script = Vec::new();
        completer.write_registration(VARIABLE, "coder", "coder", program, &mut script)?;
        Ok(String::from_utf8(script)?)
    }
}

/// How the script calls this program: by the word that was typed, or in full if that was a path.
fn program() -> anyhow::Result<String> {
    let typed = std::env::args_os().next().unwrap_or_else(|| "coder".into());
    let typed = Path::new(&typed);
    let program = if typed.components().count() > 1 {
        std::env::current_dir()
            .context("cannot find the current directory")?
            .join(typed)
    } else {
        typed.to_owned()
    };
    program
        .into_os_string()
        .into_string()
        .ok()
        .context("the path of this program is not text; move it, or put it on the search path")
}
