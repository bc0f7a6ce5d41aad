//! The event log on NATS JetStream: one stream a service, one message a commit.
//! *Invariant:* a commit is stored only if its aggregate stands at the expected version, and an
//! append that was not answered is `Unknown` until it is read back or resent.

mod append;
mod connection;
mod durable;
mod error;
mod jetstream_log;
mod options;
mod read;
mod streams;
mod subject;
mod tail;

pub use error::Error;
pub use jetstream_log::JetStreamLog;
pub use options::{Login, Options, SERVICES};
