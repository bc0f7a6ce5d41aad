//! The contracts of `/proto` as Rust types, gRPC clients and servers, one module a package:
//! `order::v1`, `common::v1`, … Nothing here is written by hand.

/// Every contract as a `google.protobuf.FileDescriptorSet`, with imports, custom options and
/// comments: what reflection, the REST gateway and OpenAPI are made from.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/nexus.descriptors.bin"));

/// The gRPC paths of all rpcs with a route: whoever has a key may call them. All others are for
/// services.
pub const PUBLIC_RPCS: &[&str] = include!(concat!(env!("OUT_DIR"), "/public_rpcs.rs"));

pub use generated::nexus::*;

#[rustfmt::skip]
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    unreachable_pub,
    unused_qualifications,
    reason = "generated; the public items are exported above"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/nexus.rs"));
}
