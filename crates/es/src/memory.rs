//! The ports in memory, for tests of everything above them.
//! *Invariant:* they keep every promise of the real adapters, except that the end of the process
//! is the end of the data.

mod log;
mod ports;

pub use log::MemoryLog;
pub use ports::{MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryTimers};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. No holder leaves half a change behind, so one that panicked does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
