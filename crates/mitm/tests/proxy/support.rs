//! A proxy on a real socket, accounts, targets and clients that speak bytes.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use gateway_core::{ApiToken, Clock as _, ManualClock, Scopes, SystemClock, Timestamp};
use gateway_mitm::ca::CertificateAuthority;
use gateway_mitm::dial::{DialOptions, Dialer, Resolve, Resolving, Who};
use gateway_mitm::leaf::Leaves;
use gateway_mitm::proxy::{InterceptedHost, Proxy, ProxyCounters, ProxyOptions, serve};
use gateway_relay::access::checkpoint::CheckpointHook;
use gateway_relay::access::{Access, AccessOptions, TokenSource};
use gateway_relay::listen::{Downstream, Ending, Endpoint, PeerAddr};
use gateway_relay::{Pinned, RequestBody, ResponseBody};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use parking_lot::Mutex;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;

use crate::accounts::{Accounts, Gate, Gates};

/// The host of the provider, on the port that its base URL has.
pub(crate) const PROVIDER: &str = "api.provider.test";
/// A name that never resolves.
pub(crate) const SILENT: &str = "silent.test";
/// A name with a private address.
pub(crate) const PRIVATE: &str = "private.test";

/// How long a test waits for something that is bound to happen.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Waits for a condition that others bring about.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    patiently(what, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

// === Names ===

/// Every name is on the loopback interface, but for those with a meaning of their own.
#[derive(Default)]
pub(crate) struct Names {
    /// Signalled when the silent name is asked for.
    pub(crate) asked: Notify,
}

struct Resolver(Arc<Names>);

impl Resolve for Resolver {
    fn resolve<'a>(&'a self, _who: Who, name: &'a str, _limit: Duration) -> Resolving<'a> {
        Box::pin(async move {
            match name {
                SILENT => {
                    self.0.asked.notify_one();
                    std::future::pending().await
                }
                PRIVATE => Ok(vec![IpAddr::from([10, 0, 0, 1])]),
                "unknown.test" => Err(io::ErrorKind::NotFound.into()),
                _ => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            }
        })
    }
}

// === Service ===

/// What stands in place of the relay: it describes the request, and streams what the test sends where `/stream` is asked
/// for.
#[derive(Default)]
struct Service {
    streams: Mutex<Option<mpsc::UnboundedReceiver<Bytes>>>,
}

impl Service {
    async fn answer(&self, request: Request<RequestBody>) -> Response<ResponseBody> {
        if request.uri().path() == "/stream" {
            let mut receive = self.streams.lock().take().unwrap();
            let frames = futures_util::stream::poll_fn(move |cx| {
                receive
                    .poll_recv(cx)
                    .map(|data| data.map(|data| Ok::<_, Infallible>(Frame::data(data))))
            });
            return Response::new(ResponseBody::new(StreamBody::new(frames)));
        }
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        let pinned = parts.extensions.get::<Pinned>().expect("pinned");
        assert!(
            parts.extensions.get::<PeerAddr>().is_some() && parts.extensions.get::<Downstream>().is_some()
        );
        let proxy_headers = parts
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("proxy-"))
            .count();
        let (method, path, version) = (&parts.method, parts.uri.path(), parts.version);
        let text = format!(
            "{} {} {method} {path} {version:?} {} {proxy_headers}",
            pinned.provider,
            pinned.token.id(),
            body.len()
        );
        Response::new(ResponseBody::full(text))
    }
}

// === World ===

pub(crate) struct World {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) access: Arc<Access>,
    pub(crate) clock: ManualClock,
    pub(crate) gate: Arc<Gate>,
    pub(crate) names: Arc<Names>,
    pub(crate) counters: Arc<ProxyCounters>,
    pub(crate) ending: Ending,
    pub(crate) address: SocketAddr,
    service: Arc<Service>,
    tasks: TaskTracker,
    roots: rustls::RootCertStore,
    _directory: tempfile::TempDir,
}

/// What a test changes of a usual proxy.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) options: ProxyOptions,
    /// TLS to the proxy itself.
    pub(crate) with_tls: bool,
    pub(crate) connect_timeout: Option<Duration>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let accounts = Arc::new(Accounts::default());
        // Certificates are checked against the clock of the machine.
        let clock = ManualClock::new(SystemClock.now());
        let gate = Arc::new(Gate::default());
        let access = Access::new(
            Arc::clone(&accounts) as Arc<dyn TokenSource>,
            Arc::new(clock.clone()),
            AccessOptions {
                checkpoints: CheckpointHook::new(Arc::new(Gates(Arc::clone(&gate)))),
                ..AccessOptions::default()
            },
        );
        let directory = tempfile::tempdir().unwrap();
        let hosts = [PROVIDER, "proxy.test"].map(|name| url::Host::Domain(name.to_owned()));
        let authority = CertificateAuthority::load_or_create(directory.path(), &hosts, clock.now()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.certificate_pem().as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let leaves = Leaves::new(Arc::new(authority), Arc::new(clock.clone())).unwrap();
        let tls = setup.with_tls.then(|| leaves.for_host(&hosts[1]).unwrap());
        let names = Arc::new(Names::default());
        let mut dialing = DialOptions {
            allowed_ports: (1..=u16::MAX).filter(|port| *port != 25).collect(),
            allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
            ..DialOptions::default()
        };
        if let Some(timeout) = setup.connect_timeout {
            dialing.connect_timeout = timeout;
        }
        let dialer = Dialer::new(dialing, Arc::new(Resolver(Arc::clone(&names))));
        let mut options = setup.options;
        options.hosts = [443, 8443]
            .map(|port| InterceptedHost {
                authority: format!("{PROVIDER}:{port}").parse().unwrap(),
                provider: "anthropic".parse().unwrap(),
            })
            .into();
        let service = Arc::new(Service::default());
        let for_proxy = Arc::clone(&service);
        let answer = tower::service_fn(move |request| {
            let service = Arc::clone(&for_proxy);
            async move { Ok::<_, Infallible>(service.answer(request).await) }
        });
        let proxy = Proxy::new(options, leaves, dialer, Arc::clone(&access), answer);
        let counters = proxy.counters();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint {
            listener,
            tls,
            max_connections: 1024,
        };
        let (ending, tasks) = (Ending::default(), TaskTracker::new());
        tasks.spawn(serve(endpoint, proxy, ending.clone(), tasks.clone()));
        Self {
            accounts,
            access,
            clock,
            gate,
            names,
            counters,
            ending,
            address,
            service,
            tasks,
            roots,
            _directory: directory,
        }
    }

    pub(crate) fn token(&self) -> ApiToken {
        self.accounts.add(Scopes::all(), Timestamp::MAX)
    }

    pub(crate) async fn revoke(&self, token: &ApiToken) {
        self.accounts.remove(token.id());
        // A little over twice the time for goodbyes is what the guarantee says.
        tokio::time::timeout(Duration::from_secs(5), self.access.revoke_tokens(&[token.id()]))
            .await
            .expect("the revocation was held up");
    }

    /// What the next `/stream` sends.
    pub(crate) fn stream(&self) -> mpsc::UnboundedSender<Bytes> {
        let (send, receive) = mpsc::unbounded_channel();
        *self.service.streams.lock() = Some(receive);
        send
    }

    pub(crate) async fn client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A connection that has been granted.
    pub(crate) async fn connected(&self, token: &ApiToken, target: &str) -> Client<TcpStream> {
        let mut client = self.client().await;
        client.connect(target, Some(token)).await;
        client.established().await;
        client
    }

    /// TLS within an intercepted connection.
    pub(crate) async fn intercepted(&self, token: &ApiToken, alpn: &[u8]) -> Client<TlsStream<TcpStream>> {
        let client = self.connected(token, &format!("{PROVIDER}:443")).await;
        Client::new(self.tls(client.io, PROVIDER, alpn).await.unwrap())
    }

    pub(crate) async fn tls<I>(&self, io: I, name: &str, alpn: &[u8]) -> io::Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        if !alpn.is_empty() {
            config.alpn_protocols = vec![alpn.to_vec()];
        }
        let name = ServerName::try_from(name.to_owned()).unwrap();
        patiently("TLS", TlsConnector::from(Arc::new(config)).connect(name, io)).await
    }

    /// Nothing is in flight and no connection is left.
    pub(crate) async fn is_quiet(&self) {
        until("the end of everything in flight", || {
            self.access.in_flight() == 0 && self.counters.tunnels() == 0 && self.counters.intercepted() == 0
        })
        .await;
    }

    /// Drains, and waits for every task to end by itself.
    pub(crate) async fn finished(&self) {
        self.ending.drain.cancel();
        self.tasks.close();
        patiently("the end of all tasks", self.tasks.wait()).await;
        assert_eq!(self.access.in_flight(), 0);
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

// === Targets ===

/// A host that tunnels lead to.
pub(crate) struct Target {
    listener: TcpListener,
}

impl Target {
    pub(crate) async fn listen() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn authority(&self) -> String {
        format!("target.test:{}", self.listener.local_addr().unwrap().port())
    }

    pub(crate) async fn accept(&self) -> Client<TcpStream> {
        let (io, _) = patiently("a connection to the target", self.listener.accept())
            .await
            .unwrap();
        Client::new(io)
    }
}

// === Client ===

/// One end of a connection, which sees every byte.
pub(crate) struct Client<I> {
    pub(crate) io: I,
    pub(crate) buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn basic(token: &ApiToken) -> String {
    let credential = base64::engine::general_purpose::STANDARD.encode(format!("coder:{}", token.expose()));
    format!("Proxy-Authorization: Basic {credential}\r\n")
}

impl<I: AsyncRead + AsyncWrite + Unpin> Client<I> {
    pub(crate) fn new(io: I) -> Self {
        Self {
            io,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    pub(crate) async fn connect(&mut self, target: &str, token: Option<&ApiToken>) {
        let credential = token.map(basic).unwrap_or_default();
        self.send(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credential}\r\n"
        ))
        .await;
    }

    /// One GET within an intercepted connection.
    pub(crate) async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {PROVIDER}\r\n\r\n"))
            .await;
    }

    /// Reads until `needle` has come, and takes everything up to its end.
    pub(crate) async fn take_until(&mut self, needle: &str) -> String {
        patiently("the awaited bytes", async {
            loop {
                let found = self
                    .buffer
                    .windows(needle.len())
                    .position(|window| window == needle.as_bytes());
                if let Some(at) = found {
                    let taken: Vec<u8> = self.buffer.drain(..at + needle.len()).collect();
                    return String::from_utf8(taken).unwrap();
                }
                let count = self.io.read_buf(&mut self.buffer).await.unwrap();
                assert!(
                    count > 0,
                    "closed after {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
            }
        })
        .await
    }

    pub(crate) async fn established(&mut self) {
        let head = self.take_until("\r\n\r\n").await;
        assert_eq!(head, "HTTP/1.1 200 Connection established\r\n\r\n");
    }

    /// Takes one answer with a length.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.take_until("\r\n\r\n").await;
        let lower = head.to_ascii_lowercase();
        let length = lower
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        patiently("the body", async {
            while self.buffer.len() < length {
                assert!(self.io.read_buf(&mut self.buffer).await.unwrap() > 0, "{head}");
            }
        })
        .await;
        let body = self.buffer.drain(..length).collect();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Reads to the end, however it comes, and keeps what was read.
    pub(crate) async fn end(&mut self) -> End {
        patiently("the end of the connection", async {
            loop {
                match self.io.read_buf(&mut self.buffer).await {
                    Ok(0) => return End::Closed,
                    Ok(_) => {}
                    Err(_) => return End::Reset,
                }
            }
        })
        .await
    }
}

/// Writes at once, and takes the proxy's answer off what is read.
pub(crate) struct Early<I> {
    io: I,
    answer: Vec<u8>,
}

impl<I> Early<I> {
    pub(crate) fn new(io: I) -> Self {
        Self {
            io,
            answer: Vec::new(),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Early<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let mut one = ReadBuf::new(&mut byte);
            std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut one))?;
            if one.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.answer.push(byte[0]);
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 200 "));
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Early<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
