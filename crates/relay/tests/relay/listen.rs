//! The listener itself: TLS and ALPN, bad input, draining and aborting.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use gateway_relay::listen::{Ending, Endpoint, serve};
use gateway_relay::{RequestBody, ResponseBody};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::support::{Client, End, patiently};

/// A listener whose service echoes bodies, and streams what the test sends when asked for `/stream`.
struct Server {
    address: SocketAddr,
    ending: Ending,
    tasks: TaskTracker,
    streams: Arc<Mutex<Option<mpsc::Receiver<Bytes>>>>,
}

async fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ending, tasks) = (Ending::default(), TaskTracker::new());
    let streams: Arc<Mutex<Option<mpsc::Receiver<Bytes>>>> = Arc::default();
    let for_service = Arc::clone(&streams);
    let service = tower::service_fn(move |request: Request<RequestBody>| {
        let streams = Arc::clone(&for_service);
        async move {
            if request.uri().path() == "/stream" {
                let mut receive = streams.lock().take().unwrap();
                let frames = futures_util::stream::poll_fn(move |cx| {
                    receive
                        .poll_recv(cx)
                        .map(|data| data.map(|data| Ok::<_, Infallible>(Frame::data(data))))
                });
                return Ok(Response::new(ResponseBody::new(StreamBody::new(frames))));
            }
            let version = format!("{:?} ", request.version());
            let body = request
                .into_body()
                .collect()
                .await
                .map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
            Ok::<_, Infallible>(Response::new(ResponseBody::full(
                [version.as_bytes(), &body].concat(),
            )))
        }
    });
    let endpoint = Endpoint {
        listener,
        tls,
        max_connections: 64,
    };
    tasks.spawn(serve(endpoint, service, ending.clone(), tasks.clone()));
    Server {
        address,
        ending,
        tasks,
        streams,
    }
}

impl Server {
    async fn connect(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    /// Every task ends: nothing is left behind.
    async fn finished(&self) {
        self.tasks.close();
        patiently("the end of all tasks", self.tasks.wait()).await;
    }
}

fn certificates() -> (Arc<rustls::ServerConfig>, rustls::RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (Arc::new(config), roots)
}

#[tokio::test]
async fn tls_agrees_on_http2_or_http1_or_on_nothing() {
    let (config, roots) = certificates();
    let server = start(Some(config)).await;
    for (alpn, expected) in [
        (&b"h2"[..], "HTTP/2.0 hi"),
        (b"http/1.1", "HTTP/1.1 hi"),
        (b"", "HTTP/1.1 hi"),
    ] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        client.alpn_protocols = if alpn.is_empty() {
            vec![]
        } else {
            vec![alpn.to_vec()]
        };
        let stream = TcpStream::connect(server.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let mut tls = connector
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .unwrap();
        if alpn == b"h2" {
            let (send, connection) = h2::client::handshake(tls).await.unwrap();
            let driver = server.tasks.spawn(async move {
                let _ = connection.await;
            });
            let request = Request::post("https://localhost/").body(()).unwrap();
            let (response, mut body) = send.ready().await.unwrap().send_request(request, false).unwrap();
            body.send_data(Bytes::from_static(b"hi"), true).unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), expected);
            driver.abort();
        } else {
            tls.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi")
                .await
                .unwrap();
            let mut answer = Vec::new();
            let _ = tls.read_to_end(&mut answer).await;
            assert!(String::from_utf8_lossy(&answer).ends_with(expected));
        }
    }
    server.ending.drain.cancel();
    server.finished().await;
}

#[tokio::test]
async fn bad_input_ends_the_connection_and_nothing_else() {
    let server = start(None).await;
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "b".repeat(100_000));
    let cases: [(&[u8], u16); 7] = [
        (b"\r\n\r\n\0\0\0 nonsense\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (many.as_bytes(), 431),
        (long.as_bytes(), 431),
    ];
    for (input, status) in cases {
        let mut client = server.connect().await;
        let _ = client.stream.write_all(input).await;
        let answer = client.answer().await;
        assert_eq!(
            answer.status,
            status,
            "{:?}",
            String::from_utf8_lossy(&input[..input.len().min(60)])
        );
    }
    let mut preface_then_garbage = server.connect().await;
    preface_then_garbage
        .stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n garbage garbage garbage")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = patiently("the end", preface_then_garbage.stream.read_to_end(&mut rest)).await;
    let mut client = server.connect().await;
    client.send("POST", "/", &[], b"still here").await;
    assert_eq!(client.answer().await.text(), "HTTP/1.1 still here");
    drop(client);
    server.ending.drain.cancel();
    server.finished().await;
}

#[tokio::test]
async fn draining_lets_a_stream_finish_and_closes_idle_connections() {
    let server = start(None).await;
    let mut idle = server.connect().await;
    idle.send("GET", "/", &[], b"").await;
    assert_eq!(idle.answer().await.end, End::Complete);
    let silent = server.connect().await;
    let (send, receive) = mpsc::channel(1);
    *server.streams.lock() = Some(receive);
    let mut streaming = server.connect().await;
    streaming.send("GET", "/stream", &[], b"").await;
    send.send(Bytes::from_static(b"one ")).await.unwrap();
    streaming.read_until(b"one ").await;
    server.ending.drain.cancel();
    let mut rest = [0; 64];
    assert_eq!(
        patiently("the idle connection's end", idle.stream.read(&mut rest))
            .await
            .unwrap(),
        0
    );
    let mut silent = silent;
    assert_eq!(
        patiently("the silent connection's end", silent.stream.read(&mut rest))
            .await
            .unwrap_or(0),
        0
    );
    send.send(Bytes::from_static(b"two")).await.unwrap();
    drop(send);
    let answer = streaming.answer().await;
    assert_eq!((answer.end, answer.text().as_str()), (End::Complete, "one two"));
    server.finished().await;
}

#[tokio::test]
async fn aborting_takes_away_what_is_left() {
    let server = start(None).await;
    let (send, receive) = mpsc::channel(1);
    *server.streams.lock() = Some(receive);
    let mut streaming = server.connect().await;
    streaming.send("GET", "/stream", &[], b"").await;
    send.send(Bytes::from_static(b"one ")).await.unwrap();
    streaming.read_until(b"one ").await;
    server.ending.drain.cancel();
    server.ending.abort.cancel();
    assert_eq!(streaming.answer().await.end, End::Reset);
    server.finished().await;
}
