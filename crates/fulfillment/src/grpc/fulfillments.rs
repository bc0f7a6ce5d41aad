//! Fulfilments: list, read, pack.

use nexus_es::derived_id;
use nexus_proto::fulfillment::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::{Violations, reply, status};
use tonic::{Response, Status};

use super::settle::Consequence;
use super::{Api, may_touch, refusals, unreadable};
use crate::domain::SkuUnits;
use crate::domain::fulfillment::{Command, Parcel, Stage};
use crate::views::fulfillments;
use crate::wire;

const STATUSES: [&str; 6] = ["ready", "listed", "picked", "packed", "handed_over", "withdrawn"];
const MOST_PARCELS: usize = 100;
const MOST_CONTENTS: usize = 2000;
const MOST_UNITS: u32 = 1_000_000;
/// One tonne: a parcel that weighs more was typed in another unit.
const MOST_GRAMS: u32 = 1_000_000;
const MOST_MILLIMETRES: u32 = 20_000;

impl Api {
    pub(super) async fn list_fulfillments(
        &self,
        caller: &Caller,
        mut asked: proto::ListFulfillmentsRequest,
    ) -> Result<Response<proto::ListFulfillmentsResponse>, Status> {
        let mut wrong = Violations::default();
        if !asked.status.is_empty() {
            wrong.one_of("status", &asked.status, &STATUSES);
        }
        wrong.done()?;
        if asked.warehouse.is_empty() {
            asked.warehouse.clone_from(&caller.actor.warehouse);
        }
        may_touch(caller, &asked.warehouse)?;
        let page = Page::parse(asked.page_size, &asked.page_token)?;
        self.wait_for(&asked.min_position).await?;
        let listed = fulfillments::list(&self.floor.views.pool(), &asked, &page).await;
        let (fulfillments, next_page_token) = listed.map_err(unreadable)?;
        Ok(Response::new(proto::ListFulfillmentsResponse { fulfillments, next_page_token }))
    }

    pub(super) async fn get_fulfillment(
        &self,
        caller: &Caller,
        asked: proto::GetFulfillmentRequest,
    ) -> Result<Response<proto::Fulfillment>, Status> {
        self.wait_for(&asked.min_position).await?;
        let position = self.position();
        let found = fulfillments::get(&self.floor.views.pool(), &asked.fulfillment_id).await;
        let found = found.map_err(unreadable)?;
        let mut found =
            found.ok_or_else(|| status::not_found("fulfillment", &asked.fulfillment_id))?;
        may_touch(caller, &found.warehouse)?;
        found.position = position;
        Ok(Response::new(found))
    }

    pub(super) async fn pack(
        &self,
        caller: &Caller,
        asked: proto::PackRequest,
    ) -> Result<Response<proto::Fulfillment>, Status> {
        let id = asked.fulfillment_id.as_str();
        let parcels = parse_parcels(id, &asked.parcels)?;
        let handler = &self.floor.fulfillments;
        let refused = |no| refusals::of_fulfillment(id, &no);
        let read = handler.read(id, |state| {
            let opened = &state.opened;
            (state.stage, opened.order_id.clone(), opened.warehouse.clone())
        });
        let (_, (stage, order_id, warehouse)) =
            read.await.map_err(|error| status::of(error, refused))?;
        if stage == Stage::Unknown {
            return Err(status::not_found("fulfillment", id));
        }
        may_touch(caller, &warehouse)?;
        let mut cause = caller.checked_cause(&self.floor.views, "Pack", &asked).await?;
        cause.story.clone_from(&order_id);
        let packed = handler.execute(id, Command::Pack { parcels }, cause).await;
        let receipt = packed.map_err(|error| status::of(error, refused))?;
        let deadline = self.deadline();
        self.see(&receipt).await;
        let mut answer = if receipt.replayed {
            fulfillments::past(&self.floor.log, id, receipt.version).await.map_err(unreadable)?
        } else {
            let found = fulfillments::get(&self.floor.views.pool(), id).await;
            found.map_err(unreadable)?.ok_or_else(|| {
                status::unavailable("packed, but the view is behind: read it again")
            })?
        };
        let wanted = Consequence { order_id, fulfillment_id: id.to_owned(), stage: "packed" };
        let settled = self.settled(vec![wanted], deadline).await;
        answer.settled = Some(settled.settled);
        answer.position = settled.positions.to_string();
        Ok(reply::reply(&receipt, answer))
    }
}

/// Parcels as they will be recorded; their ids follow from the fulfilment and their place.
fn parse_parcels(id: &str, parcels: &[proto::ParcelToPack]) -> Result<Vec<Parcel>, Status> {
    let mut wrong = Violations::default();
    if parcels.is_empty() || parcels.len() > MOST_PARCELS {
        wrong.add("parcels", format!("has {}, it must be 1 to {MOST_PARCELS}", parcels.len()));
    }
    let contents: usize = parcels.iter().map(|parcel| parcel.contents.len()).sum();
    if contents > MOST_CONTENTS {
        wrong.add("parcels", format!("hold {contents} rows, at most {MOST_CONTENTS} are allowed"));
    }
    let mut parsed = vec![];
    for (nth, parcel) in parcels.iter().enumerate().take(MOST_PARCELS) {
        parsed.push(parse_parcel(id, nth, parcel, &mut wrong));
    }
    wrong.done()?;
    Ok(parsed)
}

fn parse_parcel(
    id: &str,
    nth: usize,
    parcel: &proto::ParcelToPack,
    wrong: &mut Violations,
) -> Parcel {
    let field = format!("parcels[{nth}]");
    if parcel.weight_grams == 0 || parcel.weight_grams > MOST_GRAMS {
        let grams = parcel.weight_grams;
        let description = format!("is {grams}, weigh the parcel: 1 to {MOST_GRAMS} grams");
        wrong.add(format!("{field}.weight_grams"), description);
    }
    if parcel.contents.is_empty() {
        wrong.add(format!("{field}.contents"), "is required: a parcel holds something");
    }
    if let Some(size) = parcel.dimensions_mm {
        let sides = [("length", size.length), ("width", size.width), ("height", size.height)];
        for (side, value) in sides {
            wrong.units(&format!("{field}.dimensions_mm.{side}"), value, MOST_MILLIMETRES);
        }
    }
    let contents = parcel.contents.iter().enumerate().map(|(at, item)| {
        let field = format!("{field}.contents[{at}]");
        SkuUnits {
            sku: wrong.text(&format!("{field}.sku"), &item.sku, 100),
            units: wrong.units(&format!("{field}.units"), item.units, MOST_UNITS),
        }
    });
    let contents = contents.collect();
    Parcel {
        parcel_id: derived_id(&["parcel", id, &nth.to_string()]).to_string(),
        box_type: wrong.optional_text(
            &format!("{field}.box"),
            parcel.r#box.as_deref().unwrap_or_default(),
            60,
        ),
        weight_grams: parcel.weight_grams,
        dimensions: parcel.dimensions_mm.map(wire::dimensions_from_proto),
        contents,
    }
}
