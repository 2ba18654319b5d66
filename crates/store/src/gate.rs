//! Who may write next on SQLite, which has one lock for all writers and lets them wait for it by sleeping.
//!
//! Writes of accounts go first: a commit of records waits while one of them waits or runs. They wait in turn for at
//! most the one transaction that runs. Under an endless stream of account writes, records get a turn all the same
//! once they have waited for [`PATIENCE`], or nothing would be admitted any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// How long records give way.
const PATIENCE: Duration = Duration::from_millis(250);

/// The gate. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    turn: Arc<Mutex<()>>,
    /// How many writes of accounts wait or run.
    first: watch::Sender<usize>,
}

/// Held from before a write of accounts waits for anything until it has ended.
#[derive(Debug)]
pub(crate) struct Precedence {
    gate: Gate,
}

/// Held while a write runs.
#[derive(Debug)]
pub(crate) struct Turn {
    _turn: OwnedMutexGuard<()>,
    _precedence: Option<Precedence>,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            turn: Arc::default(),
            first: watch::Sender::new(0),
        }
    }

    /// Announces a write of accounts.
    pub(crate) fn announce(&self) -> Precedence {
        self.first.send_modify(|count| *count += 1);
        Precedence { gate: self.clone() }
    }

    /// Waits for a turn to write records.
    pub(crate) async fn turn(&self) -> Turn {
        let mut first = self.first.subscribe();
        // Neither the end of the time nor that of the channel, which cannot come, changes what is done.
        let _ = tokio::time::timeout(PATIENCE, first.wait_for(|count| *count == 0)).await;
        Turn {
            _turn: Arc::clone(&self.turn).lock_owned().await,
            _precedence: None,
        }
    }
}

// === impl Precedence ===

impl Precedence {
    /// Waits for the turn of the announced write.
    pub(crate) async fn turn(self) -> Turn {
        Turn {
            _turn: Arc::clone(&self.gate.turn).lock_owned().await,
            _precedence: Some(self),
        }
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        self.gate.first.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Whether a future is still waiting after all that can run has run.
    async fn waits<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), future)
            .await
            .is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn records_give_way_to_what_waits_and_what_runs() {
        let gate = Gate::new();
        let announced = gate.announce();
        let mut records = pin!(gate.turn());
        assert!(waits(records.as_mut()).await);
        let running = announced.turn().await;
        let next = gate.announce();
        assert!(waits(records.as_mut()).await);
        drop(running);
        assert!(waits(records.as_mut()).await, "another one is announced");
        drop(next);
        records.await;
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_wait_for_one_group_only() {
        let gate = Gate::new();
        let running = gate.turn().await;
        let mut accounts = pin!(gate.announce().turn());
        assert!(waits(accounts.as_mut()).await);
        let mut records = pin!(gate.turn());
        assert!(waits(records.as_mut()).await);
        drop(running);
        let turn = accounts.await;
        assert!(waits(records.as_mut()).await);
        drop(turn);
        records.await;
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_not_starved() {
        let gate = Gate::new();
        let _endless = gate.announce();
        let started = tokio::time::Instant::now();
        gate.turn().await;
        assert_eq!(started.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_holds_nothing() {
        let gate = Gate::new();
        let running = gate.turn().await;
        drop(tokio::time::timeout(Duration::from_millis(1), gate.announce().turn()).await);
        drop(tokio::time::timeout(Duration::from_millis(1), gate.turn()).await);
        drop(running);
        let started = tokio::time::Instant::now();
        drop(gate.turn().await);
        drop(gate.announce().turn().await);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
