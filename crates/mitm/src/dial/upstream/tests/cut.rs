//! A right that is taken away while the proxy is asked.

use super::*;
use crate::dial::tests::somebody;

/// The task that dials may be anywhere when the right is taken away.
#[tokio::test]
async fn once_the_cord_is_severed_nothing_is_said_to_the_proxy() {
    let credentials = "user:password@";
    let proxy = Proxy::new(None).await;
    let dialer = dialer(&proxy.address(credentials), &[], Answer::Failure);
    let (cord, destination) = (Cord::default(), target("some.example", 443));
    cord.sever();
    let (tunnel, asked) = tokio::join!(dialer.connect(somebody(), &destination, &cord), proxy.answer(b""));
    assert!(matches!(tunnel.unwrap_err(), DialError::UpstreamAnswer(_)));
    assert_eq!(asked.err().unwrap().kind(), io::ErrorKind::ConnectionReset);

    // In the middle of the handshake with it.
    let ca = TestCa::new();
    let secure = Proxy::new(Some(ca.acceptor("127.0.0.1"))).await;
    let dialer = self::dialer(&secure.address(credentials), &[ca.der()], Answer::Failure);
    let cord = Cord::default();
    let cut = async {
        let (mut io, _) = secure.listener.accept().await.unwrap();
        io.read_u8().await.unwrap();
        cord.sever();
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.unwrap_err().kind()
    };
    let (tunnel, end) = tokio::join!(dialer.connect(somebody(), &destination, &cord), cut);
    assert!(matches!(tunnel.unwrap_err(), DialError::UpstreamConnect(_)));
    assert_eq!(end, io::ErrorKind::ConnectionReset);
}
