//! The audit log.

use gateway_core::Lifetime;

use super::accounts::retention;
use super::error::Read;
use super::names;
use super::option::{Section, ServerOption};
use super::reader::Reader;

const RETENTION: ServerOption = ServerOption::text(
    names::AUDIT_RETENTION,
    "DURATION",
    "How long entries of the audit log are kept; 0 for ever",
)
.default("0");

pub(super) const SECTION: Section = Section {
    heading: "Audit log",
    options: &[&RETENTION],
};

/// What becomes of the audit log.
#[derive(Clone, Copy, Debug)]
pub struct AuditConfig {
    /// How long entries are kept; none: for ever.
    pub retention: Option<Lifetime>,
}

// === impl AuditConfig ===

impl AuditConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        Ok(Self {
            retention: reader.value(&RETENTION, retention)?,
        })
    }
}
