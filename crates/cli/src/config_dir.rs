//! The configuration directory: which server was logged in to, and the session there.
//!
//! Two files, `url` and `session`, in a directory of mode 0700, each 0600 and replaced as a whole. The session
//! belongs to that URL alone: it is removed before another URL is written, so that it is never sent elsewhere. Certificates
//! to trust may be beside them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway_core::Secret;
use url::Url;

const FOLDER: &str = "coderv2";
const URL_FILE: &str = "url";
const SESSION_FILE: &str = "session";

/// Both files hold one short line; what is longer is not ours.
const LONGEST_FILE: u64 = 16 * 1024;

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct ConfigDir(PathBuf);

// === impl ConfigDir ===

impl ConfigDir {
    /// The given directory, or the one of the system for this user.
    pub(crate) fn new(given: Option<PathBuf>) -> anyhow::Result<Self> {
        match given.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => Ok(Self(path)),
            None => default_folder()
                .map(|folder| Self(folder.join(FOLDER)))
                .context("there is no home directory; set CODER_CONFIG_DIR"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The server that was logged in to.
    pub(crate) fn url(&self) -> anyhow::Result<Option<String>> {
        self.read(URL_FILE)
    }

    /// The session there.
    pub(crate) fn session(&self) -> anyhow::Result<Option<Secret>> {
        Ok(self.read(SESSION_FILE)?.map(Secret::from))
    }

    pub(crate) fn save(&self, url: &Url, session: &Secret) -> anyhow::Result<()> {
        make_folder(&self.0).with_context(|| format!("cannot make {}", self.0.display()))?;
        self.remove(SESSION_FILE)?;
        self.write(URL_FILE, url.as_str())?;
        self.write(SESSION_FILE, session.expose())
    }

    /// Writes a file that other programs of this user are pointed to, and says where it is.
    pub(crate) fn write_for_others(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        make_folder(&self.0).with_context(|| format!("cannot make {}", self.0.display()))?;
        let path = self.0.join(name);
        write_private(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Forgets server and session. That there are none is fine.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        self.remove(SESSION_FILE)?;
        self.remove(URL_FILE)
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<String>> {
        let path = self.0.join(name);
        let cannot = || format!("cannot read {}", path.display());
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > LONGEST_FILE => {
                anyhow::bail!("{} is too long; run `coder login` again", path.display())
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(cannot),
        }
        let text = fs::read_to_string(&path).with_context(cannot)?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        write_private(&path, format!("{text}\n").as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file that only its owner can read; whoever looks sees the old content or the new one.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let _ = fs::remove_file(&temporary);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(target_os = "macos")]
fn default_folder() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join("Library").join("Application Support"))
}

#[cfg(windows)]
fn default_folder() -> Option<PathBuf> {
    std::env::var_os("APPDATA").map(PathBuf::from)
}

#[cfg(not(any(target_os = "macos", windows)))]
fn default_folder() -> Option<PathBuf> {
    // A relative path is to be ignored (XDG Base Directory Specification).
    std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".config")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_saved_is_read_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let config = ConfigDir::new(Some(folder.path().join("a/b"))).unwrap();
        assert!(config.url().unwrap().is_none());
        config.forget().unwrap();
        config
            .save(&url("http://one.example"), &Secret::new("first"))
            .unwrap();
        config
            .save(&url("http://two.example"), &Secret::new("second"))
            .unwrap();
        assert_eq!(config.url().unwrap().unwrap(), "http://two.example/");
        assert_eq!(config.session().unwrap().unwrap().expose(), "second");
        config.forget().unwrap();
        assert!(config.session().unwrap().is_none());
        assert_eq!(
            fs::read_dir(config.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let config = ConfigDir::new(Some(folder.path().join("c"))).unwrap();
        make_folder(config.path()).unwrap();
        fs::write(config.path().join(SESSION_FILE), "old").unwrap();
        fs::set_permissions(
            config.path().join(SESSION_FILE),
            fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        config
            .save(&url("http://one.example"), &Secret::new("s"))
            .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(config.path()), 0o700);
        assert_eq!(mode(&config.path().join(SESSION_FILE)), 0o600);
        assert_eq!(mode(&config.path().join(URL_FILE)), 0o600);
    }
}
