//! Makes pick lists for chosen orders: asks the orders, opens what is not open yet, has inventory
//! choose bins, and puts one list a warehouse together. Asked again with the same key, it goes on
//! where it stopped.

mod selection;

use nexus_es::{Cause, HandleError, Receipt, derived_id};
use nexus_proto::fulfillment::v1 as proto;
use nexus_proto::inventory::v1 as inventory;
use nexus_runtime::caller::Caller;
use nexus_runtime::{Violations, reply, status};
use std::collections::BTreeMap;
use tonic::{Response, Status};

use super::settle::Consequence;
use super::{Api, OWN_VIEWS, refusals, unreadable};
use crate::domain::pick_list::{Command, Line, Part, Place, Refusal, Wanted, walk};
use crate::floor::further;
use crate::views::{fulfillments, pick_lists};

use selection::Selected;

const RPC: &str = "GeneratePickLists";
const MOST_ORDERS: usize = 200;
/// Lines of one list: as many as an order may have, and some more.
const MOST_LINES: usize = 2500;
/// SKUs that inventory answers for at once.
const SKUS_A_CALL: usize = 2000;

/// A list that was made, or had been made by the same request before.
struct Made {
    id: String,
    replayed: bool,
    parts: Vec<Part>,
}

impl Api {
    pub(super) async fn generate_pick_lists(
        &self,
        caller: &Caller,
        asked: proto::GeneratePickListsRequest,
    ) -> Result<Response<proto::GeneratePickListsResponse>, Status> {
        let order_ids = parse(&asked)?;
        let cause = caller.cause(RPC, &asked);
        let made_before = self.made_before(&cause).await?;
        let base = caller.new_id(RPC);
        let made = match self.make(caller, &cause, &base, &order_ids, asked.warehouse()).await {
            Ok(made) => made,
            // The orders have moved on since: the answer of the first time still stands.
            Err(_) if !made_before.is_empty() => return self.repeat(made_before).await,
            Err(no) => return Err(no),
        };
        let deadline = self.deadline();
        let mut lists = vec![];
        let mut consequences = vec![];
        for made in &made {
            lists.push(self.listed(made).await?);
            consequences.extend(made.parts.iter().map(|part| Consequence {
                order_id: part.order_id.clone(),
                fulfillment_id: part.fulfillment_id.clone(),
                stage: "processing",
            }));
        }
        let settled = self.settled(consequences, deadline).await;
        let position = settled.positions.to_string();
        for list in &mut lists {
            list.position.clone_from(&position);
        }
        let replayed = made.iter().all(|made| made.replayed);
        let answer = proto::GeneratePickListsResponse {
            pick_lists: lists,
            settled: Some(settled.settled),
            position,
        };
        Ok(reply::replayed_if(replayed, answer))
    }

    /// The lists that this very request made before; another body with its key is refused.
    async fn made_before(&self, cause: &Cause) -> Result<Vec<String>, Status> {
        let pool = self.floor.views.pool();
        let made = pick_lists::made_by(&pool, &cause.command_id.to_string()).await;
        let made = made.map_err(|error| unreadable(error.into()))?;
        let hash = hex::encode(&cause.request_hash);
        if made.iter().any(|(_, before)| *before != hash) {
            let reused = HandleError::<Refusal>::KeyReused;
            return Err(status::of(reused, |no| refusals::of_pick_list("", "generate", &no)));
        }
        Ok(made.into_iter().map(|(id, _)| id).collect())
    }

    async fn repeat(
        &self,
        ids: Vec<String>,
    ) -> Result<Response<proto::GeneratePickListsResponse>, Status> {
        let mut pick_lists = vec![];
        for id in ids {
            let read = self.floor.pick_lists.read(&id, |_| ()).await;
            let (receipt, ()) =
                read.map_err(|error| status::of(error, |no| refusals::of_pick_list(&id, "", &no)))?;
            self.see(&receipt).await;
            pick_lists.push(self.shown_list(&id).await?);
        }
        let (settled, position) = (Some(true), self.position());
        let answer = proto::GeneratePickListsResponse { pick_lists, settled, position };
        Ok(reply::replayed_if(true, answer))
    }

    async fn make(
        &self,
        caller: &Caller,
        cause: &Cause,
        base: &str,
        order_ids: &[String],
        warehouse: &str,
    ) -> Result<Vec<Made>, Status> {
        let list_id = |warehouse: &str| derived_id(&["pick_list", base, warehouse]).to_string();
        let selected = self.select(caller, cause, order_ids, warehouse, list_id).await?;
        let mut by_warehouse: BTreeMap<String, Vec<Selected>> = BTreeMap::new();
        for one in selected {
            by_warehouse.entry(one.opened.warehouse.clone()).or_default().push(one);
        }
        let mut made = vec![];
        for (warehouse, selected) in by_warehouse {
            made.push(self.make_one(cause, list_id(&warehouse), &warehouse, selected).await?);
        }
        Ok(made)
    }

    async fn make_one(
        &self,
        cause: &Cause,
        id: String,
        warehouse: &str,
        selected: Vec<Selected>,
    ) -> Result<Made, Status> {
        let parts = || selected.iter().map(Selected::part).collect::<Vec<_>>();
        let read = self.floor.pick_lists.read(&id, |list| list.parts.clone()).await;
        let refused = |error| status::of(error, |no| refusals::of_pick_list(&id, "make it", &no));
        let (_, before) = read.map_err(refused)?;
        if !before.is_empty() {
            return Ok(Made { id, replayed: true, parts: before });
        }
        let story = match selected.as_slice() {
            [only] => only.opened.order_id.clone(),
            _ => id.clone(),
        };
        let wanted = self.places(cause, &id, warehouse, &selected, &story).await?;
        let mut lines = walk(&wanted);
        if lines.len() > MOST_LINES {
            return Err(status::refused(
                "TOO_MANY_LINES",
                format!(
                    "the walk through {warehouse} would have {} lines, at most {MOST_LINES} fit \
                     one pick list; choose fewer orders",
                    lines.len()
                ),
                &[("wish", "generate"), ("lines", &lines.len().to_string())],
            ));
        }
        self.name_lines(&mut lines, &selected, &story).await?;
        let command = Command::Generate { warehouse: warehouse.to_owned(), lines, parts: parts() };
        let cause = Cause { story, ..cause.clone() };
        let generated = self.floor.pick_lists.execute(&id, command, cause).await;
        let receipt: Receipt = generated.map_err(refused)?;
        self.see(&receipt).await;
        Ok(Made { id, replayed: receipt.replayed, parts: parts() })
    }

    /// Where inventory chose the units of each fulfilment.
    async fn places(
        &self,
        cause: &Cause,
        id: &str,
        warehouse: &str,
        selected: &[Selected],
        story: &str,
    ) -> Result<Vec<Wanted>, Status> {
        let reservations: Vec<String> =
            selected.iter().map(|one| one.opened.reservation.clone()).collect();
        let all = reservations.join(" ");
        let cause = further(cause, &["allocate bins", id, &all], story);
        let asked = inventory::AllocateBinsRequest {
            warehouse: warehouse.to_owned(),
            reservations,
            pick_list_id: id.to_owned(),
        };
        let request = self.floor.channels.request(asked, &cause);
        let answer = self.floor.channels.inventory().allocate_bins(request).await?.into_inner();
        let mut wanted = vec![];
        for one in selected {
            let reservation = one.opened.reservation.as_str();
            let mut found = answer.allocations.iter();
            let found = found.find(|allocation| allocation.reservation == reservation);
            let problem = found.map_or("NOTHING_HELD", |allocation| allocation.problem.as_str());
            let lines = found.map(|allocation| allocation.lines.as_slice()).unwrap_or_default();
            if !problem.is_empty() || lines.is_empty() {
                return Err(nothing_held(one, problem));
            }
            let places = lines.iter().map(|at| {
                let place = Place {
                    zone: at.zone.clone(),
                    pick_sequence: at.pick_sequence,
                    bin: at.bin.clone(),
                    sku: at.sku.clone(),
                    lot: at.lot.clone(),
                };
                (place, at.units)
            });
            let lines = one.opened.lines.iter();
            let lines = lines.map(|line| (line.line_id.clone(), line.sku.clone(), line.units));
            wanted.push(Wanted { lines: lines.collect(), places: places.collect() });
        }
        Ok(wanted)
    }

    /// Adds the names and barcodes that inventory knows.
    async fn name_lines(
        &self,
        lines: &mut [Line],
        selected: &[Selected],
        story: &str,
    ) -> Result<(), Status> {
        let mut skus: Vec<String> = lines.iter().map(|line| line.place.sku.clone()).collect();
        skus.sort_unstable();
        skus.dedup();
        let mut products = BTreeMap::new();
        for skus in skus.chunks(SKUS_A_CALL) {
            let min_position = String::new();
            let asked = inventory::GetProductsRequest { skus: skus.to_vec(), min_position };
            let request = self.floor.channels.question(asked, crate::SERVICE, story);
            let found = self.floor.channels.inventory().get_products(request).await?.into_inner();
            products.extend(found.products.into_iter().map(|it| (it.sku.clone(), it)));
        }
        let ordered = selected.iter().flat_map(|one| &one.opened.lines);
        let ordered: BTreeMap<&str, &str> =
            ordered.map(|line| (line.sku.as_str(), line.name.as_str())).collect();
        for line in lines {
            let product = products.get(&line.place.sku);
            let name = product.map(|product| product.name.as_str()).filter(|name| !name.is_empty());
            let name = name.or(ordered.get(line.place.sku.as_str()).copied());
            name.unwrap_or(&line.place.sku).clone_into(&mut line.name);
            let barcodes = product.into_iter().flat_map(|product| &product.barcodes);
            line.barcodes = barcodes.map(|it| (it.code.clone(), it.units.max(1))).collect();
        }
        Ok(())
    }

    /// Waits until the fulfilments stand on the list, and reads it.
    async fn listed(&self, made: &Made) -> Result<proto::PickList, Status> {
        let views = &self.floor.views;
        let key = pick_lists::key(&made.id);
        let listed = views.until(&key, OWN_VIEWS, || async {
            let pool = views.pool();
            let Some(list) = pick_lists::header(&pool, &made.id).await? else { return Ok(None) };
            let there = fulfillments::listed_on(&pool, &made.id).await?;
            let done = there >= list.order_ids.len() || list.status == "cancelled";
            Ok::<_, crate::views::ReadError>(done.then_some(()))
        });
        // Not in time: the list stands all the same, and `settled` will say so.
        listed.await.map_err(unreadable)?;
        let list = self.shown_list(&made.id).await?;
        // Another request put the same orders on its list a moment before.
        if list.status == "cancelled" && list.order_ids.is_empty() && !made.replayed {
            return Err(status::refused(
                "ALREADY_LISTED",
                "another pick list took these orders at the same moment; find it with \
                 GET /v1/fulfillments?order_id=",
                &[("status", "listed"), ("wish", "generate")],
            ));
        }
        Ok(list)
    }
}

fn nothing_held(one: &Selected, problem: &str) -> Status {
    let opened = &one.opened;
    let problem = if problem.is_empty() { "NOTHING_HELD" } else { problem };
    status::refused(
        problem,
        format!(
            "order {} has no stock to pick in {}: inventory says {problem} for reservation {}; \
             check its stock, then release or cancel the order",
            opened.order_number, opened.warehouse, opened.reservation
        ),
        &[("order_id", &opened.order_id), ("warehouse", &opened.warehouse), ("wish", "generate")],
    )
}

fn parse(asked: &proto::GeneratePickListsRequest) -> Result<Vec<String>, Status> {
    let mut wrong = Violations::default();
    let count = asked.order_ids.len();
    if count == 0 || count > MOST_ORDERS {
        wrong.add("order_ids", format!("has {count} orders, it must be 1 to {MOST_ORDERS}"));
    }
    let mut order_ids: Vec<String> = vec![];
    for (nth, id) in asked.order_ids.iter().enumerate().take(MOST_ORDERS) {
        let id = wrong.text(&format!("order_ids[{nth}]"), id, 100);
        if !order_ids.contains(&id) {
            order_ids.push(id);
        }
    }
    wrong.done()?;
    Ok(order_ids)
}
