//! Writing completion to where a shell reads it: a marked block in its start file, or a file of its own.
//!
//! The block calls the program at each start of the shell, so it need not be installed again after an upgrade.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{Shell, VARIABLE};

const BEGIN: &str = "# >>> coder completion >>>";
const END: &str = "# <<< coder completion <<<";

/// Returns the file that was written.
pub(super) fn install(shell: Shell, program: &str) -> anyhow::Result<PathBuf> {
    let path = start_file(shell).context("there is no home directory to install to")?;
    let block = block(shell, program);
    let cannot = || format!("cannot write {}", path.display());
    // A start file is often a link into a folder of its owner's; the link must stay one.
    let real = match fs::canonicalize(&path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.clone(),
        Err(error) => return Err(error).with_context(cannot),
    };
    let old = match fs::read_to_string(&real) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let new = with_block(&old, &block).with_context(|| format!("{} was left as it is", path.display()))?;
    if new != old {
        replace(&real, &new).with_context(cannot)?;
    }
    Ok(path)
}

fn start_file(shell: Shell) -> Option<PathBuf> {
    let home = std::env::home_dir()?;
    let folder = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = || folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    Some(match shell {
        Shell::Bash => home.join(".bashrc"),
        Shell::Zsh => folder("ZDOTDIR").unwrap_or_else(|| home.clone()).join(".zshrc"),
        Shell::Fish => config().join("fish").join("completions").join("coder.fish"),
        Shell::Powershell if cfg!(windows) => home
            .join("Documents")
            .join("PowerShell")
            .join("Microsoft.PowerShell_profile.ps1"),
        Shell::Powershell => config()
            .join("powershell")
            .join("Microsoft.PowerShell_profile.ps1"),
    })
}

/// The lines between the marks do nothing if the program is gone.
fn block(shell: Shell, program: &str) -> String {
    let lines = match shell {
        Shell::Bash => {
            let program = quoted(program);
            format!("command -v {program} >/dev/null && source <({VARIABLE}=bash {program})")
        }
        Shell::Zsh => {
            let program = quoted(program);
            format!(
                "if command -v {program} >/dev/null; then\n  (( $+functions[compdef] )) || {{ autoload -Uz compinit && \
                 compinit }}\n  source <({VARIABLE}=zsh {program})\nfi"
            )
        }
        Shell::Fish => {
            let program = program.replace('\\', r"\\").replace('\'', r"\'");
            format!("command -q '{program}'; and {VARIABLE}=fish '{program}' | source")
        }
        Shell::Powershell => {
            let program = program.replace('\'', "''");
            format!(
                "if (Get-Command '{program}' -ErrorAction SilentlyContinue) {{\n  $env:{VARIABLE} = 'powershell'; & \
                 '{program}' | Out-String | Invoke-Expression; Remove-Item Env:\\{VARIABLE}\n}}"
            )
        }
    };
    format!("{BEGIN}\n{lines}\n{END}\n")
}

/// For shells of the POSIX kind.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The text with the block in place of the one that it has, or at its end.
fn with_block(text: &str, block: &str) -> anyhow::Result<String> {
    let Some(start) = text.find(BEGIN) else {
        if text.contains(END) {
            bail!("it has the line `{END}` without its beginning");
        }
        let gap = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return Ok(format!("{text}{gap}{block}"));
    };
    let Some(length) = text[start..].find(END) else {
        bail!("it has the line `{BEGIN}` without its end");
    };
    let rest = &text[start + length + END.len()..];
    let rest = rest.strip_prefix('\n').unwrap_or(rest);
    Ok(format!("{}{block}{rest}", &text[..start]))
}

/// Whoever starts a shell meanwhile sees the old file or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| match fs::metadata(path) {
            Ok(metadata) => fs::set_permissions(&temporary, metadata.permissions()),
            Err(_) => Ok(()),
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_added_once_and_replaced_afterwards() {
        let first = with_block("export A=1", &block(Shell::Bash, "coder")).unwrap();
        assert_eq!(
            first,
            format!(
                "export A=1\n{BEGIN}\ncommand -v 'coder' >/dev/null && source <(COMPLETE=bash 'coder')\n{END}\n"
            )
        );
        let later = format!("{first}export B=2\n");
        let second = with_block(&later, &block(Shell::Bash, "/it's/coder")).unwrap();
        assert!(
            second.starts_with("export A=1\n") && second.ends_with("export B=2\n"),
            "{second}"
        );
        assert_eq!(second.matches(BEGIN).count(), 1);
        assert!(second.contains(r"'/it'\''s/coder'"), "{second}");
        assert_eq!(
            with_block(&second, &block(Shell::Bash, "/it's/coder")).unwrap(),
            second
        );
    }

    #[test]
    fn a_damaged_block_is_left_alone() {
        for damaged in [format!("{BEGIN}\nx\n"), format!("x\n{END}\n")] {
            assert!(with_block(&damaged, "b\n").is_err(), "{damaged}");
        }
    }
}
