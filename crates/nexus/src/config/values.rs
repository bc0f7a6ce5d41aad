//! Kinds of values that settings have.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the event log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogAt {
    /// Files in one directory, for one process. None named: the data directory.
    Sqlite(Option<PathBuf>),
    /// JetStream, at any of these servers.
    Nats(Vec<String>),
}

/// A value that cannot be read; the text says what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(&'static str);

impl FromStr for LogAt {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let wrong = Wrong(
            "it takes sqlite:DIR or nats://HOST:PORT, several with commas (what is logged to \
             read is NEXUS_LOG_FILTER)",
        );
        if text.is_empty() {
            return Ok(Self::Sqlite(None));
        }
        if let Some(directory) = text.strip_prefix("sqlite:").filter(|dir| !dir.is_empty()) {
            return Ok(Self::Sqlite(Some(PathBuf::from(directory))));
        }
        let servers: List = text.parse().map_err(|_| Wrong("it is not readable"))?;
        let is_server = |url: &String| url.starts_with("nats://") || url.starts_with("tls://");
        if servers.iter().all(is_server) { Ok(Self::Nats(servers.to_vec())) } else { Err(wrong) }
    }
}

impl fmt::Display for LogAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(None) => Ok(()),
            Self::Sqlite(Some(directory)) => write!(f, "sqlite:{}", directory.display()),
            Self::Nats(servers) => f.write_str(&servers.join(",")),
        }
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl FromStr for Switch {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        match text {
            "yes" | "true" | "1" => Ok(Self(true)),
            "no" | "false" | "0" => Ok(Self(false)),
            _ => Err(Wrong("it takes yes or no")),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { "yes" } else { "no" })
    }
}

/// Several, with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List(Vec<String>);

impl List {
    pub(crate) fn one(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl Deref for List {
    type Target = Vec<String>;

    fn deref(&self) -> &Vec<String> {
        &self.0
    }
}

impl FromStr for List {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(Self(parts.map(str::to_owned).collect()))
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// How fast the sandboxes' clock runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed(pub(crate) f64);

impl FromStr for Speed {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        match text.parse::<f64>() {
            Ok(speed) if speed.is_finite() && speed > 0.0 && speed <= 10_000.0 => Ok(Self(speed)),
            _ => Err(Wrong("it takes a number above 0, at most 10000")),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an address is on this machine and nowhere else.
pub(super) fn is_local(address: &str) -> bool {
    let Ok(uri) = address.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
