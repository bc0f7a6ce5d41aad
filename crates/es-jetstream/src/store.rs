//! Everything that Nexus keeps on NATS JetStream.
//! *Invariant:* a store is only there if every stream and bucket its role uses has exactly the
//! settings that its promises rest on.

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_es::log::{Durability, EventLog};

use crate::error::Error;
use crate::jetstream_log::JetStreamLog;
use crate::options::{ALL, Options};
use crate::wire::Wire;
use crate::{
    JetStreamBlobs, JetStreamCheckpoints, JetStreamKeyStore, JetStreamLeases, JetStreamTimers,
    buckets, permissions, streams,
};

/// All ports on one JetStream.
#[derive(Debug)]
pub struct JetStreamStore {
    log: Arc<JetStreamLog>,
    /// A connection beside the log's: a blob must not stand before a commit.
    wire: Arc<Wire>,
    role: String,
}

/// Makes every stream and bucket that is missing and checks the others, deletes again the keys that
/// a restore brought back although they were erased, and tells what an acknowledgement is worth.
/// Run by the one user that may make streams, before the roles start and after every restore.
///
/// # Errors
/// As [`JetStreamStore::connect`].
pub async fn provision(options: Options) -> Result<Durability, Error> {
    let all = Options { role: ALL.to_owned(), create: true, ..options };
    let store = JetStreamStore::connect(all).await?;
    let durability = store.log.durability();
    store.close().await;
    Ok(durability)
}

impl JetStreamStore {
    /// Connects, makes the streams and buckets that are missing and replays the erase ledger if the
    /// options say so, and checks that the server and each stream keep the promises of the ports.
    ///
    /// # Errors
    /// [`Error`] in one sentence when a promise does not hold or the server does not answer.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let mut log = JetStreamLog::connect(options.clone()).await?;
        let wire = Arc::new(Wire::open(&options).await?);
        let mut keepers = BTreeSet::new();
        for wanted in buckets::wanted(&options) {
            keepers.append(&mut streams::ensure(&wire, &wanted, options.create).await?);
        }
        log.also_kept_by(&options, &keepers).await?;
        let store = Self { log: Arc::new(log), wire, role: options.role.clone() };
        // Reads ask the ledger too, so it is only the disk that waits for this.
        if options.create && permissions::erases_keys(&store.role) {
            let replayed = store.key_store().replay_ledger().await;
            replayed.map_err(|source| Error::Request {
                what: "delete again the keys that were erased".to_owned(),
                source: source.into(),
            })?;
        }
        Ok(store)
    }

    /// The log of all services that the options name.
    #[must_use]
    pub fn log(&self) -> Arc<JetStreamLog> {
        Arc::clone(&self.log)
    }

    /// The leases of the options' role.
    #[must_use]
    pub fn leases(&self) -> Arc<JetStreamLeases> {
        self.leases_of(&self.role)
    }

    /// The leases of one service: the same in a process of its own and in one that runs all.
    #[must_use]
    pub fn leases_of(&self, service: &str) -> Arc<JetStreamLeases> {
        Arc::new(JetStreamLeases::new(&self.wire, service))
    }

    /// The checkpoints of the options' role.
    #[must_use]
    pub fn checkpoints(&self) -> Arc<JetStreamCheckpoints> {
        self.checkpoints_of(&self.role)
    }

    /// The checkpoints of one service: the same in a process of its own and in one that runs all.
    #[must_use]
    pub fn checkpoints_of(&self, service: &str) -> Arc<JetStreamCheckpoints> {
        Arc::new(JetStreamCheckpoints::new(&self.wire, service))
    }

    /// The timers of the options' role.
    #[must_use]
    pub fn timers(&self) -> Arc<JetStreamTimers> {
        self.timers_of(&self.role)
    }

    /// The timers of one service: the same in a process of its own and in one that runs all.
    #[must_use]
    pub fn timers_of(&self, service: &str) -> Arc<JetStreamTimers> {
        Arc::new(JetStreamTimers::new(&self.wire, service))
    }

    /// The wrapped keys.
    #[must_use]
    pub fn keys(&self) -> Arc<JetStreamKeyStore> {
        Arc::new(self.key_store())
    }

    /// The blobs.
    #[must_use]
    pub fn blobs(&self) -> Arc<JetStreamBlobs> {
        Arc::new(JetStreamBlobs::new(&self.wire))
    }

    /// How many commits this process has had acknowledged since its start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.log.written()
    }

    /// Ends the connections. From then on the ports answer that they cannot be reached.
    pub async fn close(&self) {
        self.log.close().await;
        self.wire.close().await;
    }

    fn key_store(&self) -> JetStreamKeyStore {
        JetStreamKeyStore::new(&self.wire, permissions::erases_keys(&self.role))
    }
}
