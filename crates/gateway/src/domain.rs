//! Who may call Nexus: API keys.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub(crate) mod api_key;

/// What a key may be allowed to do, from most to least.
pub(crate) const ROLES: [&str; 9] =
    ["admin", "manager", "clerk", "picker", "packer", "shipper", "support", "auditor", "service"];
