//! What can go wrong in the sandbox itself, as opposed to the faults it plays.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the sandbox cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("sandbox speed must be between 0.001 and 1000000, not {0}")]
    Speed(f64),
    #[error("cannot make the sandbox's folder {path}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot open the sandbox's file {path}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("cannot read or write the sandbox's file")]
    Store(#[from] sqlx::Error),
    #[error("cannot read what the sandbox had stored")]
    Stored(#[from] serde_json::Error),
    #[error("cannot make an HTTP client for webhooks")]
    Client(#[source] reqwest::Error),
    #[error("the system gives no random numbers")]
    Random,
    #[error("cannot draw the label")]
    Label(#[from] crate::label::LabelError),
}

/// Logs a failure with all its causes; nobody else will hear of it.
pub(crate) fn report(error: &(dyn std::error::Error + 'static), what: &str) {
    tracing::error!(error, "{what}");
}
