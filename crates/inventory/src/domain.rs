//! What is sold, where it lies, and whom it is promised to: ids, values and the four aggregates.
//! *Invariant:* a value of these types is well-formed; what can be wrong is parsed at the edge.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod allocation;
pub mod barcode;
pub mod barcode_claim;
pub mod product;
pub mod stock_ledger;
pub mod warehouse;

use std::fmt;
use std::sync::Arc;

/// Names that are kept many times over: a clone shares the text.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True for the empty name.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

names! {
    /// The article that stock is counted in; case matters.
    Sku,
    /// A place on a shelf.
    Bin,
    /// A batch of a SKU; empty for most.
    Lot,
    /// The name of a promise: `<order_id>/<attempt>`.
    ReservationId,
    /// An order, as the order service names it.
    OrderId,
    /// The name that somebody outside gave a step: a receipt, a pick list, a shipment, a return.
    Reference,
}

/// Longest name of a bin, lot, reference or SKU in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Units of a SKU.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SkuUnits {
    /// Which.
    pub sku: Sku,
    /// How many.
    pub units: u32,
}

/// Units of a SKU in a bin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BinUnits {
    /// Which.
    pub sku: Sku,
    /// Where.
    pub bin: Bin,
    /// Of which batch.
    pub lot: Lot,
    /// How many.
    pub units: u32,
}

/// An amount of money: ten-thousandths of a currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Ten-thousandths.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Outer measures in millimetres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Length.
    pub length: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// A name as the id of an aggregate: letters, digits and `-_~+:` stand for themselves, every other
/// byte becomes `=` and its two hex digits. Different names give different ids.
#[must_use]
pub fn id_of(name: &str) -> String {
    use std::fmt::Write;
    let mut id = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~+:".contains(&byte) {
            id.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _always = write!(id, "={byte:02X}");
        }
    }
    id
}

/// The name behind an id that [`id_of`] made; `None` for any other text.
#[must_use]
pub fn name_of(id: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'=' {
            bytes.push(*first);
            continue;
        }
        let (hex, tail) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok()?);
        rest = tail;
    }
    let name = String::from_utf8(bytes).ok()?;
    (id_of(&name) == id).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_skus_become_ids_and_read_back() {
        for (sku, id) in [
            ("85123A", "85123A"),
            ("gift_0001_20", "gift_0001_20"),
            ("BANK CHARGES", "BANK=20CHARGES"),
            ("a=b", "a=3Db"),
            ("قميص", "=D9=82=D9=85=D9=8A=D8=B5"),
        ] {
            assert_eq!(id_of(sku), id);
            assert_eq!(name_of(id).as_deref(), Some(sku));
        }
        assert_ne!(id_of("85123a"), id_of("85123A"));
        for bad in ["a=2", "a=zz", "a=41", "=ff"] {
            assert_eq!(name_of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back_from_its_id(name in ".{1,20}") {
            let id = id_of(&name);
            prop_assert_eq!(name_of(&id), Some(name));
            prop_assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~=+:".contains(&b)));
        }
    }
}
