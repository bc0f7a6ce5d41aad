//! Events of manifests as stored.

use nexus_es::{Aggregate, BadEvent, Payload};
use nexus_proto::shipping::v1 as proto;

use super::{SERVICE, courier, malformed, read, stored, unknown};
use crate::domain::manifest::{Event, Manifest, Misfit, Parcel};

impl Aggregate for Manifest {
    const SERVICE: &'static str = SERVICE;

    fn encode(event: &Event) -> Payload {
        match event {
            Event::Opened { account, courier } => {
                let message = proto::ManifestOpened {
                    courier_account_id: account.clone(),
                    courier: courier.name().to_owned(),
                };
                stored("manifest.Opened", &message)
            }
            Event::Scanned(parcel) => {
                let message = proto::ManifestScanned {
                    shipment_id: parcel.shipment_id.clone(),
                    tracking_number: parcel.tracking_number.clone(),
                    order_number: parcel.order_number.clone(),
                    cod: parcel.cod,
                    currency: parcel.currency.clone(),
                };
                stored("manifest.Scanned", &message)
            }
            Event::ScanRefused { tracking_number, misfit } => {
                let message = proto::ManifestScanRefused {
                    tracking_number: tracking_number.clone(),
                    result: misfit.name().to_owned(),
                };
                stored("manifest.ScanRefused", &message)
            }
            Event::Closed { shipments, at_ms, document_sha256 } => {
                let message = proto::ManifestClosed {
                    shipment_ids: shipments.clone(),
                    at_ms: *at_ms,
                    blob_sha256: document_sha256.clone(),
                };
                stored("manifest.Closed", &message)
            }
        }
    }

    fn decode(payload: &Payload) -> Result<Event, BadEvent> {
        match (payload.event_type.as_str(), payload.schema) {
            ("manifest.Opened", 1) => {
                let message: proto::ManifestOpened = read(payload)?;
                let courier = courier(payload, &message.courier)?;
                Ok(Event::Opened { account: message.courier_account_id, courier })
            }
            ("manifest.Scanned", 1) => {
                let message: proto::ManifestScanned = read(payload)?;
                Ok(Event::Scanned(Parcel {
                    shipment_id: message.shipment_id,
                    tracking_number: message.tracking_number,
                    order_number: message.order_number,
                    cod: message.cod,
                    currency: message.currency,
                }))
            }
            ("manifest.ScanRefused", 1) => {
                let message: proto::ManifestScanRefused = read(payload)?;
                let misfit = Misfit::parse(&message.result)
                    .ok_or_else(|| malformed(payload, format!("no result {}", message.result)))?;
                Ok(Event::ScanRefused { tracking_number: message.tracking_number, misfit })
            }
            ("manifest.Closed", 1) => {
                let message: proto::ManifestClosed = read(payload)?;
                Ok(Event::Closed {
                    shipments: message.shipment_ids,
                    at_ms: message.at_ms,
                    document_sha256: message.blob_sha256,
                })
            }
            _ => Err(unknown(payload)),
        }
    }
}
