//! CONNECT to a proxy further on, against small ones on real sockets.

mod cut;
mod settings;

use std::net::SocketAddr;
use std::time::Duration;

use gateway_relay::access::registry::Sever as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::dial::tests::{Answer, Script, addresses, connect, target};
use crate::dial::{Cord, DialOptions, Dialer};

/// A proxy that takes one connection.
struct Proxy {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// What a proxy was asked, and the connection after its answer.
struct Asked {
    head: String,
    io: Box<dyn Io>,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct TestCa(CertifiedIssuer<'static, KeyPair>);

impl TestCa {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::Pkcs8(key.serialize_der().into()),
                )
                .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Proxy {
    async fn new(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        Self { listener, tls }
    }

    /// Its address in a configuration, with `credentials` up to the at-sign.
    fn address(&self, credentials: &str) -> Secret {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let address = self.listener.local_addr().unwrap();
        format!("{scheme}://{credentials}{address}").into()
    }

    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        let (io, _) = self.listener.accept().await?;
        Ok(match &self.tls {
            Some(tls) => Box::new(tls.accept(io).await?),
            None => Box::new(io),
        })
    }

    /// Reads a request and answers it.
    async fn answer(&self, answer: &[u8]) -> io::Result<Asked> {
        let mut io = self.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await?);
        }
        io.write_all(answer).await?;
        io.flush().await?;
        let head = String::from_utf8(head).unwrap();
        Ok(Asked { head, io })
    }

    fn is_untouched(&self) -> bool {
        futures_util::FutureExt::now_or_never(self.listener.accept()).is_none()
    }
}

fn dialer(address: &Secret, ca: &[CertificateDer<'static>], answer: Answer) -> Dialer {
    let options = DialOptions {
        upstream: Some(UpstreamProxy::new(address, ca).unwrap()),
        ..DialOptions::default()
    };
    Dialer::new(options, Script::new([answer]))
}

async fn echo(tunnel: &mut Dialed, io: &mut dyn Io) {
    let mut read = [0; 4];
    tunnel.write_all(b"ping").await.unwrap();
    tunnel.flush().await.unwrap();
    io.read_exact(&mut read).await.unwrap();
    io.write_all(&read).await.unwrap();
    io.flush().await.unwrap();
    tunnel.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
}

#[tokio::test]
async fn a_tunnel_leads_through_the_proxy_by_name() {
    let proxy = Proxy::new(None).await;
    let dialer = dialer(&proxy.address(""), &[], addresses(&["8.8.8.8"]));
    let destination = target("Some.Example", 443);
    let (tunnel, asked) = tokio::join!(
        connect(&dialer, &destination),
        proxy.answer(b"HTTP/1.1 200 Connection established\r\n\r\n"),
    );
    let (mut tunnel, mut asked) = (tunnel.unwrap(), asked.unwrap());
    assert_eq!(
        asked.head,
        "CONNECT some.example:443 HTTP/1.1\r\nHost: some.example:443\r\n\r\n"
    );
    echo(&mut tunnel, &mut asked.io).await;
}

#[tokio::test]
async fn a_proxy_over_tls_is_trusted_by_its_private_authority_alone() {
    let ca = TestCa::new();
    let proxy = Proxy::new(Some(ca.acceptor("127.0.0.1"))).await;
    let address = proxy.address("");
    let destination = target("some.example", 443);

    let trusting = dialer(&address, &[ca.der()], addresses(&["8.8.8.8"]));
    let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nahead of";
    let (tunnel, asked) = tokio::join!(connect(&trusting, &destination), proxy.answer(answer));
    let (mut tunnel, mut asked) = (tunnel.unwrap(), asked.unwrap());
    let mut ahead = [0; 8];
    tunnel.read_exact(&mut ahead).await.unwrap();
    assert_eq!(&ahead, b"ahead of");
    echo(&mut tunnel, &mut asked.io).await;
    tunnel.line().sever();
    assert!(tunnel.write_all(b"late").await.is_err());

    let other = TestCa::new();
    let wary = dialer(&address, &[other.der()], addresses(&["8.8.8.8"]));
    let (tunnel, asked) = tokio::join!(connect(&wary, &destination), proxy.answer(answer));
    let error = tunnel.unwrap_err();
    assert!(matches!(error, DialError::UpstreamConnect(_)), "{error:?}");
    assert!(asked.is_err(), "asked all the same");

    let misnamed = Proxy::new(Some(ca.acceptor("proxy.example"))).await;
    let dialer = dialer(&misnamed.address(""), &[ca.der()], addresses(&["8.8.8.8"]));
    let (tunnel, _) = tokio::join!(connect(&dialer, &destination), misnamed.answer(answer));
    assert!(matches!(tunnel.unwrap_err(), DialError::UpstreamConnect(_)));
}

#[tokio::test]
async fn credentials_are_decoded_and_sent() {
    let cases: [(&str, &[u8]); 4] = [
        ("us%40er:p%3Ass%20w%C3%B6rd@", "us@er:p:ss wörd".as_bytes()),
        (":alone@", b":alone"),
        ("alone@", b"alone:"),
        ("user:p%FFss@", b"user:p\xFFss"),
    ];
    for (credentials, decoded) in cases {
        let proxy = Proxy::new(None).await;
        let dialer = dialer(&proxy.address(credentials), &[], Answer::Failure);
        let destination = target("some.example", 80);
        let (tunnel, asked) = tokio::join!(
            connect(&dialer, &destination),
            proxy.answer(b"HTTP/1.1 200 OK\r\n\r\n")
        );
        tunnel.unwrap();
        let line = format!("\r\nProxy-Authorization: Basic {}\r\n", STANDARD.encode(decoded));
        assert!(asked.unwrap().head.contains(&line), "{credentials}");
    }
}

#[tokio::test]
async fn refusals_carry_the_status_and_nothing_else() {
    for status in [100, 101, 201, 204, 302, 400, 403, 407, 502] {
        let proxy = Proxy::new(None).await;
        let dialer = dialer(&proxy.address("user:hunter2@"), &[], Answer::Failure);
        let destination = target("some.example", 443);
        let answer = format!("HTTP/1.1 {status} hunter2\r\nProxy-Authenticate: Basic\r\n\r\nhunter2");
        let (tunnel, _) = tokio::join!(connect(&dialer, &destination), proxy.answer(answer.as_bytes()));
        let error = tunnel.unwrap_err();
        assert!(matches!(error, DialError::UpstreamRefused(told) if told == status));
        assert_eq!(error.status(), 502);
        assert_eq!(
            error.to_string(),
            format!("the upstream proxy refused the tunnel with status {status}")
        );
    }
}

#[tokio::test]
async fn what_is_no_answer_is_no_tunnel() {
    let answers: [&[u8]; 12] = [
        b"",
        b"HTTP/1.1 200 OK\r\nHalf: a head\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 \xff\xff\xff OK\r\n\r\n",
    ];
    for answer in answers {
        let proxy = Proxy::new(None).await;
        let dialer = dialer(&proxy.address(""), &[], Answer::Failure);
        let destination = target("some.example", 443);
        let closing = async { drop(proxy.answer(answer).await) };
        let (tunnel, ()) = tokio::join!(connect(&dialer, &destination), closing);
        let error = tunnel.unwrap_err();
        let answer = String::from_utf8_lossy(answer);
        assert!(
            matches!(error, DialError::UpstreamAnswer(_)),
            "{answer:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn an_endless_head_is_read_up_to_its_bound() {
    let proxy = Proxy::new(None).await;
    let dialer = dialer(&proxy.address(""), &[], Answer::Failure);
    let destination = target("some.example", 443);
    let endless = async {
        let mut io = proxy.answer(b"HTTP/1.1 200 OK\r\n").await.unwrap().io;
        while io.write_all(&[b'a'; 1024]).await.is_ok() {}
    };
    let (tunnel, ()) = tokio::join!(async { connect(&dialer, &destination).await.map(drop) }, endless);
    assert!(matches!(tunnel.unwrap_err(), DialError::UpstreamAnswer(_)));
}

#[tokio::test]
async fn a_head_may_come_in_any_pieces_and_just_fill_its_bound() {
    for (length, is_taken) in [(19, true), (40, true), (MAX_HEAD, true), (MAX_HEAD + 1, false)] {
        for piece in [1, 2, 3, 5, 18, 19, 20, MAX_HEAD, 2 * MAX_HEAD] {
            let mut sent = b"HTTP/1.1 200 OK\r\n".to_vec();
            sent.resize(length - 2, b'a');
            if length > 19 {
                sent.truncate(length - 4);
                sent.extend(b"\r\n");
            }
            sent.extend(b"\r\nof the tunnel");
            let (mut near, mut far) = tokio::io::duplex(piece);
            let (read, ()) = tokio::join!(
                async {
                    let read = read_head(&mut near).await;
                    let mut rest = Vec::new();
                    if read.is_ok() {
                        near.read_to_end(&mut rest).await.unwrap();
                    }
                    drop(near);
                    read.map(|(head, at)| [head, rest].concat().split_off(at))
                },
                async {
                    let _ = far.write_all(&sent).await;
                    drop(far);
                },
            );
            assert_eq!(
                read.is_ok(),
                is_taken,
                "{length} bytes in pieces of {piece}: {read:?}"
            );
            if let Ok(rest) = read {
                assert_eq!(rest, b"of the tunnel", "{length} bytes in pieces of {piece}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_keeps_silent_is_given_up_in_time() {
    let proxy = Proxy::new(None).await;
    let dialer = dialer(&proxy.address(""), &[], Answer::Failure);
    let start = Instant::now();
    let error = connect(&dialer, &target("some.example", 443)).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_from_a_destination() {
    // Bound, so that the port is nobody else's, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let dialer = dialer(&address.into(), &[], Answer::Failure);
    let error = connect(&dialer, &target("some.example", 443)).await.unwrap_err();
    assert!(matches!(error, DialError::UpstreamConnect(_)), "{error:?}");
    assert_eq!(error.status(), 502);
}

#[tokio::test]
async fn blocked_destinations_never_reach_the_proxy() {
    let proxy = Proxy::new(None).await;
    let cases = [
        ("some.example", addresses(&["10.0.0.1"])),
        // The proxy might choose just the one.
        ("some.example", addresses(&["8.8.8.8", "::1"])),
        ("127.0.0.1", Answer::Silence),
        ("[::ffff:169.254.169.254]", Answer::Silence),
        ("2130706433", Answer::Silence),
        ("localhost", Answer::Failure),
        ("any.localhost", Answer::Failure),
    ];
    for (host, answer) in cases {
        let dialer = dialer(&proxy.address(""), &[], answer);
        let error = connect(&dialer, &target(host, 443)).await.unwrap_err();
        assert!(matches!(error, DialError::Blocked(_)), "{host}: {error:?}");
        let error = connect(&dialer, &target(host, 22)).await.unwrap_err();
        assert!(
            matches!(error, DialError::PortNotAllowed(22)),
            "{host}: {error:?}"
        );
    }
    assert!(proxy.is_untouched());
}

/// Or else who keeps the look-ups busy could have any name pass.
#[tokio::test(start_paused = true)]
async fn a_name_that_could_not_be_looked_up_does_not_reach_the_proxy() {
    let proxy = Proxy::new(None).await;
    let dialer = dialer(&proxy.address(""), &[], Answer::Crowd);
    let error = connect(&dialer, &target("some.example", 443)).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut), "{error:?}");
    assert!(proxy.is_untouched());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_unknown_here_is_left_to_the_proxy() {
    for (host, answer) in [
        ("some.example", Answer::Failure),
        ("some.example", Answer::Silence),
        ("some.example", addresses(&[])),
        ("8.8.8.8", Answer::Silence),
        ("[2606:4700::1111]", Answer::Silence),
    ] {
        let proxy = Proxy::new(None).await;
        let dialer = dialer(&proxy.address(""), &[], answer);
        let destination = target(host, 443);
        let start = Instant::now();
        let (tunnel, asked) = tokio::join!(
            connect(&dialer, &destination),
            proxy.answer(b"HTTP/1.1 200 OK\r\n\r\n"),
        );
        tunnel.unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{host} takes {:?}",
            start.elapsed()
        );
        let line = format!("CONNECT {host}:443 HTTP/1.1\r\n");
        assert!(asked.unwrap().head.starts_with(&line), "{host}");
    }
}
