//! When a pick list is completed, have the ledger book what was taken for each order, then tell the
//! order's fulfilment: picked, or disputed when the ledger says no.

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
use crate::domain::pick_list::{Event, PartTakes, PickList};
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
        let read = self.0.pick_lists.read(id, |list| list.warehouse.clone()).await;
        let (_, warehouse) = read.map_err(trouble)?;
        let recording = parts.into_iter().map(|part| self.record(heard, &warehouse, part));
        stream::iter(recording).buffer_unordered(AT_ONCE).try_collect().await
    }
}

impl RecordPicks {
    async fn record(&self, heard: &Heard, warehouse: &str, part: PartTakes) -> Result<(), Trouble> {
        let pick_list_id = heard.aggregate.id.clone();
        let id = part.fulfillment_id.as_str();
        let takes = part.takes.iter();
        let taken = takes.map(|take| (take.order_line_id.clone(), take.picked)).collect();
        let command = match self.book(heard, warehouse, &part).await? {
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
        warehouse: &str,
        part: &PartTakes,
    ) -> Result<Result<(), String>, Trouble> {
        let lines: Vec<_> = part
            .takes
            .iter()
            .filter(|take| take.picked > 0)
            .map(|take| inventory::BinUnits {
                sku: take.sku.clone(),
                bin: take.bin.clone(),
                lot: take.lot.clone(),
                units: take.picked,
            })
            .collect();
        // Nothing left a shelf: the promise stands as it did.
        if lines.is_empty() {
            return Ok(Ok(()));
        }
        let asked = inventory::PickRequest {
            warehouse: warehouse.to_owned(),
            reservation: part.reservation.clone(),
            lines,
            pick_list_id: heard.aggregate.id.clone(),
        };
        let cause = cause(heard, NAME, &format!("pick {}", part.reservation), &part.order_id);
        let request = self.0.channels.request(asked, &cause);
        match self.0.channels.inventory().pick(request).await {
            Ok(_) => Ok(Ok(())),
            Err(no) if is_refusal(&no) => {
                Ok(Err(status::reason(&no)
                    .unwrap_or_else(|| format!("{:?}", no.code()).to_uppercase())))
            }
            Err(no) => Err(status::trouble("booking the pick", &no)),
        }
    }
}

fn is_refusal(no: &Status) -> bool {
    matches!(
        no.code(),
        Code::FailedPrecondition | Code::NotFound | Code::AlreadyExists | Code::OutOfRange
    )
}
