//! The ports of event sourcing on NATS JetStream.
//! *Invariant:* a commit is stored only if its aggregate stands at the expected version, and an
//! append that was not answered is `Unknown` until it is read back or resent.
//!
//! | Stream | Holds | Losing it |
//! |---|---|---|
//! | one a service, `ORDER` … | its commits, one message a commit | loses the truth |
//! | `KV_nexus_leases` | who has a name | names are free |
//! | `KV_nexus_checkpoints` | where processes stand | slow, never wrong |
//! | `KV_nexus_timers` | wake-ups | timers do not fire |
//! | `KV_nexus_keys` | wrapped data keys | sealed data stays sealed for good |
//! | `KV_nexus_erased` | ids of erased keys; no restore replaces it | erased keys may come back |
//! | `OBJ_nexus_blobs` | immutable bytes by their hash | labels are made anew, or lost |

mod append;
mod blobs;
mod bucket;
mod buckets;
mod checkpoints;
mod connection;
mod durable;
mod error;
mod jetstream_log;
mod keys;
mod leases;
mod options;
mod permissions;
mod read;
mod store;
mod streams;
mod subject;
mod tail;
mod timers;
mod wire;

pub use blobs::JetStreamBlobs;
pub use checkpoints::JetStreamCheckpoints;
pub use error::Error;
pub use jetstream_log::JetStreamLog;
pub use keys::JetStreamKeyStore;
pub use leases::JetStreamLeases;
pub use options::{ALL, Login, Options, SERVICES};
pub use permissions::Permissions;
pub use store::{JetStreamStore, provision};
pub use timers::JetStreamTimers;
