//! Processors: which program runs on which, so that two programs can be compared by what one processor does with each.

use anyhow::{Context, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// One processor.
#[derive(Clone, Copy)]
pub(crate) struct Core(usize);

/// The two of a measurement.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    /// For those who ask and those who answer them.
    pub(crate) clients: Core,
    /// For what is measured, alone.
    pub(crate) measured: Core,
}

/// The calling thread.
fn this_thread() -> Pid {
    Pid::from_raw(0)
}

// === impl Cores ===

impl Cores {
    /// The first and the last processor that this program may use.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(this_thread()).context("cannot ask for the processors")?;
        let mut usable = (0..CpuSet::count()).filter(|&number| allowed.is_set(number).unwrap_or(false));
        let first = usable.next().context("there is no processor to use")?;
        let last = usable.next_back().unwrap_or(first);
        ensure!(
            first != last,
            "this measurement needs two processors, and here is one"
        );
        Ok(Self {
            clients: Core(first),
            measured: Core(last),
        })
    }
}

// === impl Core ===

impl Core {
    /// Runs something on this processor alone. What is started meanwhile stays there: it has its processor from the
    /// thread that starts it.
    pub(crate) fn run<T>(self, what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let before = sched_getaffinity(this_thread()).context("cannot ask for the processors")?;
        let mut alone = CpuSet::new();
        alone.set(self.0)?;
        sched_setaffinity(this_thread(), &alone)
            .with_context(|| format!("cannot use processor {} alone", self.0))?;
        let result = what();
        sched_setaffinity(this_thread(), &before).context("cannot use the processors of before")?;
        result
    }
}
