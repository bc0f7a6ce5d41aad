//! What is deployed is what is built: the files in `deploy/` and `docker-compose.yml`, read and run
//! as far as a machine without a container engine can.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "steps that tests share are tests too, and say in a line what was not checked"
)]

mod compose;
mod image;
mod kubernetes;
mod repository;
mod servers;
mod watching;
