//! Direct connections: what is resolved, checked and dialled, and when it is given up.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_relay::access::registry::Sever as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

use super::*;

/// Gives its answers one after the other, then the last one again and again.
pub(super) struct Script {
    answers: Vec<Answer>,
    asked: AtomicUsize,
}

#[derive(Clone)]
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
    Failure,
    Silence,
    /// The look-up does not even begin.
    Crowd,
}

impl Script {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: answers.into_iter().collect(),
            asked: AtomicUsize::new(0),
        })
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Script {
    fn resolve<'a>(&'a self, _who: Who, _name: &'a str, limit: Duration) -> Resolving<'a> {
        let at = self
            .asked
            .fetch_add(1, Ordering::SeqCst)
            .min(self.answers.len() - 1);
        let answer = self.answers[at].clone();
        Box::pin(async move {
            match answer {
                Answer::Addresses(addresses) => Ok(addresses),
                Answer::Failure => Err(io::Error::other("no such name")),
                Answer::Silence => Ok(tokio::time::timeout(limit, std::future::pending()).await?),
                Answer::Crowd => std::future::pending().await,
            }
        })
    }
}

pub(super) fn addresses(all: &[&str]) -> Answer {
    Answer::Addresses(all.iter().map(|address| address.parse().unwrap()).collect())
}

pub(super) fn target(host: &str, port: u16) -> Authority {
    Authority {
        host: Host::parse(host).unwrap(),
        port,
    }
}

pub(super) fn somebody() -> Who {
    Who::Network(Ipv4Addr::LOCALHOST.into())
}

/// Without anybody who could cut it off.
pub(super) async fn connect(dialer: &Dialer, target: &Authority) -> Result<Dialed, DialError> {
    dialer.connect(somebody(), target, &Cord::default()).await
}

fn options(port: u16, networks: &[&str]) -> DialOptions {
    DialOptions {
        allowed_ports: vec![port],
        allowed_networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        ..DialOptions::default()
    }
}

/// Listeners on addresses of the loopback network, all with one port.
async fn listeners(hosts: &[[u8; 4]]) -> (Vec<TcpListener>, u16) {
    loop {
        let first = TcpListener::bind((Ipv4Addr::from(hosts[0]), 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut all = vec![first];
        for host in &hosts[1..] {
            if let Ok(next) = TcpListener::bind((Ipv4Addr::from(*host), port)).await {
                all.push(next);
            }
        }
        if all.len() == hosts.len() {
            return (all, port);
        }
    }
}

/// A listener whose queue is full: the kernel drops what further clients send.
struct Deaf {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<std::net::TcpStream>,
}

impl Deaf {
    fn new(host: [u8; 4], port: u16) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::from(host), port).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            queued.push(stream);
            assert!(queued.len() < 64, "the queue has no end");
        }
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// Nobody has connected, or is about to.
fn is_untouched(listener: &TcpListener) -> bool {
    futures_util::FutureExt::now_or_never(listener.accept()).is_none()
}

#[tokio::test]
async fn what_was_checked_is_dialled_though_the_name_means_something_else_by_now() {
    let (listeners, port) = listeners(&[[127, 0, 0, 1], [127, 0, 0, 2]]).await;
    let script = Script::new([addresses(&["127.0.0.1"]), addresses(&["127.0.0.2"])]);
    let dialer = Dialer::new(options(port, &["127.0.0.1/32"]), Arc::clone(&script) as _);

    let mut tunnel = connect(&dialer, &target("rebind.example", port)).await.unwrap();
    assert_eq!(script.asked(), 1);
    let (mut accepted, _) = listeners[0].accept().await.unwrap();
    assert!(is_untouched(&listeners[1]));

    tunnel.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    accepted.read_exact(&mut read).await.unwrap();
    accepted.write_all(&read).await.unwrap();
    tunnel.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");

    let error = connect(&dialer, &target("rebind.example", port))
        .await
        .unwrap_err();
    assert!(matches!(error, DialError::Blocked(_)), "{error:?}");
    assert_eq!(script.asked(), 2);
    assert!(is_untouched(&listeners[1]));
}

#[tokio::test]
async fn blocked_addresses_among_others_are_left_out() {
    let (listeners, port) = listeners(&[[127, 0, 0, 1], [127, 0, 0, 2]]).await;
    let script = Script::new([addresses(&["127.0.0.2", "::ffff:127.0.0.2", "::1", "127.0.0.1"])]);
    let dialer = Dialer::new(options(port, &["127.0.0.1/32"]), script);
    connect(&dialer, &target("mixed.example", port)).await.unwrap();
    listeners[0].accept().await.unwrap();
    assert!(is_untouched(&listeners[1]));
}

#[tokio::test]
async fn a_literal_is_checked_like_a_name_and_never_resolved() {
    let (listeners, port) = listeners(&[[127, 0, 0, 1]]).await;
    let script = Script::new([Answer::Silence]);
    let spellings = ["127.0.0.1", "2130706433", "0177.1", "[::ffff:127.0.0.1]"];
    let closed = Dialer::new(options(port, &[]), Arc::clone(&script) as _);
    for spelled in spellings {
        let error = connect(&closed, &target(spelled, port)).await.unwrap_err();
        assert!(matches!(error, DialError::Blocked(_)), "{spelled}: {error:?}");
    }
    assert!(is_untouched(&listeners[0]));
    let open = Dialer::new(options(port, &["127.0.0.0/8"]), Arc::clone(&script) as _);
    for spelled in spellings {
        connect(&open, &target(spelled, port)).await.unwrap();
        listeners[0].accept().await.unwrap();
    }
    assert_eq!(script.asked(), 0);
}

#[tokio::test]
async fn a_port_that_is_not_allowed_is_not_even_resolved() {
    let script = Script::new([Answer::Silence]);
    let dialer = Dialer::new(DialOptions::default(), Arc::clone(&script) as _);
    for port in [0, 22, 25, 8080, 8443, u16::MAX] {
        let error = connect(&dialer, &target("mail.example", port)).await.unwrap_err();
        assert!(matches!(error, DialError::PortNotAllowed(refused) if refused == port));
        assert_eq!(error.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(script.asked(), 0);
}

#[tokio::test]
async fn the_client_learns_what_failed_but_no_address() {
    // Bound, so that the port is nobody else's, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let refused = |answer| {
        let dialer = Dialer::new(options(port, &["127.0.0.1/32"]), Script::new([answer]));
        async move { connect(&dialer, &target("some.example", port)).await.unwrap_err() }
    };
    let cases = [
        (
            addresses(&["10.1.2.3", "fd00::1"]),
            403,
            "not on the public internet",
        ),
        (addresses(&["127.0.0.1"]), 502, "could not be connected"),
        (addresses(&[]), 502, "could not be resolved"),
        (Answer::Failure, 502, "could not be resolved"),
    ];
    for (answer, status, text) in cases {
        let error = refused(answer).await;
        assert_eq!(error.status(), status, "{error}");
        let told = error.to_string();
        assert!(told.contains(text), "{told}");
        for address in ["10.1", "fd00", "127.0"] {
            assert!(!told.contains(address), "{told}");
        }
    }
}

#[tokio::test]
async fn only_so_many_addresses_of_a_name_are_tried() {
    let (_listeners, port) = listeners(&[[127, 0, 0, 1]]).await;
    let with_refusing = |count: u8| {
        let refusing = (0..count).map(|at| IpAddr::from([127, 0, 1, at]));
        let answer = Answer::Addresses(refusing.chain([IpAddr::from([127, 0, 0, 1])]).collect());
        let dialer = Dialer::new(options(port, &["127.0.0.0/8"]), Script::new([answer]));
        async move { connect(&dialer, &target("many.example", port)).await }
    };
    let most = u8::try_from(MAX_ATTEMPTS).unwrap();
    with_refusing(most - 1).await.unwrap();
    let error = with_refusing(most).await.unwrap_err();
    assert!(matches!(error, DialError::Connect(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_keeps_silent_is_given_up_in_time() {
    let dialer = Dialer::new(options(443, &[]), Script::new([Answer::Silence]));
    let start = Instant::now();
    let error = connect(&dialer, &target("silent.example", 443))
        .await
        .unwrap_err();
    assert!(matches!(error, DialError::TimedOut), "{error:?}");
    assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_never_accepts_is_given_up_in_time() {
    let deaf = Deaf::new([127, 0, 0, 2], 0);
    let port = deaf.address.port();
    let script = Script::new([addresses(&["127.0.0.2", "127.0.0.2"])]);
    let dialer = Dialer::new(options(port, &["127.0.0.0/8"]), script);
    let start = Instant::now();
    let error = connect(&dialer, &target("deaf.example", port)).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_never_accepts_costs_a_quarter_of_a_second_when_there_is_another() {
    let (listeners, port) = listeners(&[[127, 0, 0, 1]]).await;
    let _deaf = Deaf::new([127, 0, 0, 2], port);
    let script = Script::new([addresses(&["127.0.0.2", "127.0.0.1"])]);
    let dialer = Dialer::new(options(port, &["127.0.0.0/8"]), script);
    let start = Instant::now();
    connect(&dialer, &target("half.example", port)).await.unwrap();
    listeners[0].accept().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(250) && start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_connection_can_be_cut() {
    let (listeners, port) = listeners(&[[127, 0, 0, 1]]).await;
    let dialer = Dialer::new(options(port, &["127.0.0.0/8"]), Script::new([Answer::Silence]));
    let mut tunnel = connect(&dialer, &target("127.0.0.1", port)).await.unwrap();
    let (mut accepted, _) = listeners[0].accept().await.unwrap();
    tunnel.line().sever();
    assert!(tunnel.write_all(b"late").await.is_err());
    assert!(tunnel.read_u8().await.is_err());
    drop(tunnel);
    let end = accepted.read_u8().await.unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
}
