//! How to reach JetStream, and what it must promise.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::permissions;

/// The role of a process that runs all services.
pub const ALL: &str = "nexus";

/// The services that own a log.
pub const SERVICES: [&str; 7] =
    ["order", "inventory", "fulfillment", "shipping", "notification", "ingress", "gateway"];

/// Who connects.
#[derive(Clone, Debug)]
pub enum Login {
    /// By name and password.
    Password {
        /// The user's name.
        user: String,
        /// The user's password.
        password: SecretString,
    },
    /// By the seed of an nkey.
    Nkey {
        /// The seed, `SU…`.
        seed: SecretString,
    },
}

/// How to reach JetStream, and what it must promise.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers, `nats://host:port` or `tls://host:port`. Several: any of them.
    pub urls: Vec<String>,
    /// Who connects; none where the server asks nobody.
    pub login: Option<Login>,
    /// The certificate authority of the servers, if it is not a public one.
    pub root_certificates: Option<PathBuf>,
    /// How often each commit is kept: 1 on a single box, 3 in a cluster.
    pub replicas: usize,
    /// Who this process is: one of [`SERVICES`] when it runs that one alone, [`ALL`] when it runs
    /// all of them or tends to the server. Leases, checkpoints and timers lie under it.
    pub role: String,
    /// Where answers come in: a prefix of its own for each role, so that no service can read the
    /// answers of another. [`Options::as_role`] sets the one that its permissions name.
    pub inbox_prefix: String,
    /// How long one request waits, and how long an append may take.
    pub request_timeout: Duration,
    /// The services whose logs are used.
    pub services: Vec<String>,
    /// Whether a missing stream is made. It needs the permission to; a single service has none.
    pub create: bool,
    /// The disk budget of one stream. A full stream refuses commits, it forgets none.
    pub stream_max_bytes: u64,
    /// The disk budget of all blobs.
    pub blobs_max_bytes: u64,
    /// Monitoring addresses, `http://host:port`, one a server: durability is read there.
    pub monitors: Vec<String>,
    /// A user of the system account: durability is read through it.
    pub system: Option<Login>,
    /// Start although nobody proved that acknowledged means on disk. It is shown everywhere.
    pub unverified: bool,
}

impl Options {
    /// The options for `urls`, all logs on one server, nothing proved yet.
    #[must_use]
    pub fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            login: None,
            root_certificates: None,
            replicas: 1,
            role: ALL.to_owned(),
            inbox_prefix: permissions::inbox_of(ALL),
            request_timeout: Duration::from_secs(2),
            services: SERVICES.map(str::to_owned).to_vec(),
            create: true,
            stream_max_bytes: 4 * 1024 * 1024 * 1024,
            blobs_max_bytes: 4 * 1024 * 1024 * 1024,
            monitors: Vec::new(),
            system: None,
            unverified: false,
        }
    }

    /// The same for the process of `role` alone: it makes no stream, opens the logs that its
    /// permissions let it read, and keeps its state and its answers apart.
    #[must_use]
    pub fn as_role(self, role: &str) -> Self {
        Self {
            role: role.to_owned(),
            inbox_prefix: permissions::inbox_of(role),
            services: permissions::logs_of(role).iter().map(|log| (*log).to_owned()).collect(),
            create: false,
            ..self
        }
    }
}
