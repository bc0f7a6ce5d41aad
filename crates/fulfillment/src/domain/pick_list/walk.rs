//! Makes the lines of a walk: what several orders want from the same bin is one line.

use std::collections::BTreeMap;

use super::{Line, Split};

/// Where units of an article lie. Its order is the walking order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) zone: String,
    pub(crate) pick_sequence: u32,
    pub(crate) bin: String,
    pub(crate) sku: String,
    pub(crate) lot: String,
}

/// What one fulfilment wants, and where inventory chose its units.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Order line, SKU, units.
    pub(crate) lines: Vec<(String, String, u32)>,
    pub(crate) places: Vec<(Place, u32)>,
}

/// The lines of a walk for `wanted`, in walking order; the place in `wanted` is the part. Names and
/// barcodes are empty.
pub(crate) fn walk(wanted: &[Wanted]) -> Vec<Line> {
    let mut lines: BTreeMap<&Place, Vec<Split>> = BTreeMap::new();
    for (part, wanted) in wanted.iter().enumerate() {
        let mut open: Vec<(&str, &str, u32)> = wanted
            .lines
            .iter()
            .map(|(id, sku, units)| (id.as_str(), sku.as_str(), *units))
            .collect();
        let mut places: Vec<&(Place, u32)> = wanted.places.iter().collect();
        places.sort_unstable();
        for (place, units) in places {
            let mut units = *units;
            for (id, _, left) in open.iter_mut().filter(|(_, sku, _)| *sku == place.sku) {
                let share = units.min(*left);
                if share == 0 {
                    continue;
                }
                units -= share;
                *left -= share;
                let order_line_id = (*id).to_owned();
                lines.entry(place).or_default().push(Split { part, order_line_id, units: share });
            }
        }
    }
    let numbered = lines.into_iter().enumerate();
    numbered
        .map(|(nth, (place, split))| Line {
            line_id: format!("L{:04}", nth + 1),
            place: place.clone(),
            name: String::new(),
            barcodes: vec![],
            units: split.iter().map(|split| split.units).sum(),
            split,
        })
        .collect()
}
