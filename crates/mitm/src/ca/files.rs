//! The pair of files of an authority that the gateway makes itself.
//!
//! Two files cannot be put in place at once, so installing them is a sequence that can be continued after it was cut off
//! anywhere. Both are written beside their places first, with `.new` added to their names. Then the key is renamed,
//! then the certificate. Whoever takes the lock next looks what is left: where `key.new` still is, nothing was put in
//! place, and both are dropped; where only `certificate.new` is, the key is in place, and the certificate follows it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{CERTIFICATE_FILE, CaError, KEY_FILE, Warning};

/// Held by whoever reads or changes the pair. It stays, empty, when it is given back.
const LOCK_FILE: &str = "aibridge-proxy-ca.lock";

/// Far more than any chain of certificates.
const LONGEST_FILE: u64 = 1024 * 1024;

/// Certificates are public, keys are not.
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// Where the two files are.
pub(super) struct Pair {
    dir: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

// === impl Pair ===

impl Pair {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            certificate: dir.join(CERTIFICATE_FILE),
            key: dir.join(KEY_FILE),
        }
    }

    /// Waits until nobody else works on the pair and settles what was cut off. The lock ends with the value, or with the
    /// process. None where the directory cannot be written: then nothing in it changes either.
    pub(super) fn lock(&self) -> Result<Option<File>, CaError> {
        make_folder(&self.dir).map_err(|source| write_error(&self.dir, source))?;
        let path = self.dir.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
        let locked = options.open(&path).and_then(|file| {
            give_to_owner_of(&self.dir, &file)?;
            file.lock().map(|()| file)
        });
        match locked {
            Ok(file) => {
                self.settle()?;
                Ok(Some(file))
            }
            Err(error) if cannot_change(&error) => Ok(None),
            Err(source) => Err(write_error(&path, source)),
        }
    }

    /// Whether both files are there. One alone is an error: whether the other is lost or somebody is about to put it
    /// there, a new pair is not the answer.
    pub(super) fn is_there(&self) -> Result<bool, CaError> {
        match (exists(&self.certificate)?, exists(&self.key)?) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            (true, false) => Err(CaError::OnlyOne {
                present: self.certificate.clone(),
                missing: self.key.clone(),
            }),
            (false, true) => Err(CaError::OnlyOne {
                present: self.key.clone(),
                missing: self.certificate.clone(),
            }),
        }
    }

    /// Puts a pair in place of what is there. Under the lock.
    pub(super) fn install(&self, certificate_pem: &str, key_pem: &str) -> Result<(), CaError> {
        self.stage(certificate_pem, key_pem)?;
        rename(&with_suffix(&self.key, ".new"), &self.key)?;
        sync(&self.dir)?;
        self.settle()
    }

    /// Writes both files beside their places, the key first: it is what says that nothing was put in place yet.
    fn stage(&self, certificate_pem: &str, key_pem: &str) -> Result<(), CaError> {
        write(&with_suffix(&self.key, ".new"), key_pem.as_bytes(), PRIVATE)?;
        write(
            &with_suffix(&self.certificate, ".new"),
            certificate_pem.as_bytes(),
            PUBLIC,
        )?;
        sync(&self.dir)
    }

    /// Drops what was staged only, finishes what was begun.
    fn settle(&self) -> Result<(), CaError> {
        let key = with_suffix(&self.key, ".new");
        let certificate = with_suffix(&self.certificate, ".new");
        if exists(&key)? {
            // The key goes last: a certificate alone would be taken for one that follows its key.
            remove(&certificate)?;
            return remove(&key);
        }
        if exists(&certificate)? {
            rename(&certificate, &self.certificate)?;
            sync(&self.dir)?;
        }
        Ok(())
    }

    /// Keeps copies of what is there, in place of older copies. Under the lock.
    pub(super) fn keep_old(&self) -> Result<(), CaError> {
        for (path, mode) in [(&self.key, PRIVATE), (&self.certificate, PUBLIC)] {
            if exists(path)? {
                let old = with_suffix(path, ".old");
                remove(&old)?;
                write(&old, &read(path)?, mode)?;
            }
        }
        sync(&self.dir)
    }
}

/// The content of a file that is not too long for what it should hold.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CaError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut content))
        .map_err(|source| CaError::Read {
            path: path.to_owned(),
            source,
        })?;
    if content.len() as u64 > LONGEST_FILE {
        return Err(CaError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(content)
}

/// A warning rather than an error: mounted secrets often have modes that their owner cannot choose.
#[cfg(unix)]
pub(super) fn readable_by_others(key: &Path) -> Option<Warning> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(key).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then(|| Warning::KeyReadable {
        path: key.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
pub(super) fn readable_by_others(_key: &Path) -> Option<Warning> {
    None
}

// === Steps on files, with errors that name them ===

/// Writes a file that must not be there yet, with its mode from the start.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CaError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let dir = path.parent().unwrap_or(Path::new("."));
    options
        .open(path)
        .and_then(|mut file| {
            give_to_owner_of(dir, &file)?;
            file.write_all(content)?;
            file.sync_all()
        })
        .map_err(|source| write_error(path, source))
}

/// What root makes in the server's directory is for the server, which would not be let in otherwise.
#[cfg(unix)]
fn give_to_owner_of(dir: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let (owner, own) = (fs::metadata(dir)?, file.metadata()?);
    if owner.uid() == own.uid() {
        return Ok(());
    }
    match fchown(file, Some(owner.uid()), Some(owner.gid())) {
        // Only root may. Whoever else writes to another's directory keeps the file.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

#[cfg(not(unix))]
fn give_to_owner_of(_dir: &Path, _file: &File) -> io::Result<()> {
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), CaError> {
    fs::rename(from, to).map_err(|source| write_error(to, source))
}

fn remove(path: &Path) -> Result<(), CaError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(write_error(path, source)),
        _ => Ok(()),
    }
}

/// Makes renames last; they are the directory's content.
fn sync(dir: &Path) -> Result<(), CaError> {
    if cfg!(unix) {
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| write_error(dir, source))?;
    }
    Ok(())
}

/// Whether anything is there, be it a link that leads nowhere.
fn exists(path: &Path) -> Result<bool, CaError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(CaError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn cannot_change(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn write_error(path: &Path, source: io::Error) -> CaError {
    CaError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
