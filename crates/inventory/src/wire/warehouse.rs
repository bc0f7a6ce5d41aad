//! Events of `warehouse`.

use nexus_es::handle::BadEvent;
use nexus_es::{Aggregate, Payload};
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;

use super::{read, stored, unknown};
use crate::SERVICE;
use crate::domain::warehouse::{Address, DefinedBin, Details, Event, Warehouse};

impl Aggregate for Warehouse {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Opened(details) => stored(
                "warehouse.Opened",
                &proto::WarehouseOpened {
                    name: details.name.clone(),
                    priority: details.priority,
                    address: details.address.as_deref().map(address_message),
                },
            ),
            Event::BinsDefined { bins } => {
                let fact = |bin: &DefinedBin| proto::BinFact {
                    code: bin.code.to_string(),
                    pick_sequence: bin.pick_sequence,
                    zone: bin.zone.clone(),
                };
                let bins = bins.iter().map(fact).collect();
                stored("warehouse.BinsDefined", &proto::WarehouseBinsDefined { bins })
            }
            Event::BinAssigned { sku, bin } => stored(
                "warehouse.BinAssigned",
                &proto::WarehouseBinAssigned { sku: sku.to_string(), bin: bin.to_string() },
            ),
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("warehouse.Opened", 1) => {
                let message: proto::WarehouseOpened = read(payload)?;
                Ok(Event::Opened(Details {
                    name: message.name,
                    priority: message.priority,
                    address: message.address.map(|it| Box::new(address(it))),
                }))
            }
            ("warehouse.BinsDefined", 1) => {
                let message: proto::WarehouseBinsDefined = read(payload)?;
                let bin = |fact: proto::BinFact| DefinedBin {
                    code: fact.code.into(),
                    pick_sequence: fact.pick_sequence,
                    zone: fact.zone,
                };
                Ok(Event::BinsDefined { bins: message.bins.into_iter().map(bin).collect() })
            }
            ("warehouse.BinAssigned", 1) => {
                let message: proto::WarehouseBinAssigned = read(payload)?;
                Ok(Event::BinAssigned { sku: message.sku.into(), bin: message.bin.into() })
            }
            _ => Err(unknown(payload)),
        }
    }
}

/// An address of the outer contract.
pub(crate) fn address(message: common::Address) -> Address {
    Address {
        country: message.country,
        governorate: message.governorate,
        city: message.city,
        district: message.district,
        line1: message.line1,
        line2: message.line2,
        building: message.building,
        floor: message.floor,
        apartment: message.apartment,
        postal_code: message.postal_code,
    }
}

/// The address as the outer contract has it.
pub(crate) fn address_message(address: &Address) -> common::Address {
    let Address {
        country,
        governorate,
        city,
        district,
        line1,
        line2,
        building,
        floor,
        apartment,
        postal_code,
    } = address.clone();
    common::Address {
        country,
        governorate,
        city,
        district,
        line1,
        line2,
        building,
        floor,
        apartment,
        postal_code,
    }
}
