//! Products as requests describe them.

use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::{Violations, money};
use tonic::Status;

use super::claim_id;
use crate::domain::barcode::Barcode;
use crate::domain::product::{Amendment, Details, Pack};
use crate::domain::{Dimensions, Price, Sku};
use crate::grpc::parse;

const MAX_NAME: usize = 300;
const MAX_BARCODES: usize = 50;
const MAX_PACK: u32 = 100_000;
const MAX_GRAMS: u32 = 100_000_000;
const MAX_MILLIMETRES: u32 = 100_000;

pub(super) fn registration(body: &proto::RegisterProductRequest) -> Result<(Sku, Details), Status> {
    let mut violations = Violations::default();
    let details = Details {
        name: violations.text("name", &body.name, MAX_NAME),
        barcodes: packs(&mut violations, &body.barcodes),
        weight_grams: weight(&mut violations, body.weight_grams),
        dimensions: dimensions(&mut violations, body.dimensions_mm.as_ref()),
        stocked: body.stocked.unwrap_or(true),
        price: price(&mut violations, body.price.as_ref()),
    };
    let sku = parse::sku(&mut violations, "sku", &body.sku);
    violations.done()?;
    Ok((sku, details))
}

pub(super) fn amendment(body: &proto::AmendProductRequest) -> Result<(Sku, Amendment), Status> {
    let mut violations = Violations::default();
    let barcodes = packs(&mut violations, &body.barcodes);
    let amendment = Amendment {
        name: body.name.as_ref().map(|name| violations.text("name", name, MAX_NAME)),
        barcodes: Some(barcodes).filter(|packs| !packs.is_empty()),
        weight_grams: weight(&mut violations, body.weight_grams),
        dimensions: dimensions(&mut violations, body.dimensions_mm.as_ref()),
        price: price(&mut violations, body.price.as_ref()),
    };
    let sku = parse::sku(&mut violations, "sku", &body.sku);
    violations.done()?;
    Ok((sku, amendment))
}

/// The stored forms of `codes`.
pub(super) fn normal(codes: &[String]) -> Vec<Barcode> {
    codes.iter().filter_map(|code| Barcode::parse(code).ok()).collect()
}

fn packs(violations: &mut Violations, barcodes: &[proto::Barcode]) -> Vec<Pack> {
    if barcodes.len() > MAX_BARCODES {
        let count = barcodes.len();
        violations
            .add("barcodes", format!("has {count} codes, at most {MAX_BARCODES} are allowed"));
    }
    let mut seen = Vec::new();
    let mut packs = Vec::new();
    for (nth, barcode) in barcodes.iter().enumerate().take(MAX_BARCODES) {
        let field = |name: &str| format!("barcodes[{nth}].{name}");
        match Barcode::parse(&barcode.code) {
            Ok(code) if seen.contains(&code) => {
                violations.add(field("code"), format!("\"{code}\" stands here twice"));
            }
            Ok(code) if claim_id(&code).is_none() => violations.add(field("code"), "is too long"),
            Ok(code) => seen.push(code),
            Err(bad) => violations.add(field("code"), bad.to_string()),
        }
        let units = violations.units(&field("units"), barcode.units.max(1), MAX_PACK);
        packs.push(Pack { code: barcode.code.trim().to_owned(), units });
    }
    packs
}

fn weight(violations: &mut Violations, grams: Option<u32>) -> Option<u32> {
    let grams = grams.filter(|grams| *grams > 0)?;
    Some(violations.units("weight_grams", grams, MAX_GRAMS))
}

fn dimensions(
    violations: &mut Violations,
    measures: Option<&common::Dimensions>,
) -> Option<Dimensions> {
    let measures = measures?;
    let mut side = |name: &str, value| {
        violations.units(&format!("dimensions_mm.{name}"), value, MAX_MILLIMETRES)
    };
    Some(Dimensions {
        length: side("length", measures.length),
        width: side("width", measures.width),
        height: side("height", measures.height),
    })
}

fn price(violations: &mut Violations, price: Option<&common::Money>) -> Option<Price> {
    let price = price?;
    if money::minor_digits(&price.currency).is_none() {
        let description = format!("\"{}\" is not an ISO 4217 currency", price.currency);
        violations.add("price.currency", description);
    }
    let amount = violations.amount("price.amount", &price.amount);
    Some(Price { amount, currency: price.currency.clone() })
}
