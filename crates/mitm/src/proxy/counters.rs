//! What the proxy has seen, for whoever watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How a request to the proxy, or a connection that never sent one, came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Led to a provider through the gateway.
    Intercepted,
    /// Led to its target without decryption.
    Tunnelled,
    /// Not understood, or too large (400, 431, or HTTP/2).
    Malformed,
    /// Understood, but no CONNECT (400, 403).
    NotConnect,
    /// No head within its time (408).
    TooSlow,
    /// No credential, or none that is valid (407).
    Unauthenticated,
    /// The token's scope does not allow it (403).
    Forbidden,
    /// Tokens could not be verified (503).
    Busy,
    /// The target may not be reached (403).
    Blocked,
    /// The target could not be reached (502, 504).
    Unreachable,
    /// No certificate could be made for the host (502).
    NoCertificate,
    /// The user has as many connections as one may have (503).
    Crowded,
    /// Too many from one address that had not been admitted; closed without an answer.
    Flooded,
}

/// Counters and gauges.
#[derive(Debug, Default)]
pub struct ProxyCounters {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    tunnels: Arc<AtomicUsize>,
    intercepted: Arc<AtomicUsize>,
    failed_handshakes: AtomicU64,
    misdirected: AtomicU64,
}

/// Counts itself for as long as it lives.
pub(crate) struct Gauge(Arc<AtomicUsize>);

// === impl Outcome ===

impl Outcome {
    pub const ALL: [Self; 13] = [
        Self::Intercepted,
        Self::Tunnelled,
        Self::Malformed,
        Self::NotConnect,
        Self::TooSlow,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Busy,
        Self::Blocked,
        Self::Unreachable,
        Self::NoCertificate,
        Self::Crowded,
        Self::Flooded,
    ];

    /// The word for it on a page of metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Intercepted => "intercepted",
            Self::Tunnelled => "tunnelled",
            Self::Malformed => "malformed",
            Self::NotConnect => "not_connect",
            Self::TooSlow => "too_slow",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::Blocked => "blocked",
            Self::Unreachable => "unreachable",
            Self::NoCertificate => "no_certificate",
            Self::Crowded => "crowded",
            Self::Flooded => "flooded",
        }
    }
}

// === impl ProxyCounters ===

impl ProxyCounters {
    /// How many requests have come out so.
    pub fn outcomes(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// Tunnels that are open now.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Intercepted connections that are open now.
    pub fn intercepted(&self) -> usize {
        self.intercepted.load(Ordering::Relaxed)
    }

    /// TLS handshakes that did not succeed: with the proxy or with an intercepted host, where it mostly means that the
    /// client does not trust the certificate.
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Decrypted requests to another host than the one that was asked for.
    pub fn misdirected(&self) -> u64 {
        self.misdirected.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failed_handshake(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_misdirected(&self) {
        self.misdirected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn open_tunnel(&self) -> Gauge {
        Gauge::new(&self.tunnels)
    }

    pub(crate) fn open_intercepted(&self) -> Gauge {
        Gauge::new(&self.intercepted)
    }
}

// === impl Gauge ===

impl Gauge {
    fn new(gauge: &Arc<AtomicUsize>) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(gauge))
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_place_and_a_word_of_its_own() {
        let counters = ProxyCounters::default();
        let mut labels: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Outcome::ALL.len());
        for outcome in Outcome::ALL {
            counters.count(outcome);
            assert_eq!(counters.outcomes(outcome), 1, "{outcome:?}");
        }
    }
}
