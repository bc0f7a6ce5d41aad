//! The ports of event sourcing over SQLite files and plain files in one directory.
//! *Invariant:* what is acknowledged is on disk, and one process at a time writes the directory.
//!
//! | File | Holds | Losing it |
//! |---|---|---|
//! | `log.db` | every service's commits | loses the truth |
//! | `work.db` | timers and leases | timers do not fire |
//! | `checkpoints.db` | where processes stand | slow, never wrong |
//! | `keys.db` | wrapped data keys | sealed data stays sealed for good |
//! | `erased.db` | ids of erased keys; never replaced by a restore | erased keys may come back |
//! | `blobs/` | immutable bytes by their hash | labels and snapshots are made anew, or lost |
//! | `lock` | nothing: the process that writes holds it | nothing |

mod blobs;
mod checkpoints;
mod database;
mod directory;
mod keys;
mod leases;
mod log;
mod store;
mod timers;

pub use blobs::FileBlobs;
pub use checkpoints::SqliteCheckpoints;
pub use keys::SqliteKeyStore;
pub use leases::SqliteLeases;
pub use log::SqliteLog;
pub use store::{Error, SqliteStore};
pub use timers::SqliteTimers;
