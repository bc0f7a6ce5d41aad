//! What shipping decides: courier accounts, shipments with their AWBs and tracking, manifests.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub(crate) mod cash_claim;
pub(crate) mod courier_account;
pub(crate) mod manifest;
pub(crate) mod shipment;
pub(crate) mod tracking;

/// A value under a key of the vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

/// Which courier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CourierKind {
    Bosta,
    /// Any courier whose numbers are typed in.
    #[default]
    Manual,
}

impl CourierKind {
    pub(crate) const ALL: [Self; 2] = [Self::Bosta, Self::Manual];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bosta => "bosta",
            Self::Manual => "manual",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Paper of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LabelFormat {
    A4,
    A6,
}

impl LabelFormat {
    pub(crate) const ALL: [Self; 2] = [Self::A4, Self::A6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A4 => "A4",
            Self::A6 => "A6",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}
