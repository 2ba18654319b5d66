//! Runs the simulated provider until it is interrupted.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gateway_testkit::sim::{Sim, SimConfig, TlsPem};
use tokio::net::TcpListener;

/// A simulated LLM provider for tests and demonstrations.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Credential to accept, may be repeated; without it any is accepted
    #[arg(long = "accept-key", value_name = "KEY")]
    accept_keys: Vec<String>,
    /// PEM file of the certificate chain; with it only TLS is spoken
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nothing is left to do if even standard error is closed.
            let _ = writeln!(std::io::stderr(), "llm-sim: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificates), Some(key)) => Some(TlsPem {
            certificates: read(certificates)?,
            key: read(key)?,
        }),
        _ => None,
    };
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let config = SimConfig {
        listener: Some(listener),
        accept_keys: options.accept_keys,
        tls,
    };
    let sim = Sim::start(config).await.map_err(|error| error.to_string())?;
    {
        let mut stdout = std::io::stdout().lock();
        // Whoever started this may have closed its end; the provider serves all the same.
        let _ = writeln!(stdout, "{}", sim.base_url()).and_then(|()| stdout.flush());
    }
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| format!("cannot wait for signals: {error}"))?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    sim.shutdown().await;
    Ok(())
}
