//! Turns of an HTTP/2 connection's task, by which others learn what has reached the kernel.
//!
//! h2 takes frames from its queues into a buffer under its lock and writes that buffer out after letting the lock
//! go. So a stream can be reset, and its queue be empty, while a frame of it is on its way to the socket. One poll of
//! the connection, a turn, moves everything that may be sent into the buffer and writes it out, unless the kernel
//! takes no more. A turn that begins after a reset and ends with the kernel not full has therefore written out whatever
//! was staged before, and staged nothing of the stream.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::io::Line;

pub(super) struct Turns {
    line: Arc<Line>,
    asked: Mutex<Asked>,
    /// The last asked for of the turns that are over.
    over: watch::Sender<u64>,
}

#[derive(Default)]
struct Asked {
    last: u64,
    driver: Option<Waker>,
}

/// Held by the connection's task while the connection lives; no turn is waited for beyond that.
pub(super) struct Driver(Arc<Turns>);

// === impl Turns ===

impl Turns {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Self {
            line,
            asked: Mutex::default(),
            over: watch::Sender::new(0),
        }
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Asks for a turn that begins from now on, and wakes the connection's task for it. Returns its number.
    pub(super) fn ask(&self) -> u64 {
        let mut asked = self.asked.lock();
        asked.last += 1;
        let (number, driver) = (asked.last, asked.driver.take());
        drop(asked);
        if let Some(driver) = driver {
            driver.wake();
        }
        number
    }

    pub(super) fn is_over(&self, number: u64) -> bool {
        *self.over.borrow() >= number
    }

    /// Ready when the turn is over, or the connection is gone.
    pub(super) async fn wait(&self, number: u64) {
        // The sender lives as long as this.
        let _ = self.over.subscribe().wait_for(|over| *over >= number).await;
    }

    /// Ready when the connection is gone.
    pub(super) async fn gone(&self) {
        self.wait(u64::MAX).await;
    }
}

// === impl Driver ===

impl Driver {
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        Self(turns)
    }

    pub(super) fn turns(&self) -> &Arc<Turns> {
        &self.0
    }

    /// Runs one turn: `poll` must drive the connection until it waits for its peer.
    pub(super) fn turn<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let asked = {
            let mut asked = self.0.asked.lock();
            asked.driver = Some(cx.waker().clone());
            asked.last
        };
        let polled = poll(cx);
        if !self.0.is_over(asked) && !self.0.line.is_blocked() {
            self.0.over.send_replace(asked);
        }
        polled
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.over.send_replace(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(driver: &Driver, act: impl FnOnce()) {
        let mut cx = Context::from_waker(Waker::noop());
        let _: Poll<()> = driver.turn(&mut cx, |_| {
            act();
            Poll::Pending
        });
    }

    #[test]
    fn only_a_turn_that_began_later_and_wrote_all_counts() {
        let line = Arc::new(Line::default());
        let driver = Driver::new(Arc::new(Turns::new(Arc::clone(&line))));
        let turns = driver.turns();
        turn(&driver, || {
            turns.ask();
        });
        assert!(!turns.is_over(1), "it had begun before");
        turn(&driver, || line.set_blocked(true));
        assert!(!turns.is_over(1), "bytes were left");
        turn(&driver, || line.set_blocked(false));
        assert!(turns.is_over(1));
        assert!(!turns.is_over(2));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_connection_that_is_gone() {
        let turns = Arc::new(Turns::new(Arc::default()));
        let driver = Driver::new(Arc::clone(&turns));
        drop(driver);
        turns.wait(turns.ask()).await;
        turns.gone().await;
    }
}
