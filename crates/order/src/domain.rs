//! The commercial side: contacts, their phones, order numbers, orders. Ids and values that several
//! aggregates share stand here, each aggregate in a file of its own.
//! *Invariant:* money is an i64 of ten-thousandths; personal data is there only sealed.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub(crate) mod contact;
pub(crate) mod number_series;
pub(crate) mod order;
pub(crate) mod phone_claim;
pub(crate) mod pricing;

/// A value that only the key vault opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SealedValue {
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

/// The part of an address that is no personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) country: String,
    pub(crate) governorate: String,
    pub(crate) city: String,
}

/// A line of an order, or a share of it, in a warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllocatedLine {
    pub(crate) line_id: String,
    pub(crate) sku: String,
    pub(crate) units: u32,
}

/// What one warehouse serves of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub(crate) warehouse: String,
    pub(crate) lines: Vec<AllocatedLine>,
}

/// A SKU that falls short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) sku: String,
    pub(crate) asked: u32,
    pub(crate) available: u32,
}

/// Consent to one channel; its time is the event's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consent {
    pub(crate) channel: String,
    pub(crate) granted: bool,
    pub(crate) source: String,
}

/// A note; its author and time are the event's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) note_id: String,
    pub(crate) text: SealedValue,
    pub(crate) visibility: Visibility,
}

/// Who may read a note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Visibility {
    #[default]
    Internal,
    Customer,
}

impl Visibility {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Customer => "customer",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "internal" => Some(Self::Internal),
            "customer" => Some(Self::Customer),
            _ => None,
        }
    }
}
