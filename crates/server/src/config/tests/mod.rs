//! Configuration as the server meets it: a command line, an environment, files.

use std::path::{Path, PathBuf};

use clap::{Args as _, Command, FromArgMatches as _};
use tempfile::TempDir;

use super::*;

mod effective;
mod faults;
mod file;
mod precedence;
mod providers;
mod proxy;
mod secrets;
mod values;

/// Stands in every secret of a test; whatever is shown to anybody must not contain it.
const SENTINEL: &str = "sentinel-5d1f0c";

/// A command line, an environment, and a directory for files.
struct Setting {
    args: Vec<String>,
    variables: Vec<(String, String)>,
    folder: TempDir,
}

impl Setting {
    fn new() -> Self {
        Self {
            args: Vec::new(),
            variables: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        for (name, value) in variables {
            self = self.variable(name, value);
        }
        self
    }

    /// A configuration file that only its owner can read.
    fn yaml(self, content: &str) -> Self {
        let path = self.private_file("config.yaml", content);
        let path = path.to_str().unwrap().to_owned();
        self.variable("CODER_CONFIG_PATH", &path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn private_file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name, content);
        set_mode(&path, 0o600);
        path
    }

    fn parse(&self) -> ServerArgs {
        let command = ServerArgs::augment_args(Command::new("server"));
        let args = std::iter::once("server").chain(self.args.iter().map(String::as_str));
        let matches = command.try_get_matches_from(args).unwrap();
        ServerArgs::from_arg_matches(&matches).unwrap()
    }

    fn load(&self) -> Result<ServerConfig, ConfigError> {
        let environment = self.variables.iter().cloned().collect();
        ServerConfig::load(self.parse(), &environment, self.folder.path())
    }

    fn config(&self) -> ServerConfig {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is wrong, one line each. Never a secret.
    fn faults(&self) -> Vec<String> {
        let error = self.load().unwrap_err();
        assert!(!error.faults().is_empty());
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains(SENTINEL), "{shown}");
        }
        for fault in error.faults() {
            assert!(!fault.contains('\n'), "{fault}");
        }
        error.faults().to_vec()
    }

    /// The only thing that is wrong.
    fn fault(&self) -> String {
        let mut faults = self.faults();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults.remove(0)
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// All of `parts` stand in `text`.
#[track_caller]
fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}
