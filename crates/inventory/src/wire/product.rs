//! Events of `product`.

use nexus_es::handle::BadEvent;
use nexus_es::{Aggregate, Payload};
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;

use super::{read, stored, unknown};
use crate::SERVICE;
use crate::domain::product::{Amendment, Details, Event, Pack, Product};
use crate::domain::{Dimensions, Price};

impl Aggregate for Product {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Registered(details) => stored("product.Registered", &registered(details)),
            Event::Amended(amendment) => stored("product.Amended", &amended(amendment)),
            Event::Discontinued { reason } => stored(
                "product.Discontinued",
                &proto::ProductDiscontinued { reason: reason.clone() },
            ),
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("product.Registered", 1) => {
                let message: proto::ProductRegistered = read(payload)?;
                Ok(Event::Registered(Details {
                    name: message.name,
                    barcodes: packs(message.barcodes),
                    weight_grams: Some(message.weight_grams).filter(|grams| *grams > 0),
                    dimensions: message.dimensions_mm.map(dimensions),
                    stocked: message.stocked,
                    price: message.price.map(price),
                }))
            }
            ("product.Amended", 1) => {
                let message: proto::ProductAmended = read(payload)?;
                let barcodes = Some(message.barcodes).filter(|codes| !codes.is_empty());
                Ok(Event::Amended(Amendment {
                    name: message.name,
                    barcodes: barcodes.map(packs),
                    weight_grams: message.weight_grams,
                    dimensions: message.dimensions_mm.map(dimensions),
                    price: message.price.map(price),
                }))
            }
            ("product.Discontinued", 1) => {
                let message: proto::ProductDiscontinued = read(payload)?;
                Ok(Event::Discontinued { reason: message.reason })
            }
            _ => Err(unknown(payload)),
        }
    }
}

fn registered(details: &Details) -> proto::ProductRegistered {
    proto::ProductRegistered {
        name: details.name.clone(),
        barcodes: facts(&details.barcodes),
        weight_grams: details.weight_grams.unwrap_or_default(),
        dimensions_mm: details.dimensions.map(measures),
        stocked: details.stocked,
        price: details.price.as_ref().map(price_fact),
    }
}

fn amended(amendment: &Amendment) -> proto::ProductAmended {
    proto::ProductAmended {
        name: amendment.name.clone(),
        barcodes: amendment.barcodes.as_deref().map(facts).unwrap_or_default(),
        weight_grams: amendment.weight_grams,
        dimensions_mm: amendment.dimensions.map(measures),
        price: amendment.price.as_ref().map(price_fact),
    }
}

fn facts(packs: &[Pack]) -> Vec<proto::BarcodeFact> {
    let fact = |pack: &Pack| proto::BarcodeFact { code: pack.code.clone(), units: pack.units };
    packs.iter().map(fact).collect()
}

fn packs(facts: Vec<proto::BarcodeFact>) -> Vec<Pack> {
    facts.into_iter().map(|fact| Pack { code: fact.code, units: fact.units }).collect()
}

fn measures(Dimensions { length, width, height }: Dimensions) -> common::Dimensions {
    common::Dimensions { length, width, height }
}

fn dimensions(message: common::Dimensions) -> Dimensions {
    let common::Dimensions { length, width, height } = message;
    Dimensions { length, width, height }
}

fn price_fact(price: &Price) -> proto::PriceFact {
    proto::PriceFact { amount: price.amount, currency: price.currency.clone() }
}

fn price(fact: proto::PriceFact) -> Price {
    Price { amount: fact.amount, currency: fact.currency }
}
