//! A child process that never outlives this one, whatever way this one ends short of being killed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a child may take to end when asked to.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// A started program whose output goes to a file.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a program; its output is kept in the folder.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        // A group of its own, so that Ctrl-C at the terminal reaches this program alone, which then ends it in order.
        command.process_group(0);
        let process = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            process,
            log,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Fails if it has ended.
    pub(crate) fn require_running(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self
            .process
            .try_wait()
            .with_context(|| format!("cannot look at {}", self.name))?
        {
            bail!("{} ended ({status}); it printed:\n{}", self.name, self.log());
        }
        Ok(())
    }

    /// Processor time that it has used so far, as the kernel accounts for it.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The name of the program, in brackets, may hold anything. See proc_pid_stat(5): utime and stime are the
        // fields 14 and 15, in hundredths of a second on every Linux.
        let (_, fields) = text.rsplit_once(") ").context("an unknown form of stat")?;
        let ticks: Vec<u64> = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
    }

    /// Memory that it holds at the moment, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kibibytes: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse().ok())
            .context("an unknown form of status")?;
        Ok(kibibytes * 1024)
    }

    /// Asks it to end, and fails if it does not do so, or not well.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        match self.end()? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{} ended with {status}; it printed:\n{}", self.name, self.log()),
            None => bail!("{} had to be killed; it printed:\n{}", self.name, self.log()),
        }
    }

    fn end(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        if let Some(status) = self.process.try_wait()? {
            return Ok(Some(status));
        }
        let pid = Pid::from_raw(i32::try_from(self.process.id()).context("a process id out of range")?);
        // It can only be gone already, which the wait below finds out.
        let _ = kill(pid, Signal::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(LOOK);
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(None)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(Some(_)))
            && let Err(error) = self.end()
        {
            eprintln!("note: {} may still run: {error:#}", self.name);
        }
    }
}
