//! Exit codes, and how a failure is told: 0 good, 1 failed or declined, 2 wrong usage.

use std::process::ExitCode;

use gateway_server::config::ConfigError;

use crate::client::ClientError;
use crate::output::{Output, OutputClosed, visible};

/// How a command that did not fail has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    /// The answer to a question was no.
    Declined,
}

/// The command line makes no sense although each option does. Ends with 2, as the parser's own errors do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Declined => Self::FAILURE,
        }
    }
}

/// The error and its causes in one line, each that says something new.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// Help and version are parse "errors" too: they go to standard output and are a success.
pub(crate) fn after_parse_error(output: &Output, error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        output.note(text.trim_end());
        return ExitCode::from(2);
    }
    match output.text(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => after_error(output, &error, false),
    }
}

/// Tells what went wrong, in one line and one more for each wrong field; with `verbose` all of it.
pub(crate) fn after_error(output: &Output, error: &anyhow::Error, verbose: bool) -> ExitCode {
    if error.is::<OutputClosed>() {
        // Whoever read has read enough.
        return ExitCode::SUCCESS;
    }
    if let Some(config) = error.downcast_ref::<ConfigError>() {
        output.note("error: the configuration cannot be used:");
        for fault in config.faults() {
            output.note(&format!("  {}", visible(fault)));
        }
        return ExitCode::FAILURE;
    }
    output.note(&format!("error: {}", visible(&error.to_string())));
    if let Some(ClientError::Refused(refusal)) = error.downcast_ref::<ClientError>() {
        for validation in &refusal.reply.validations {
            output.note(&format!(
                "  {}: {}",
                visible(&validation.field),
                visible(&validation.detail)
            ));
        }
        if let Some(detail) = &refusal.reply.detail {
            output.note(&format!("  {}", visible(detail)));
        }
        if verbose {
            output.note(&format!(
                "  {} {} answered {}",
                refusal.method, refusal.url, refusal.status
            ));
        }
    }
    if verbose {
        for cause in error.chain().skip(1) {
            output.note(&format!("  caused by: {}", visible(&cause.to_string())));
        }
    }
    if error.is::<UsageError>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn causes_that_repeat_each_other_are_said_once() {
        let error = anyhow!("refused")
            .context("cannot connect: refused")
            .context("no database");
        assert_eq!(one_line(&error), "no database: cannot connect: refused");
    }
}
