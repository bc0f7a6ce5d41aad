//! The addresses in use, for tools and for the next start.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

const FILE: &str = "endpoints.json";

/// Base URLs of everything that listens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    pub(crate) http: String,
    pub(crate) ingress: String,
    pub(crate) grpc: String,
    pub(crate) sandbox_courier: String,
    pub(crate) sandbox_whatsapp: String,
}

impl Endpoints {
    /// Reads what the last start wrote.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let file = data.join(FILE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
    }

    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<()> {
        let file = data.join(FILE);
        // Readers see the old file or the new one, never half of it.
        let fresh = data.join(format!("{FILE}.new"));
        std::fs::write(&fresh, serde_json::to_string_pretty(self)?)
            .and_then(|()| std::fs::rename(&fresh, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// The sandboxes keep their port over restarts where it is still free: what they promised to call
/// back, and who calls them, find them again.
pub(crate) fn remembered(data: &Path, which: impl Fn(&Endpoints) -> &String) -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let Ok(old) = Endpoints::read(data) else { return any };
    let address = which(&old).trim_start_matches("http://").parse().unwrap_or(any);
    if std::net::TcpListener::bind(address).is_ok() { address } else { any }
}

/// An address that listens everywhere is reached at loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    }
}
