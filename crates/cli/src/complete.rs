//! Completion: what the shell is told when somebody presses the tabulator key.
//!
//! Names of tokens and users are asked of the server, for as long as nobody gets impatient. Whatever fails, fails
//! silently: an error has no place in the middle of a line that is being typed.

use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use gateway_api_types::{ApiKey, UsagePage, UsersPage};
use gateway_core::Secret;

use crate::args::{self, GlobalArgs};
use crate::client::{Client, Patience};
use crate::commands::Context;
use crate::environment;
use crate::output::Output;

/// For everything together.
const PATIENCE: Duration = Duration::from_millis(1500);

/// More than anybody reads.
const MOST: &str = "200";

/// Answers a request of a shell for completions, if this is one.
pub(crate) fn answer() -> Result<bool, clap::Error> {
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(args::command).try_complete(std::env::args_os(), folder.as_deref())
}

/// Names of the caller's own tokens.
pub(crate) fn token_names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(&async |client: &Client| {
            let keys: Vec<ApiKey> = client
                .get_with(&["users", "me", "keys", "tokens"], &[("include_expired", "true")])
                .await
                .ok()?;
            Some(keys.iter().map(token_candidate).collect())
        })
    })
}

/// Names of all users that the caller may see.
pub(crate) fn usernames() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(&async |client: &Client| {
            let page: UsersPage = client.get_with(&["users"], &[("limit", MOST)]).await.ok()?;
            let names = page.users.into_iter().filter(|user| is_harmless(&user.username));
            Some(
                names
                    .map(|user| CompletionCandidate::new(user.username).help(Some(user.email.into())))
                    .collect(),
            )
        })
    })
}

/// Models that were asked for, of those that the caller may see.
pub(crate) fn models() -> ArgValueCandidates {
    ArgValueCandidates::new(|| ask(&async |client: &Client| names(client, "models").await))
}

/// Clients that asked, likewise.
pub(crate) fn clients() -> ArgValueCandidates {
    ArgValueCandidates::new(|| ask(&async |client: &Client| names(client, "clients").await))
}

/// Names of provider instances that were asked, likewise.
pub(crate) fn providers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(&async |client: &Client| {
            let query = [("group_by", "provider")];
            let page: UsagePage = client.get_with(&["aibridge", "usage"], &query).await.ok()?;
            let names = page.results.into_iter().filter_map(|row| row.provider_name);
            Some(candidates(names))
        })
    })
}

async fn names(client: &Client, kind: &str) -> Option<Vec<CompletionCandidate>> {
    let names: Vec<String> = client
        .get_with(&["aibridge", kind], &[("limit", MOST)])
        .await
        .ok()?;
    Some(candidates(names))
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let names = names.into_iter().filter(|name| is_harmless(name));
    names.map(CompletionCandidate::new).collect()
}

/// The name if it can stand in a command line as it is, else the id.
fn token_candidate(key: &ApiKey) -> CompletionCandidate {
    let (value, help) = if is_harmless(&key.token_name) {
        (&key.token_name, &key.id)
    } else {
        (&key.id, &key.token_name)
    };
    CompletionCandidate::new(value).help(Some(crate::output::visible(help).into()))
}

/// Shells put a completion into the command line unquoted. A name with a blank would fall apart there, and one
/// like `$(...)` would be run.
fn is_harmless(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b))
}

fn ask(question: &impl AsyncFn(&Client) -> Option<Vec<CompletionCandidate>>) -> Vec<CompletionCandidate> {
    let answer = || -> Option<Vec<CompletionCandidate>> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        let words: Vec<_> = std::env::args_os().collect();
        let context = Context::new(global_options(&words), Output::new()).ok()?;
        let client = context
            .client_with(Patience {
                connect: PATIENCE,
                total: PATIENCE,
            })
            .ok()?;
        runtime.block_on(async { tokio::time::timeout(PATIENCE, question(&client)).await.ok()? })
    };
    answer().unwrap_or_default()
}

/// The global options out of the words typed so far and out of the environment. The line is not finished, so it
/// cannot be parsed as a whole.
fn global_options(words: &[impl AsRef<OsStr>]) -> GlobalArgs {
    let option = |flag: &str, variable: &str| {
        let mut found = environment::read(variable);
        let mut words = words.iter().filter_map(|word| word.as_ref().to_str());
        while let Some(word) = words.next() {
            if word == flag {
                found = words.next().map(str::to_owned).or(found);
            } else if let Some(value) = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
                found = Some(value.to_owned());
            }
        }
        found
    };
    GlobalArgs {
        url: option("--url", environment::URL),
        token: option("--token", environment::SESSION_TOKEN).map(Secret::from),
        global_config: option("--global-config", environment::CONFIG_DIR).map(Into::into),
        header: environment::read(environment::HEADER)
            .map(|lines| lines.lines().map(Secret::from).collect())
            .unwrap_or_default(),
        verbose: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_shell_takes_as_they_are() {
        for good in ["my-ai-token", "ci_2", "a.b@c+d"] {
            assert!(is_harmless(good), "{good}");
        }
        for bad in ["", "a b", "$(id)", "`id`", "a;b", "-rf", "a'b", "ü", "a\nb", "~"] {
            assert!(!is_harmless(bad), "{bad}");
        }
    }

    #[test]
    fn global_options_are_found_in_an_unfinished_line() {
        let words = [
            "coder",
            "--",
            "coder",
            "--url",
            "http://a",
            "tokens",
            "--global-config=/c",
            "rm",
            "",
        ];
        let global = global_options(&words);
        assert_eq!(global.url.as_deref(), Some("http://a"));
        assert_eq!(global.global_config, Some("/c".into()));
    }
}
