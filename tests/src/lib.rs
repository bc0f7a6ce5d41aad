//! End-to-end tests over the real binary: a harness that starts, kills and reads it from outside,
//! and the invariants that what was seen must keep.
//! *Invariant:* nothing here looks inside a service; all evidence comes over HTTP, gRPC, webhooks,
//! the sandboxes' ledgers and the files on disk.

pub mod checks;
pub mod harness;
