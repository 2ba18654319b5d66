//! What the server says about itself to anyone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Reply of `GET /api/v2/buildinfo`. The fields about workspaces have fixed values; clients of the API read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildInfo {
    /// The version of the server, for example `v0.1.0`.
    pub version: String,
    /// Where this build is described; empty if nowhere.
    #[serde(default)]
    pub external_url: String,
    /// The address under which people reach the server.
    #[serde(default)]
    pub dashboard_url: String,
    /// The same for all replicas of a deployment; empty if it has none.
    #[serde(default)]
    pub deployment_id: String,
    /// Whether anything is reported to the makers. Always false.
    #[serde(default)]
    pub telemetry: bool,
    /// Always false.
    #[serde(default)]
    pub workspace_proxy: bool,
    /// Always empty: there are no workspace agents.
    #[serde(default)]
    pub agent_api_version: String,
    /// Always empty: there are no provisioners.
    #[serde(default)]
    pub provisioner_api_version: String,
    /// What to tell people whose client is of another version. Always empty.
    #[serde(default)]
    pub upgrade_message: String,
    /// Always empty: there are no push notifications.
    #[serde(default)]
    pub webpush_public_key: String,
}

/// Reply of `GET /api/v2/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Greeting {
    pub message: String,
}

// === impl BuildInfo ===

impl BuildInfo {
    /// Of a server with this version and address.
    pub fn new(version: impl Into<String>, dashboard_url: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            external_url: String::new(),
            dashboard_url: dashboard_url.into(),
            deployment_id: String::new(),
            telemetry: false,
            workspace_proxy: false,
            agent_api_version: String::new(),
            provisioner_api_version: String::new(),
            upgrade_message: String::new(),
            webpush_public_key: String::new(),
        }
    }
}
