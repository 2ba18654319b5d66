//! The first of several addresses that takes a connection (RFC 8305, section 5).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use gateway_relay::listen::io::LineIo;
use tokio::net::TcpStream;

use super::Cord;

/// After this time the next address is tried beside those that have not answered yet: the Connection Attempt Delay.
const DELAY: Duration = Duration::from_millis(250);

/// Connects to whichever address answers first, earlier ones having a head start. Has no time limit but that of the
/// system, so that the caller's covers all attempts together. The error is that of the last attempt to fail. Nothing has
/// gone over the connection when `cord` takes hold of it.
pub(super) async fn connect_first(addresses: &[IpAddr], port: u16, cord: &Cord) -> io::Result<LineIo> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(address) = waiting.next() {
            // A mapped address is reached over IPv4, also where IPv6 is switched off.
            attempts.push(connect(SocketAddr::new(address.to_canonical(), port)));
        }
        tokio::select! {
            ended = attempts.next() => match ended {
                Some(Ok(io)) => {
                    cord.hold(io.line());
                    return Ok(io);
                }
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = tokio::time::sleep(DELAY), if waiting.len() > 0 => {}
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<LineIo> {
    let stream = TcpStream::connect(address).await?;
    // What was checked is what has been reached, whatever stands between this call and the network.
    let peer = stream.peer_addr()?;
    if (peer.ip(), peer.port()) != (address.ip(), address.port()) {
        return Err(io::Error::other("connected to another address than asked for"));
    }
    LineIo::new(stream)
}
