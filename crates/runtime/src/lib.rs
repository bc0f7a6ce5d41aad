//! What every service of Nexus stands on: its ports, who calls, how it answers and refuses, gRPC in
//! and out, telemetry, and small parsers of the outer contract.

pub mod allow;
pub mod caller;
pub mod channels;
pub mod config;
pub mod http;
pub mod metrics;
pub mod money;
pub mod page;
pub mod ports;
pub mod reads;
pub mod reply;
pub mod role;
pub mod rpc;
pub mod secrets;
pub mod status;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod violations;
pub mod work;

pub use channels::Channels;
pub use ports::{Ports, Running};
pub use role::Role;
pub use secrets::Secrets;
pub use violations::{Violation, Violations};
