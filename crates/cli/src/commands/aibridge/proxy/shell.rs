//! How shells set variables.

use std::path::Path;

use clap::ValueEnum;

use crate::environment;

/// The shell that lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// Also dash, ksh and what else follows POSIX.
    #[value(alias = "sh")]
    Bash,
    Zsh,
    Fish,
    #[value(alias = "pwsh")]
    Powershell,
}

// === impl Shell ===

impl Shell {
    /// By the variable SHELL; whatever it does not know is taken for a POSIX shell.
    pub(super) fn of_the_user() -> Self {
        environment::read(environment::SHELL)
            .and_then(|path| Self::from_str(Path::new(&path).file_stem()?.to_str()?, true).ok())
            .unwrap_or(Self::Bash)
    }

    /// A line that sets a variable for the programs that the shell starts. The value may hold anything.
    pub(super) fn export(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash | Self::Zsh => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Self::Fish => {
                let escaped = value.replace('\\', r"\\").replace('\'', r"\'");
                format!("set -gx {name} '{escaped}'")
            }
            Self::Powershell => format!("$env:{name} = '{}'", doubled(value)),
        }
    }
}

/// PowerShell takes typographic quotes for quotes, too.
fn doubled(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            escaped.push(c);
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_one_word() {
        let value = "a'b\\c $d";
        for (shell, line) in [
            (Shell::Bash, r"export X='a'\''b\c $d'"),
            (Shell::Zsh, r"export X='a'\''b\c $d'"),
            (Shell::Fish, r"set -gx X 'a\'b\\c $d'"),
            (Shell::Powershell, r"$env:X = 'a''b\c $d'"),
        ] {
            assert_eq!(shell.export("X", value), line);
        }
        assert_eq!(
            Shell::Powershell.export("X", "a\u{2019}b"),
            "$env:X = 'a\u{2019}\u{2019}b'"
        );
    }

    #[test]
    fn a_shell_reads_what_was_meant() {
        let value = "a'b\\c \"$d\"\n`e`;&|*?~é";
        let script = format!("{}\nprintf %s \"$X\"", Shell::Bash.export("X", value));
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }
}
