//! Where everything that lasts is kept: files in one directory, or JetStream. The one place that
//! picks adapters.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use nexus_es::EventLog;
use nexus_es::ports::{Blobs, Checkpoints, KeyStore, Leases, Timers};
use nexus_es_jetstream::{Error as NatsError, JetStreamStore, Login, Options};
use nexus_es_sqlite::SqliteStore;

use crate::config::{Config, LogAt, Shape};

/// All that lasts.
pub(crate) enum Backend {
    Sqlite(SqliteStore),
    JetStream(JetStreamStore),
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NotYet {
    /// It may come: somebody else is not up yet.
    Waiting(String),
    /// It will not come by waiting.
    Refused(anyhow::Error),
}

/// What one service keeps.
pub(crate) struct Shelves {
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) checkpoints: Arc<dyn Checkpoints>,
    pub(crate) timers: Arc<dyn Timers>,
}

impl Backend {
    /// Opens what the settings name, once.
    pub(crate) async fn open(config: &Config, shape: Shape) -> Result<Self, NotYet> {
        match &config.log {
            LogAt::Sqlite(directory) => {
                let directory = directory.as_deref().unwrap_or(&config.data);
                let store = SqliteStore::open(directory).await;
                store.map(Self::Sqlite).map_err(|error| NotYet::Refused(error.into()))
            }
            LogAt::Nats(urls) => {
                let options = options(config, urls, shape).map_err(NotYet::Refused)?;
                JetStreamStore::connect(options).await.map(Self::JetStream).map_err(not_yet)
            }
        }
    }

    pub(crate) fn log(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Sqlite(store) => store.log(),
            Self::JetStream(store) => store.log(),
        }
    }

    pub(crate) fn keys(&self) -> Arc<dyn KeyStore> {
        match self {
            Self::Sqlite(store) => store.keys(),
            Self::JetStream(store) => store.keys(),
        }
    }

    pub(crate) fn blobs(&self) -> Arc<dyn Blobs> {
        match self {
            Self::Sqlite(store) => store.blobs(),
            Self::JetStream(store) => store.blobs(),
        }
    }

    /// What is kept for `service`, the same in a process of its own and in one that runs all.
    pub(crate) fn shelves(&self, service: &str) -> Shelves {
        match self {
            Self::Sqlite(store) => Shelves {
                leases: store.leases(),
                checkpoints: store.checkpoints(),
                timers: store.timers(),
            },
            Self::JetStream(store) => Shelves {
                leases: store.leases_of(service),
                checkpoints: store.checkpoints_of(service),
                timers: store.timers_of(service),
            },
        }
    }

    /// Whether no service has written anything yet.
    pub(crate) async fn is_empty(&self, services: &[&str]) -> anyhow::Result<bool> {
        if !self.keys().list().await?.is_empty() {
            return Ok(false);
        }
        let log = self.log();
        for service in services {
            if log.head(service).await? > nexus_es::Position::START {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Commits since the start, and syncs where this process does them.
    pub(crate) fn written(&self) -> (u64, u64) {
        match self {
            Self::Sqlite(store) => store.log().written(),
            Self::JetStream(store) => (store.written(), 0),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::JetStream(store) => store.close().await,
        }
    }
}

/// What can be read of a deployment while it runs or is stopped; nothing is made or changed.
pub(crate) struct ToRead {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) keys: Arc<dyn KeyStore>,
}

impl ToRead {
    pub(crate) async fn open(config: &Config, shape: Shape) -> anyhow::Result<Self> {
        match &config.log {
            LogAt::Sqlite(directory) => {
                let directory = directory.as_deref().unwrap_or(&config.data);
                let log = SqliteStore::open_read_only(directory).await?;
                Ok(Self { log, keys: SqliteStore::open_keys_read_only(directory).await? })
            }
            LogAt::Nats(urls) => {
                let options = options(config, urls, shape)?;
                // What is looked at was proved when it was written, or never.
                let options = Options { create: false, unverified: true, ..options };
                let store = JetStreamStore::connect(options).await?;
                Ok(Self { log: store.log(), keys: store.keys() })
            }
        }
    }
}

/// How JetStream is reached by a process of this shape.
pub(crate) fn options(config: &Config, urls: &[String], shape: Shape) -> anyhow::Result<Options> {
    let nats = &config.nats;
    let login = nats.seed_file.as_deref().map(seed).transpose()?;
    let system = nats.system_seed_file.as_deref().map(seed).transpose()?;
    let options = Options {
        login,
        system,
        root_certificates: nats.ca_file.clone(),
        replicas: nats.replicas,
        stream_max_bytes: nats.stream_max_bytes,
        monitors: nats.monitors.clone(),
        unverified: nats.durability_unverified,
        ..Options::new(urls.to_vec())
    };
    Ok(match shape {
        Shape::All | Shape::Sandbox => options,
        Shape::One(role) => options.as_role(role.name()),
    })
}

fn seed(file: &Path) -> anyhow::Result<Login> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the nkey seed in {}", file.display()))?;
    Ok(Login::Nkey { seed: text.trim().to_owned().into() })
}

fn not_yet(error: NatsError) -> NotYet {
    if error.may_pass() {
        NotYet::Waiting(nexus_runtime::status::chain(&error))
    } else {
        NotYet::Refused(error.into())
    }
}
