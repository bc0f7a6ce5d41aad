//! What is picked for whom, and what lies in which parcel.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub(crate) mod fulfillment;
pub(crate) mod pick_list;

use std::collections::BTreeMap;

/// Units of one SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkuUnits {
    pub(crate) sku: String,
    pub(crate) units: u32,
}

/// Outer measures in millimetres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimensions {
    pub(crate) length: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Units by SKU, each SKU once, none with zero units.
pub(crate) fn by_sku<'a>(all: impl IntoIterator<Item = (&'a str, u32)>) -> BTreeMap<&'a str, u32> {
    let mut sums = BTreeMap::new();
    for (sku, units) in all.into_iter().filter(|(_, units)| *units > 0) {
        let sum = sums.entry(sku).or_insert(0_u32);
        *sum = sum.saturating_add(units);
    }
    sums
}
