//! Clients of leaves, in memory.

use gateway_core::ManualClock;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, NamedGroup, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
};

use super::*;
use crate::ca::testing::{NOW, host, made};

/// A client that reads this clock.
#[derive(Debug)]
struct At(Timestamp);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.as_micros()).unwrap() / 1_000_000;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Leaves of an authority, and a client that trusts one certificate.
pub(super) struct Setup {
    pub(super) clock: ManualClock,
    pub(super) leaves: Leaves,
    pub(super) trusted: CertificateDer<'static>,
}

impl Setup {
    pub(super) fn new(texts: &[&str]) -> Self {
        let authority = made(texts);
        let trusted = first(&authority.certificate_pem());
        Self::with(authority, trusted)
    }

    pub(super) fn with(authority: CertificateAuthority, trusted: CertificateDer<'static>) -> Self {
        let clock = ManualClock::new(NOW);
        let leaves = Leaves::new(Arc::new(authority), Arc::new(clock.clone())).unwrap();
        Self {
            clock,
            leaves,
            trusted,
        }
    }

    pub(super) fn client(&self) -> ClientConfig {
        self.client_of(&[&version::TLS12, &version::TLS13])
    }

    pub(super) fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        ClientConfig::builder_with_details(provider, Arc::new(At(self.clock.now())))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A client that asks for `name` meets the settings of `host`.
    pub(super) fn handshake(&self, served: &str, name: &str) -> Result<Met, Error> {
        meet(self.client(), self.leaves.for_host(&host(served)).unwrap(), name)
    }

    /// The certificate of a host, by way of a handshake.
    pub(super) fn certificate(&self, served: &str) -> Vec<u8> {
        let name = served.trim_matches(['[', ']']);
        self.handshake(served, name).unwrap().certificates[0].clone()
    }
}

/// What a client saw.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) kind: HandshakeKind,
}

pub(super) fn first(pem: &str) -> CertificateDer<'static> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A whole handshake in memory, and the tickets after it. The error is the client's, where it has one.
pub(super) fn meet(client: ClientConfig, server: Arc<ServerConfig>, name: &str) -> Result<Met, Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    loop {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let sent = !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            // Its alert tells the client.
            let _ = server.process_new_packets();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let answered = !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if !sent && !answered {
            break;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let certificates = client.peer_certificates().unwrap_or_default();
    Ok(Met {
        certificates: certificates
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect(),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        kind: client.handshake_kind().unwrap(),
    })
}

/// Sessions of a client that offers them to whatever host it meets next.
#[derive(Debug)]
pub(super) struct OneStore(ClientSessionMemoryCache);

impl Default for OneStore {
    fn default() -> Self {
        Self(ClientSessionMemoryCache::new(8))
    }
}

fn any_name() -> ServerName<'static> {
    ServerName::try_from("any.example").unwrap()
}

impl ClientSessionStore for OneStore {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(any_name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&any_name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.set_tls12_session(any_name(), session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&any_name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&any_name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(any_name(), ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&any_name())
    }
}
