//! Why the store refuses to start.

use nexus_es::log::Source;

/// Why the store refuses to start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server could be reached, or it refused the login.
    #[error("cannot connect to NATS at {urls}")]
    Connect {
        /// The addresses, without logins.
        urls: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// The server does not know what the log needs.
    #[error("cannot use the NATS server {server}: {why}")]
    Server {
        /// Its name.
        server: String,
        /// What it lacks.
        why: String,
    },
    /// The server did not answer, or refused a request.
    #[error("cannot {what}")]
    Request {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Source,
    },
    /// A stream is missing and may not be made here.
    #[error("the stream {0} does not exist, let an operator's run of Nexus make it")]
    Missing(String),
    /// A stream exists with other settings.
    #[error("the stream {stream} is not set as it has to be: {differences}")]
    Settings {
        /// The stream's name.
        stream: String,
        /// Each setting that differs, with both values.
        differences: String,
    },
    /// Nobody proved that acknowledged means on disk.
    #[error(
        "cannot tell that an acknowledged commit is on disk: {doubt}; set `sync_interval: always` \
         in the server's jetstream block and name a monitor or a system login, or say explicitly \
         that durability is unverified"
    )]
    Durability {
        /// Which servers sync later or did not say.
        doubt: String,
        /// They may say so yet: they could not be asked.
        unasked: bool,
    },
}

impl Error {
    /// Whether the same may work later without anybody changing a setting: the server is not up
    /// yet, has no leader yet, or what it shall keep is not made yet.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Request { .. } | Self::Missing(_) => true,
            Self::Durability { unasked, .. } => *unasked,
            Self::Server { .. } | Self::Settings { .. } => false,
        }
    }
}
