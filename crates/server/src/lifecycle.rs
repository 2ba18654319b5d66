//! The life of the process: signals make it drain and then abort, and a background task that dies takes it down.
//!
//! The first signal asks what is in flight to finish, the second cuts it, the third does not wait even for that. How
//! long finishing may take is up to the server, which knows what is in flight.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use gateway_relay::listen::Ending;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the server may take to end once everything was cut. It bounds its own steps; this is for a step that it
/// does not.
const ABORT_PATIENCE: Duration = Duration::from_secs(30);

/// How the process is told to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Accept no more, finish what is in flight.
    pub drain: CancellationToken,
    /// Cut what is left.
    pub abort: CancellationToken,
}

/// Why the process has not ended well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    #[error("the background task {task} {how}; the log says more")]
    Crashed { task: &'static str, how: &'static str },
    #[error("the server was told to stop at once")]
    Impatient,
    #[error("the server did not end after everything was cut")]
    Stuck,
    #[error("signals cannot be received: {0}")]
    Signals(String),
}

/// Tasks that run for as long as the server does. One that ends earlier, by a panic or otherwise, begins the
/// shutdown and makes it a failure.
#[derive(Clone, Debug)]
pub struct Background {
    tracker: TaskTracker,
    shutdown: Shutdown,
    crash: Arc<OnceLock<LifecycleError>>,
}

// === impl Shutdown ===

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// For the listeners.
    pub fn ending(&self) -> Ending {
        Ending {
            drain: self.drain.clone(),
            abort: self.abort.clone(),
        }
    }
}

impl From<Ending> for Shutdown {
    fn from(ending: Ending) -> Self {
        Self {
            drain: ending.drain,
            abort: ending.abort,
        }
    }
}

// === impl Background ===

impl Background {
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            tracker: TaskTracker::new(),
            shutdown,
            crash: Arc::new(OnceLock::new()),
        }
    }

    /// Runs a task that is to end after the drain has begun, and not before.
    pub fn spawn(&self, task: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let this = self.clone();
        self.tracker.spawn(async move {
            let how = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(()) if this.shutdown.drain.is_cancelled() => return,
                Ok(()) => "ended before the server did",
                Err(_) => "panicked",
            };
            tracing::error!(task, "a background task {how}; the server stops");
            // The first crash is the one that tells what happened.
            let _ = this.crash.set(LifecycleError::Crashed { task, how });
            this.shutdown.drain.cancel();
        });
    }

    /// Waits for all tasks, at most for so long, and says whether one of them has crashed.
    pub async fn finish(&self, patience: Duration) -> Result<(), LifecycleError> {
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_err() {
            tracing::error!(left = self.tracker.len(), "background tasks did not end in time");
            return self
                .crash
                .get()
                .map_or(Err(LifecycleError::Stuck), |crash| Err(crash.clone()));
        }
        self.crash.get().map_or(Ok(()), |crash| Err(crash.clone()))
    }
}

/// Runs the server until it ends, which SIGTERM or SIGINT asks it to do.
pub async fn run_until_signal<S>(serve: impl FnOnce(Shutdown) -> S) -> anyhow::Result<()>
where
    S: Future<Output = anyhow::Result<()>>,
{
    let signals = signals().map_err(|error| LifecycleError::Signals(error.to_string()))?;
    run(serve, signals, ABORT_PATIENCE).await
}

/// The same with signals from elsewhere, and with the time that the end may take after the abort.
async fn run<S>(
    serve: impl FnOnce(Shutdown) -> S,
    signals: impl Stream<Item = &'static str>,
    patience: Duration,
) -> anyhow::Result<()>
where
    S: Future<Output = anyhow::Result<()>>,
{
    let shutdown = Shutdown::new();
    let mut serving = std::pin::pin!(serve(shutdown.clone()));
    // Without further signals the server just goes on.
    let mut signals = std::pin::pin!(signals.chain(stream::pending()));
    let mut received = 0;
    let deadline = async {
        shutdown.abort.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    let mut deadline = std::pin::pin!(deadline);
    loop {
        tokio::select! {
            biased;
            ended = &mut serving => return ended,
            () = &mut deadline => return Err(LifecycleError::Stuck.into()),
            signal = signals.next() => {
                received += 1;
                let signal = signal.unwrap_or_default();
                match received {
                    1 => {
                        tracing::info!(signal, "stopping; requests in flight may finish");
                        shutdown.drain.cancel();
                    }
                    2 => {
                        tracing::warn!(signal, "stopping now; requests in flight are cut");
                        shutdown.drain.cancel();
                        shutdown.abort.cancel();
                    }
                    _ => return Err(LifecycleError::Impatient.into()),
                }
            }
        }
    }
}

/// The signals that ask the process to end. From here on they no longer end it by themselves.
#[cfg(unix)]
fn signals() -> std::io::Result<impl Stream<Item = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    Ok(stream::unfold(
        (terminate, interrupt),
        |(mut terminate, mut interrupt)| async {
            let (received, name) = tokio::select! {
                received = terminate.recv() => (received, "SIGTERM"),
                received = interrupt.recv() => (received, "SIGINT"),
            };
            received.map(|()| (name, (terminate, interrupt)))
        },
    ))
}

#[cfg(not(unix))]
fn signals() -> std::io::Result<impl Stream<Item = &'static str>> {
    Ok(stream::unfold((), |()| async {
        tokio::signal::ctrl_c().await.ok().map(|()| ("Ctrl-C", ()))
    }))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    type Sender = mpsc::UnboundedSender<&'static str>;

    fn sent() -> (Sender, impl Stream<Item = &'static str>) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        (
            sender,
            stream::poll_fn(move |context| receiver.poll_recv(context)),
        )
    }

    fn crash(error: &anyhow::Error) -> &LifecycleError {
        error.downcast_ref().unwrap()
    }

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_aborts() {
        let (sender, signals) = sent();
        sender.send("SIGTERM").unwrap();
        let serve = |shutdown: Shutdown| async move {
            shutdown.drain.cancelled().await;
            assert!(!shutdown.abort.is_cancelled());
            sender.send("SIGINT").unwrap();
            shutdown.abort.cancelled().await;
            Ok(())
        };
        run(serve, signals, ABORT_PATIENCE).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_has_drained_ends_well() {
        let (sender, signals) = sent();
        let serve = |shutdown: Shutdown| async move {
            sender.send("SIGTERM").unwrap();
            shutdown.drain.cancelled().await;
            Ok(())
        };
        run(serve, signals, ABORT_PATIENCE).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_server_fails_with_comes_out() {
        let serve = |_| async { Err(anyhow::anyhow!("no database")) };
        let error = run(serve, stream::pending(), ABORT_PATIENCE).await.unwrap_err();
        assert_eq!(error.to_string(), "no database");
    }

    #[tokio::test]
    async fn a_third_signal_waits_for_nothing() {
        let signals = stream::iter(["SIGINT", "SIGINT", "SIGINT"]);
        let never = |_| std::future::pending();
        let error = run(never, signals, ABORT_PATIENCE).await.unwrap_err();
        assert_eq!(crash(&error), &LifecycleError::Impatient);
    }

    #[tokio::test]
    async fn a_server_that_does_not_end_is_left_behind() {
        let signals = stream::iter(["SIGTERM", "SIGTERM"]);
        let never = |_| std::future::pending();
        let error = run(never, signals, Duration::ZERO).await.unwrap_err();
        assert_eq!(crash(&error), &LifecycleError::Stuck);
    }

    #[tokio::test]
    async fn a_background_task_that_crashes_drains_and_is_named() {
        for (task, how) in [("panics", "panicked"), ("returns", "ended before the server did")] {
            let shutdown = Shutdown::new();
            let background = Background::new(shutdown.clone());
            background.spawn(task, async move { assert_eq!(task, "returns", "on purpose") });
            shutdown.drain.cancelled().await;
            let error = background.finish(Duration::from_mins(1)).await.unwrap_err();
            assert_eq!(error, LifecycleError::Crashed { task, how });
        }
    }

    #[tokio::test]
    async fn background_tasks_are_waited_for_but_not_for_ever() {
        let shutdown = Shutdown::new();
        let background = Background::new(shutdown.clone());
        let (drain, (done, written)) = (shutdown.drain.clone(), tokio::sync::oneshot::channel());
        background.spawn("flushes", async move {
            drain.cancelled().await;
            tokio::task::yield_now().await;
            done.send(()).unwrap();
        });
        shutdown.drain.cancel();
        background.finish(Duration::from_mins(1)).await.unwrap();
        written.await.unwrap();

        let background = Background::new(shutdown);
        background.spawn("hangs", std::future::pending());
        let error = background.finish(Duration::ZERO).await.unwrap_err();
        assert_eq!(error, LifecycleError::Stuck);
    }
}
