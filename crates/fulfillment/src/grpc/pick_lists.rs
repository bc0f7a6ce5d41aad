//! Pick lists: read, list, assign, start, report short, complete, cancel.

use nexus_es::{Cause, Receipt, clock};
use nexus_proto::fulfillment::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::{Violations, reply, status};
use prost::Message;
use tokio::time::Instant;
use tonic::{Response, Status};

use super::settle::{Consequence, Settled};
use super::{Api, OWN_VIEWS, may_touch, refusals, unreadable};
use crate::domain::pick_list::{Command, PickList};
use crate::views::{fulfillments, pick_lists};

const STATUSES: [&str; 5] = ["open", "assigned", "picking", "completed", "cancelled"];

/// What is known of a list before a command.
pub(super) struct Walk {
    /// The order, when the list is for one only; else the list itself.
    story: String,
    warehouse: String,
}

/// The orders and fulfilments that are still on a list.
type Live = Vec<(String, String)>;

fn live(list: &PickList) -> Live {
    let parts = list.live_parts();
    parts.map(|part| (part.order_id.clone(), part.fulfillment_id.clone())).collect()
}

/// The name under which a caller picks when nobody is assigned.
pub(super) fn picker_of(caller: &Caller) -> String {
    caller.actor.id.clone()
}

impl Api {
    pub(super) async fn list_pick_lists(
        &self,
        caller: &Caller,
        mut asked: proto::ListPickListsRequest,
    ) -> Result<Response<proto::ListPickListsResponse>, Status> {
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
        let pool = self.floor.views.pool();
        let listed = pick_lists::list(&pool, &asked, &page, clock::now_ms()).await;
        let (pick_lists, next_page_token) = listed.map_err(unreadable)?;
        Ok(Response::new(proto::ListPickListsResponse { pick_lists, next_page_token }))
    }

    pub(super) async fn get_pick_list(
        &self,
        caller: &Caller,
        asked: proto::GetPickListRequest,
    ) -> Result<Response<proto::PickList>, Status> {
        self.wait_for(&asked.min_position).await?;
        let position = self.position();
        let mut list = self.shown_list(&asked.pick_list_id).await?;
        may_touch(caller, &list.warehouse)?;
        list.position = position;
        Ok(Response::new(list))
    }

    pub(super) async fn assign_pick_list(
        &self,
        caller: &Caller,
        asked: proto::AssignPickListRequest,
    ) -> Result<Response<proto::PickList>, Status> {
        let mut wrong = Violations::default();
        let picker = wrong.text("picker", &asked.picker, 100);
        wrong.done()?;
        let id = asked.pick_list_id.clone();
        let command = Command::Assign { picker };
        self.change(caller, "AssignPickList", "assign it", &id, &asked, command).await
    }

    pub(super) async fn start_picking(
        &self,
        caller: &Caller,
        asked: proto::StartPickingRequest,
    ) -> Result<Response<proto::PickList>, Status> {
        let id = asked.pick_list_id.clone();
        let command = Command::Start { picker: picker_of(caller) };
        self.change(caller, "StartPicking", "start", &id, &asked, command).await
    }

    pub(super) async fn report_short(
        &self,
        caller: &Caller,
        asked: proto::ReportShortRequest,
    ) -> Result<Response<proto::PickList>, Status> {
        let mut wrong = Violations::default();
        let command = Command::ReportShort {
            line_id: wrong.text("line_id", &asked.line_id, 64),
            found: asked.found,
            reason: wrong.text("reason", &asked.reason, 200),
            picker: picker_of(caller),
            now_ms: clock::now_ms(),
        };
        wrong.done()?;
        let id = asked.pick_list_id.clone();
        self.change(caller, "ReportShort", "report it short", &id, &asked, command).await
    }

    pub(super) async fn complete_pick_list(
        &self,
        caller: &Caller,
        asked: proto::CompletePickListRequest,
    ) -> Result<Response<proto::PickList>, Status> {
        let id = asked.pick_list_id.as_str();
        let cause = self.cause(caller, "CompletePickList", id, &asked).await?;
        let command = Command::Complete { picker: picker_of(caller) };
        let (receipt, live) = self.execute(id, "complete it", command, cause).await?;
        let deadline = self.deadline();
        let mut list = self.answer(id, &receipt).await?;
        let settled = self.picks_settled(live, deadline).await;
        list.settled = Some(settled.settled);
        list.position = settled.positions.to_string();
        Ok(reply::reply(&receipt, list))
    }

    pub(super) async fn cancel_pick_list(
        &self,
        caller: &Caller,
        asked: proto::CancelPickListRequest,
    ) -> Result<Response<proto::PickList>, Status> {
        let mut wrong = Violations::default();
        let reason = asked.reason.as_deref().unwrap_or_default();
        let reason = wrong.optional_text("reason", reason, 200);
        wrong.done()?;
        let reason = if reason.is_empty() { "cancelled by hand".to_owned() } else { reason };
        let id = asked.pick_list_id.as_str();
        let cause = self.cause(caller, "CancelPickList", id, &asked).await?;
        let (receipt, _) = self.execute(id, "cancel it", Command::Cancel { reason }, cause).await?;
        self.see(&receipt).await;
        // The next list for these orders must not find them on this one.
        let (views, key) = (&self.floor.views, pick_lists::key(id));
        let freed = views.until(&key, OWN_VIEWS, || async {
            let left = fulfillments::listed_on(&views.pool(), id).await?;
            Ok::<_, sqlx::Error>((left == 0).then_some(()))
        });
        let freed = freed.await.map_err(|error| unreadable(error.into()))?;
        let mut list = self.answer(id, &receipt).await?;
        list.settled = Some(freed.is_some());
        list.position = self.position();
        Ok(reply::reply(&receipt, list))
    }

    async fn change(
        &self,
        caller: &Caller,
        rpc: &'static str,
        wish: &str,
        id: &str,
        asked: &impl Message,
        command: Command,
    ) -> Result<Response<proto::PickList>, Status> {
        let cause = self.cause(caller, rpc, id, asked).await?;
        let (receipt, _) = self.execute(id, wish, command, cause).await?;
        let mut list = self.answer(id, &receipt).await?;
        list.position = self.position();
        Ok(reply::reply(&receipt, list))
    }

    async fn execute(
        &self,
        id: &str,
        wish: &str,
        command: Command,
        cause: Cause,
    ) -> Result<(Receipt, Live), Status> {
        let executed =
            self.floor.pick_lists.execute_then(id, command, cause, |list, _| live(list)).await;
        executed.map_err(|error| status::of(error, |no| refusals::of_pick_list(id, wish, &no)))
    }

    /// The cause of a command on a list: it belongs to the order's story when there is one order.
    pub(super) async fn cause(
        &self,
        caller: &Caller,
        rpc: &'static str,
        id: &str,
        asked: &impl Message,
    ) -> Result<Cause, Status> {
        let read = self.floor.pick_lists.read(id, walk).await;
        let read = read
            .map_err(|error| status::of(error, |no| refusals::of_pick_list(id, "read it", &no)));
        let (_, found) = read?;
        let walk = found.ok_or_else(|| status::not_found("pick list", id))?;
        may_touch(caller, &walk.warehouse)?;
        let story = if walk.story.is_empty() { id.to_owned() } else { walk.story };
        let cause = caller.checked_cause(&self.floor.views, rpc, asked).await?;
        Ok(Cause { story, ..cause })
    }

    async fn answer(&self, id: &str, receipt: &Receipt) -> Result<proto::PickList, Status> {
        self.see(receipt).await;
        if receipt.replayed {
            let past =
                pick_lists::past(&self.floor.log, id, receipt.version, clock::now_ms()).await;
            return past.map_err(unreadable);
        }
        self.shown_list(id).await
    }

    pub(super) async fn shown_list(&self, id: &str) -> Result<proto::PickList, Status> {
        let found = pick_lists::get(&self.floor.views.pool(), id, clock::now_ms()).await;
        found.map_err(unreadable)?.ok_or_else(|| status::not_found("pick list", id))
    }

    async fn picks_settled(&self, live: Live, deadline: Instant) -> Settled {
        let mut wanted: Vec<Consequence> = vec![];
        let all = live.len();
        for (order_id, fulfillment_id) in live {
            wanted.extend(self.outcome_of_pick(order_id, fulfillment_id, deadline).await);
        }
        let answered = wanted.len() == all;
        let settled = self.settled(wanted, deadline).await;
        Settled { settled: settled.settled && answered, ..settled }
    }
}

fn walk(list: &PickList) -> Option<Walk> {
    let story = match list.parts.as_slice() {
        [] => return None,
        [only] => only.order_id.clone(),
        _ => String::new(),
    };
    Some(Walk { story, warehouse: list.warehouse.clone() })
}
