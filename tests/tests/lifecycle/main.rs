//! From created to delivered over the real binary: what goes well, what is refused, what bends.

mod bends;
mod erasing;
mod grpc;
mod keys;
mod picking;
mod refusals;
mod sizes;
mod walk;
mod webhooks;
