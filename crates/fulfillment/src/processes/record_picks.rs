//! When a pick list is completed, have the ledger book what was taken for each order and where
//! units were missing, then tell the order's fulfilment: picked, or disputed when the ledger says
//! no.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use nexus_es::process::{Process, Trouble};
use nexus_es::{Aggregate, Heard};
use nexus_proto::inventory::v1 as inventory;
use nexus_runtime::status;
use tonic::{Code, Status};
use tracing::warn;

use super::{AT_ONCE, cause};
use crate::SERVICE;
use crate::domain::fulfillment::Command;
use crate::domain::pick_list::{Event, PartTakes, PickList, Take};
use crate::floor::{Floor, trouble};

const NAME: &str = "record_picks";

pub(crate) struct RecordPicks(pub(crate) Floor);

#[async_trait]
impl Process for RecordPicks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "pick_list.Completed").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let event = PickList::decode(&heard.payload);
        let event = event.map_err(|error| Trouble::Hopeless(error.to_string()))?;
        let Event::Completed { parts, .. } = event else { return Ok(()) };
        let id = heard.aggregate.id.as_str();
        let walk = |list: &PickList| Walk {
            warehouse: list.warehouse.clone(),
            reasons: list.short_reasons(),
        };
        let (_, walk) = self.0.pick_lists.read(id, walk).await.map_err(trouble)?;
        let recording = parts.into_iter().map(|part| self.record(heard, &walk, part));
        stream::iter(recording).buffer_unordered(AT_ONCE).try_collect().await
    }
}

impl RecordPicks {
    async fn record(&self, heard: &Heard, walk: &Walk, part: PartTakes) -> Result<(), Trouble> {
        let pick_list_id = heard.aggregate.id.clone();
        let id = part.fulfillment_id.as_str();
        let takes = part.takes.iter();
        let taken = takes.map(|take| (take.order_line_id.clone(), take.picked)).collect();
        let command = match self.book(heard, walk, &part).await? {
            Ok(()) => Command::RecordPick { pick_list_id, taken },
            Err(reason) => {
                warn!("the ledger disputes the pick of fulfilment {id}: {reason}");
                Command::DisputePick { pick_list_id, reason, taken }
            }
        };
        let cause = cause(heard, NAME, &format!("record {id}"), &part.order_id);
        self.0.fulfillments.execute(id, command, cause).await.map(drop).map_err(trouble)
    }

    /// Has the ledger book it; the inner error is the ledger's no.
    async fn book(
        &self,
        heard: &Heard,
        walk: &Walk,
        part: &PartTakes,
    ) -> Result<Result<(), String>, Trouble> {
        let picked = part.takes.iter().filter(|take| take.picked > 0);
        let lines: Vec<_> = picked.map(|take| units_of(take, take.picked)).collect();
        let nothing = lines.is_empty();
        let asked = inventory::PickRequest {
            warehouse: walk.warehouse.clone(),
            reservation: part.reservation.clone(),
            lines,
            pick_list_id: heard.aggregate.id.clone(),
            missing: walk.missing(part),
        };
        let cause = cause(heard, NAME, &format!("pick {}", part.reservation), &part.order_id);
        let request = self.0.channels.request(asked, &cause);
        match self.0.channels.inventory().pick(request).await {
            Ok(_) => Ok(Ok(())),
            // Nothing left a shelf: a promise that is gone has nothing to give back.
            Err(no) if nothing && is_refusal(&no) => Ok(Ok(())),
            Err(no) if is_refusal(&no) => {
                Ok(Err(status::reason(&no)
                    .unwrap_or_else(|| format!("{:?}", no.code()).to_uppercase())))
            }
            Err(no) => Err(status::trouble("booking the pick", &no)),
        }
    }
}

/// The walk that was completed.
struct Walk {
    warehouse: String,
    /// By article, bin and lot.
    reasons: BTreeMap<[String; 3], String>,
}

impl Walk {
    /// Where units were missing for one fulfilment.
    fn missing(&self, part: &PartTakes) -> Vec<inventory::MissingUnits> {
        let short = part.takes.iter().filter(|take| take.short > 0);
        let missing = short.map(|take| {
            let place = [&take.sku, &take.bin, &take.lot].map(Clone::clone);
            let reason = self.reasons.get(&place).filter(|reason| !reason.trim().is_empty());
            inventory::MissingUnits {
                at: Some(units_of(take, take.short)),
                reason: reason.map_or_else(|| "not found".to_owned(), Clone::clone),
            }
        });
        missing.collect()
    }
}

fn units_of(take: &Take, units: u32) -> inventory::BinUnits {
    inventory::BinUnits {
        sku: take.sku.clone(),
        bin: take.bin.clone(),
        lot: take.lot.clone(),
        units,
    }
}

fn is_refusal(no: &Status) -> bool {
    matches!(
        no.code(),
        Code::FailedPrecondition | Code::NotFound | Code::AlreadyExists | Code::OutOfRange
    )
}
