//! The chassis over real connections.

mod certificates;
mod tls;
