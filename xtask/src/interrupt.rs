//! Ctrl-C and requests to end: noted, so that whatever was started is stopped in order.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// From now on an interrupt no longer ends this program at once. To be called once.
pub(crate) fn note() -> anyhow::Result<()> {
    ctrlc::set_handler(|| HAPPENED.store(true, Ordering::SeqCst)).context("cannot wait for Ctrl-C")
}

/// Whether the user asked for an end.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}
