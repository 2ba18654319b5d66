//! Ending a client's TLS towards a provider's host.
//!
//! What is decrypted goes to the service with the provider and the token that the connection stands for. It must be meant
//! for the host that the client asked the proxy for, since the token was checked for that one.

mod pinning;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::ProviderName;
use gateway_relay::Pinned;
use gateway_relay::listen::{Connection, Ending, Serve};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connect::Authority;
use crate::pass::Pass;
use crate::proxy::{Answer, Client, ESTABLISHED, Outcome};
use pinning::Pinning;

/// Ends TLS within `limit`.
pub(crate) async fn accept_tls<I>(
    tls: Arc<rustls::ServerConfig>,
    io: I,
    limit: Duration,
) -> io::Result<TlsStream<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    tokio::time::timeout(limit, TlsAcceptor::from(tls).accept(io))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the client was too slow")))
}

/// Serves an intercepted connection to its end.
pub(crate) async fn run<S: Serve, I>(
    client: Client,
    mut io: I,
    authority: Authority,
    provider: ProviderName,
    mut pass: Pass,
    service: S,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (shared, peer) = (Arc::clone(&client.shared), client.peer);
    let tls = match shared.leaves.for_host(&authority.host) {
        Ok(tls) => tls,
        Err(error) => {
            tracing::warn!(%authority, %error, "no certificate could be made for an intercepted host");
            let answer = Answer::new(
                StatusCode::BAD_GATEWAY,
                "the proxy could not make a certificate for this host",
            );
            client.note(Outcome::NoCertificate, answer.message());
            return answer.send_last(io).await;
        }
    };
    client.note(Outcome::Intercepted, "a connection is intercepted");
    let _open = shared.counters.open_intercepted();
    let opening = async {
        io.write_all(ESTABLISHED).await?;
        io.flush().await?;
        accept_tls(tls, io, shared.options.handshake_timeout).await
    };
    let opened = tokio::select! {
        opened = opening => opened,
        over = pass.over() => return tracing::debug!(%peer, %authority, %over, "a handshake was broken off"),
        () = client.ending.drain.cancelled() => return,
    };
    match opened {
        Ok(io) => serve(client, io, authority, provider, pass, service).await,
        Err(error) => {
            shared.counters.count_failed_handshake();
            tracing::debug!(
                %peer, %authority, %error,
                "a TLS handshake with an intercepted host failed; does the client trust the proxy's certificate?"
            );
        }
    }
}

async fn serve<S: Serve, I>(
    client: Client,
    io: TlsStream<I>,
    authority: Authority,
    provider: ProviderName,
    mut pass: Pass,
    service: S,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = client.peer;
    // Clients that agree on nothing speak HTTP/1.1.
    let is_http2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
    // Drained with the listener, and when the right to the connection is over: what is idle is closed, while what is in
    // flight has a right of its own, which a cut takes away with the connection, and an expiry does not.
    let drain = client.ending.drain.child_token();
    let pinned = Pinned {
        provider,
        token: pass.token().clone(),
    };
    let counters = Arc::clone(&client.shared.counters);
    let connection = Connection {
        service: Pinning::new(service, pinned, authority, counters),
        peer,
        line: Arc::clone(&client.line),
        ending: Ending {
            drain: drain.clone(),
            abort: client.ending.abort.clone(),
        },
        tasks: client.tasks.clone(),
    };
    let mut serving = pin!(connection.serve(io, is_http2));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        over = pass.over() => {
            tracing::debug!(%peer, %over, "an intercepted connection is drained");
            drain.cancel();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "an intercepted connection ended early");
    }
}
