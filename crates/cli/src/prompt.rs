//! Questions to the person at the keyboard, or to the script on standard input.
//!
//! On a terminal secrets are not shown while they are typed. Where standard input is no terminal, each answer is
//! one line of it, and its end is an error rather than an empty answer.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use gateway_core::Secret;

use crate::output::Output;

/// No answer is longer; a file given by mistake is not read into memory.
const LONGEST_LINE: u64 = 64 * 1024;

/// Whether a person can be asked.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line of text.
pub(crate) fn line(output: &Output, question: &str) -> anyhow::Result<String> {
    ask(output, &format!("{question}:"));
    Ok(read_line()?.trim().to_owned())
}

/// Asks for a secret, once.
pub(crate) fn hidden(output: &Output, question: &str) -> anyhow::Result<Secret> {
    if is_interactive() {
        return rpassword::prompt_password(format!("{question}: "))
            .map(Secret::from)
            .context("cannot read from the terminal");
    }
    ask(output, &format!("{question}:"));
    read_line().map(Secret::from)
}

/// Asks for a new secret: on a terminal twice, since it cannot be seen.
pub(crate) fn new_secret(output: &Output, question: &str) -> anyhow::Result<Secret> {
    let first = hidden(output, question)?;
    if is_interactive() && hidden(output, "Once more")?.expose() != first.expose() {
        bail!("the two passwords differ");
    }
    Ok(first)
}

/// Asks a question that an empty line answers with yes.
pub(crate) fn confirm(output: &Output, question: &str) -> anyhow::Result<bool> {
    ask(output, &format!("{question} (yes/no) [yes]"));
    let answer = read_line()
        .context("there was no answer on standard input; answer yes beforehand with -y")?
        .trim()
        .to_lowercase();
    Ok(matches!(answer.as_str(), "" | "y" | "yes"))
}

/// Nobody types an answer behind a question where standard input is no terminal, so the line ends there.
fn ask(output: &Output, question: &str) {
    if is_interactive() {
        output.question(question);
    } else {
        output.note(question);
    }
}

/// One line without its end.
fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let read = io::stdin()
        .lock()
        .take(LONGEST_LINE)
        .read_line(&mut line)
        .context("cannot read standard input")?;
    if read == 0 {
        bail!("standard input ended before the answer");
    }
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    Ok(line)
}
