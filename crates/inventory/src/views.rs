//! What can be asked about products, warehouses and stock without touching an aggregate.
//! *Invariant:* everything follows from inventory's own log, whose events come in order; a batch is
//! folded by key before it is written, so that a table costs one statement a batch, not one an
//! event.

pub(crate) mod movements;
pub(crate) mod products;
pub(crate) mod stock;
pub(crate) mod warehouses;

use std::sync::{Arc, LazyLock};

use nexus_es::commands::{self, CommandsView};
use nexus_es::views::{Database, ViewsConfig};
use nexus_es::work;

use crate::SERVICE;

/// Grows with every change of a table or of what is written to it.
const VERSION: u32 = 3;

/// What inventory's views are made from.
pub(crate) fn config(database: Database) -> ViewsConfig {
    ViewsConfig {
        service: SERVICE,
        version: VERSION,
        schema: &SCHEMA,
        database,
        views: vec![
            Arc::new(CommandsView::new(SERVICE)),
            Arc::new(products::Products),
            Arc::new(warehouses::Warehouses),
            Arc::new(stock::Stock),
            Arc::new(work::ParkedView::new(SERVICE)),
        ],
    }
}

static SCHEMA: LazyLock<String> =
    LazyLock::new(|| format!("{OWN_SCHEMA}{}{}", commands::SCHEMA, work::SCHEMA));

const OWN_SCHEMA: &str = "
CREATE TABLE products (sku TEXT PRIMARY KEY, search TEXT NOT NULL, product BLOB NOT NULL);
CREATE TABLE warehouses (warehouse TEXT PRIMARY KEY, priority BIGINT NOT NULL,
    details BLOB NOT NULL);
CREATE TABLE bins (warehouse TEXT NOT NULL, bin TEXT NOT NULL, pick_sequence BIGINT NOT NULL,
    zone TEXT NOT NULL, PRIMARY KEY (warehouse, bin));
CREATE INDEX bins_walk ON bins (warehouse, pick_sequence, bin);
CREATE TABLE homes (warehouse TEXT NOT NULL, sku TEXT NOT NULL, bin TEXT NOT NULL,
    PRIMARY KEY (warehouse, sku));
CREATE TABLE stock (sku TEXT NOT NULL, warehouse TEXT NOT NULL, in_bins BIGINT NOT NULL,
    held BIGINT NOT NULL, picked BIGINT NOT NULL, PRIMARY KEY (sku, warehouse));
CREATE TABLE piles (warehouse TEXT NOT NULL, sku TEXT NOT NULL, bin TEXT NOT NULL,
    lot TEXT NOT NULL, units BIGINT NOT NULL, allocated BIGINT NOT NULL,
    PRIMARY KEY (warehouse, sku, bin, lot));
CREATE INDEX piles_by_bin ON piles (warehouse, bin);
CREATE TABLE movements (sku TEXT NOT NULL, position BIGINT NOT NULL, event_index BIGINT NOT NULL,
    nth BIGINT NOT NULL, warehouse TEXT NOT NULL, at_ms BIGINT NOT NULL, kind TEXT NOT NULL,
    units BIGINT NOT NULL, bin TEXT NOT NULL, to_bin TEXT NOT NULL, lot TEXT NOT NULL,
    order_id TEXT NOT NULL, reason TEXT NOT NULL, receipt TEXT NOT NULL, event_id TEXT NOT NULL,
    PRIMARY KEY (sku, position, event_index, nth));
";

/// A count out of the database. Below zero is possible only in a damaged view; it shows as nothing.
fn count(units: i64) -> u32 {
    u32::try_from(units.max(0)).unwrap_or(u32::MAX)
}

/// A text as it is searched: lower case, Arabic letters and digits in one form, no vowel signs.
pub(crate) fn folded(text: &str) -> String {
    let fold = |c: char| match c {
        'أ' | 'إ' | 'آ' | 'ٱ' => Some('ا'),
        'ة' => Some('ه'),
        'ى' => Some('ي'),
        'ـ' | '\u{64b}'..='\u{652}' => None,
        '٠'..='٩' | '۰'..='۹' => char::from_digit(u32::from(c) & 0xf, 10),
        other => Some(other),
    };
    text.chars().filter_map(fold).flat_map(char::to_lowercase).collect()
}

/// `text` as a pattern that finds it anywhere, with `\` as the escape character.
fn anywhere(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in folded(text).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arabic_spellings_and_cases_are_found_alike() {
        assert_eq!(folded("أَحْمَد ١٢٣"), folded("احمد 123"));
        assert_eq!(folded("MUG ۷"), "mug 7");
        assert_eq!(anywhere("50%_a"), "%50\\%\\_a%");
    }
}
