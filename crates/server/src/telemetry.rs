//! The log: where its lines go, and what is taken out of them on the way.
//!
//! Every line, panics included, passes through a writer that reduces gateway tokens to their public part. That is
//! the last line of defence; whoever logs leaves secrets out to begin with.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::sync::Arc;

use gateway_core::token::{find_shape, redact};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogTarget};

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("cannot open the log file {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("a log was set up before")]
    AlreadySetUp,
}

/// Where lines go. The log hands over each as a whole, in one write, so that lines of different threads do not mix.
#[derive(Clone, Debug)]
enum Sink {
    Stdout,
    Stderr,
    File(Arc<File>),
}

/// Makes writers that take gateway tokens out.
#[derive(Clone, Debug)]
struct Redacting<M>(M);

/// A writer that takes gateway tokens out.
#[derive(Debug)]
struct RedactingWriter<W>(W);

/// Sets up the log for the whole process, panics included.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let human = config.human.as_ref().map(Sink::open).transpose()?;
    let json = config.json.as_ref().map(Sink::open).transpose()?;
    let human = human.map(|sink| {
        let has_colour = sink.is_terminal();
        human_layer(sink, has_colour)
    });
    tracing_subscriber::registry()
        .with(config.filter())
        .with(human)
        .with(json.map(json_layer))
        .try_init()
        .map_err(|_| TelemetryError::AlreadySetUp)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Where lines go that are JSON already: where the log for programs goes, else standard output. They are written whole.
pub fn lines(config: &LogConfig) -> Result<Box<dyn Write + Send>, TelemetryError> {
    let sink = Sink::open(config.json.as_ref().unwrap_or(&LogTarget::Stdout))?;
    Ok(Box::new(RedactingWriter(Lines(sink))))
}

fn human_layer<S, M>(sink: M, has_colour: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .fmt_fields(DefaultFields::new())
        .with_ansi(has_colour)
        .log_internal_errors(false)
        .with_writer(Redacting(sink))
}

fn json_layer<S, M>(sink: M) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .json()
        .fmt_fields(JsonFields::new())
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(Redacting(sink))
}

/// Instead of the text that a panic would otherwise put on standard error.
fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("without a message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "a task panicked: {message}");
}

/// A sink to write to directly.
struct Lines(Sink);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.make_writer().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.make_writer().flush()
    }
}

// === impl Sink ===

impl Sink {
    fn open(target: &LogTarget) -> Result<Self, TelemetryError> {
        let path = match target {
            LogTarget::Stdout => return Ok(Self::Stdout),
            LogTarget::Stderr => return Ok(Self::Stderr),
            LogTarget::File(path) => path,
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        match options.open(path) {
            Ok(file) => Ok(Self::File(Arc::new(file))),
            Err(source) => Err(TelemetryError::Open {
                path: path.clone(),
                source,
            }),
        }
    }

    fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
            Self::File(_) => false,
        }
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Box<dyn Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match self {
            Self::Stdout => Box::new(io::stdout().lock()),
            Self::Stderr => Box::new(io::stderr().lock()),
            Self::File(file) => Box::new(&**file),
        }
    }
}

// === impl Redacting ===

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacting<M> {
    type Writer = RedactingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter(self.0.make_writer())
    }
}

impl<W: Write> Write for RedactingWriter<W> {
    /// Takes a whole line, so that no token stands half in one call and half in the next.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if find_shape(line).is_none() {
            self.0.write_all(line)?;
        } else {
            self.0
                .write_all(redact(&String::from_utf8_lossy(line)).as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use gateway_core::ApiToken;
    use tracing::subscriber::with_default;

    use super::*;

    fn token() -> ApiToken {
        ApiToken::generate(&mut rand::rng())
    }

    /// What is logged by `write`, as people and as programs read it.
    fn logged(write: impl FnOnce()) -> [String; 2] {
        let human = Arc::new(Mutex::new(Vec::new()));
        let json = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry()
            .with(human_layer(Shared(Arc::clone(&human)), false))
            .with(json_layer(Shared(Arc::clone(&json))));
        with_default(subscriber, write);
        [human, json].map(|lines| String::from_utf8(lines.lock().unwrap().clone()).unwrap())
    }

    #[derive(Clone)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Shared {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn no_line_holds_a_token_wherever_it_stands() {
        let (message, field, span) = (token(), token(), token());
        let lines = logged(|| {
            let span = tracing::info_span!("request", header = span.expose());
            let _entered = span.enter();
            tracing::info!(url = %format!("/x?t={}&u=1", field.expose()), "refused {}", message.expose());
        });
        for line in &lines {
            for token in [&message, &field, &span] {
                let secret = &token.expose()[15..];
                assert!(!line.contains(secret), "{line}");
                assert!(line.contains(&token.id().to_string()), "{line}");
            }
        }
        assert!(
            serde_json::from_str::<serde_json::Value>(&lines[1]).is_ok(),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn a_line_without_a_token_is_left_as_it_is() {
        let [human, _] = logged(|| tracing::warn!(count = 3, "grüße cdr_ und mehr"));
        assert!(
            human.contains("WARN") && human.trim_end().ends_with("grüße cdr_ und mehr count=3"),
            "{human}"
        );
    }

    #[test]
    fn a_file_is_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        fs::write(&path, "before\n").unwrap();
        let token = token();
        for _ in 0..2 {
            let sink = Sink::open(&LogTarget::File(path.clone())).unwrap();
            let subscriber = tracing_subscriber::registry().with(json_layer(sink));
            with_default(subscriber, || tracing::info!("token {}", token.expose()));
        }
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content.lines().count(), 3);
        assert!(
            content.starts_with("before\n") && !content.contains(token.expose()),
            "{content}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Sink::open(&LogTarget::File(folder.path().join("no/such/log"))).unwrap_err();
        assert!(error.to_string().contains("no/such/log"), "{error}");
    }
}
