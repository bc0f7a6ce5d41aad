//! Requests → commands → answers; a domain's no → a status.

mod barcode;
mod fulfillments;
mod generate;
mod messages;
mod pick_lists;
mod refusals;
mod scan;
mod settle;

use std::time::Duration;

use nexus_es::{Positions, Receipt};
use nexus_proto::fulfillment::v1 as proto;
use nexus_proto::fulfillment::v1::fulfillment_service_server::FulfillmentService;
use nexus_runtime::caller::Caller;
use nexus_runtime::{reads, status};
use tonic::{Code, Request, Response, Status};

use crate::SERVICE;
use crate::floor::Floor;
use crate::views::ReadError;

/// How long an answer waits for this service's own views.
const OWN_VIEWS: Duration = Duration::from_secs(2);
/// How long a read that names no position waits for what happened just before it.
const LATEST: Duration = Duration::from_millis(250);

pub(crate) struct Api {
    pub(crate) floor: Floor,
    /// How long an answer waits for its consequences in the order.
    pub(crate) settle: Duration,
}

impl Api {
    /// Waits until the views show what `receipt` stands for. A slow view never fails a command.
    async fn see(&self, receipt: &Receipt) {
        let wanted = Positions::one(SERVICE, receipt.position);
        if let Err(behind) = self.floor.views.wait_for(&wanted, OWN_VIEWS).await {
            tracing::warn!("answering before the views are there: {behind}");
        }
    }

    /// Waits for what the caller has seen; for all that happened before, where they name nothing.
    async fn wait_for(&self, min_position: &str) -> Result<(), Status> {
        if min_position.is_empty() {
            self.floor.views.wait_for_latest(LATEST).await;
            return Ok(());
        }
        let wanted = reads::min_position(min_position)?;
        let waited = self.floor.views.wait_for(&wanted, OWN_VIEWS).await;
        waited.map_err(|error| status::unavailable(format!("{error}, try again")))
    }

    fn position(&self) -> String {
        self.floor.views.positions().to_string()
    }
}

fn unreadable(error: ReadError) -> Status {
    match error {
        ReadError::Database(error) => status::broken("the views cannot be read", error),
        ReadError::Log(error) => status::broken("the log cannot be read", error),
        ReadError::Row(_) | ReadError::Commit(_) | ReadError::Event(_) => status::internal(&error),
    }
}

/// A caller that is bound to a warehouse touches no other one.
fn may_touch(caller: &Caller, warehouse: &str) -> Result<(), Status> {
    let own = caller.actor.warehouse.as_str();
    if own.is_empty() || own == warehouse {
        return Ok(());
    }
    let sentence = format!("your key is for warehouse {own}, this belongs to {warehouse}");
    Err(Status::new(Code::PermissionDenied, sentence))
}

macro_rules! answered_by {
    ($($name:ident($request:ident) -> $answer:ident;)*) => {
        #[tonic::async_trait]
        impl FulfillmentService for Api {
            $(async fn $name(
                &self,
                request: Request<proto::$request>,
            ) -> Result<Response<proto::$answer>, Status> {
                let caller = Caller::of(&request)?;
                self.$name(&caller, request.into_inner()).await
            })*
        }
    };
}

answered_by! {
    list_fulfillments(ListFulfillmentsRequest) -> ListFulfillmentsResponse;
    get_fulfillment(GetFulfillmentRequest) -> Fulfillment;
    pack(PackRequest) -> Fulfillment;
    generate_pick_lists(GeneratePickListsRequest) -> GeneratePickListsResponse;
    list_pick_lists(ListPickListsRequest) -> ListPickListsResponse;
    get_pick_list(GetPickListRequest) -> PickList;
    assign_pick_list(AssignPickListRequest) -> PickList;
    start_picking(StartPickingRequest) -> PickList;
    scan(ScanRequest) -> ScanResponse;
    report_short(ReportShortRequest) -> PickList;
    complete_pick_list(CompletePickListRequest) -> PickList;
    cancel_pick_list(CancelPickListRequest) -> PickList;
}
