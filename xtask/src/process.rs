//! Running other programs.
//!
//! None of them gets this program's standard input: everything here must also work where there is none.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail};

/// A command as it would be typed, for messages.
pub(crate) fn line(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Runs with this program's output; a failure names the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    require(status, command)
}

/// Runs, and returns what was printed on standard output; standard error is shown as it comes.
pub(crate) fn stdout_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    require(output.status, command)?;
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed what is not UTF-8", line(command)))
}

/// Runs in silence; when it fails, the error holds all that it printed.
pub(crate) fn quiet(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}):\n{printed}{errors}",
            line(command),
            output.status
        );
    }
    Ok(printed)
}

/// Runs and shows both outputs as they come, each line also to `watch`.
pub(crate) fn watched(mut command: Command, mut watch: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
    let name = line(&command);
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null());
    command
        .stdout(writer.try_clone().context("cannot copy a pipe")?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    // It holds the writing ends, and reading would not end before they are closed.
    drop(command);
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    let mut out = std::io::stdout();
    while reader
        .read_until(b'\n', &mut bytes)
        .with_context(|| format!("cannot read what `{name}` prints"))?
        > 0
    {
        out.write_all(&bytes)
            .and_then(|()| out.flush())
            .context("cannot write to standard output")?;
        watch(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    child.wait().with_context(|| format!("cannot wait for `{name}`"))
}

fn require(status: ExitStatus, command: &Command) -> anyhow::Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// The first program of that name in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}
