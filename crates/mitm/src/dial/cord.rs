//! By what a connection is taken away that may not be there yet.

use std::sync::Arc;

use gateway_relay::access::registry::Sever;
use gateway_relay::listen::io::Line;
use parking_lot::Mutex;

/// Handed over before a target is dialled, so that a cut finds the connection from its first byte on: what is said to an
/// upstream proxy goes out long before there is a tunnel.
#[derive(Debug, Default)]
pub struct Cord(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    is_severed: bool,
    line: Option<Arc<Line>>,
}

// === impl Cord ===

impl Cord {
    /// Severs the connection if the cord was cut before.
    pub(super) fn hold(&self, line: &Arc<Line>) {
        let mut held = self.0.lock();
        if held.is_severed {
            line.sever();
        }
        held.line = Some(Arc::clone(line));
    }
}

impl Sever for Cord {
    fn sever(&self) {
        let mut held = self.0.lock();
        held.is_severed = true;
        if let Some(line) = &held.line {
            line.sever();
        }
    }
}
