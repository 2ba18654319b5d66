//! A place for files that can be made full, and given room again.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::report;

/// Room for the database of a test.
const SIZE: &str = "size=32m";

pub(crate) enum Disk {
    /// A file system in memory, where mounting one is allowed: to be full is to have no block left.
    Mounted(PathBuf),
    /// A folder, of which the server may write to no file. It must not die of trying, either, see [`Disk::wrapper`].
    Limited,
}

// === impl Disk ===

impl Disk {
    /// A disk with this folder as its root.
    pub(crate) fn at(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Self::Mounted(folder);
        }
        report("no file system can be mounted here; the size of the server's files is limited instead");
        Self::Limited
    }

    /// What the server is to be started by, with its program and arguments to follow.
    pub(crate) fn wrapper(&self) -> &'static [&'static str] {
        match self {
            Self::Mounted(_) => &[],
            Self::Limited => &["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""],
        }
    }

    pub(crate) fn fill(&self, server: u32) {
        match self {
            Self::Mounted(folder) => {
                let mut filler = File::create(filler(folder)).unwrap();
                // In ever smaller pieces, to the last block.
                for piece in [1 << 20, 1 << 12, 1] {
                    while filler.write_all(&vec![0; piece]).is_ok() {}
                }
            }
            // Space that a file has already would be used again.
            Self::Limited => limit(server, "0"),
        }
    }

    pub(crate) fn give_room(&self, server: u32) {
        match self {
            Self::Mounted(folder) => fs::remove_file(filler(folder)).unwrap(),
            Self::Limited => limit(server, "unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            // At once for everybody who looks, and for good when the last file is closed.
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

fn filler(folder: &Path) -> PathBuf {
    folder.join("filler")
}

/// Sets the soft limit, which can be raised again.
fn limit(process: u32, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={bytes}:")])
        .status()
        .unwrap();
    assert!(status.success());
}
