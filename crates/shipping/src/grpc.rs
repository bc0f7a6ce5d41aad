//! Requests → commands → answers; a domain's no → a status.

mod accounts;
mod create_shipments;
mod manifests;
mod parcels;
mod reads;
mod refusals;
mod render;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use nexus_es::{Positions, Receipt};
use nexus_proto::order::v1::AwaitOrderRequest;
use nexus_proto::shipping::v1 as proto;
use nexus_proto::shipping::v1::shipping_service_server::ShippingService;
use nexus_runtime::caller::Caller;
use nexus_runtime::reads::min_position as position_asked;
use nexus_runtime::status;
use tonic::{Request, Response, Status};

use crate::parts::Parts;
use crate::wire::SERVICE;

/// How long an answer waits for this service's own views.
const OWN_VIEWS: Duration = Duration::from_secs(2);
/// How long a read that names no position waits for what happened just before it.
const LATEST: Duration = Duration::from_millis(250);
/// How long an answer waits for its consequences in the order.
const SETTLE_MS: u32 = 2_000;
/// How long an answer waits for the courier's.
const COURIER: Duration = Duration::from_secs(5);

pub(crate) struct Shipping {
    pub(crate) parts: Arc<Parts>,
}

impl Shipping {
    /// Waits until the views show what `receipt` stands for. A slow view never fails a command.
    async fn see(&self, receipt: &Receipt) {
        let wanted = Positions::one(SERVICE, receipt.position);
        if let Err(behind) = self.parts.views.wait_for(&wanted, OWN_VIEWS).await {
            tracing::warn!("answering before the views are there: {behind}");
        }
    }

    /// Waits for what the caller has seen; for all that happened before, where they name nothing.
    async fn wait_for(&self, min_position: &str) -> Result<(), Status> {
        if min_position.is_empty() {
            self.parts.views.wait_for_latest(LATEST).await;
            return Ok(());
        }
        let wanted = position_asked(min_position)?;
        let waited = self.parts.views.wait_for(&wanted, OWN_VIEWS).await;
        waited.map_err(|error| status::unavailable(format!("{error}, try again")))
    }

    fn position(&self) -> String {
        self.parts.views.positions().to_string()
    }

    /// Whether the order shows the shipment at `stage`, after at most two seconds, and up to where
    /// both services have then read.
    async fn settled(&self, order_id: &str, shipment_id: &str, stage: &str) -> (bool, Positions) {
        let channels = &self.parts.ports.channels;
        let wanted = AwaitOrderRequest {
            order_id: order_id.to_owned(),
            part_id: shipment_id.to_owned(),
            stage: stage.to_owned(),
            timeout_ms: SETTLE_MS,
            min_position: String::new(),
        };
        let request = channels.question(wanted, SERVICE, order_id);
        let own = self.parts.views.positions();
        match channels.order().await_order(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let theirs = Positions::parse(&answer.position).unwrap_or_default();
                (answer.settled, own.merged(&theirs))
            }
            Err(status) => {
                tracing::warn!("the order does not say whether it settled: {:?}", status.code());
                (false, own)
            }
        }
    }
}

fn database(error: sqlx::Error) -> Status {
    status::broken("the views cannot be read", error)
}

macro_rules! answered_by {
    ($($name:ident($request:ident) -> $answer:ident;)*) => {
        #[tonic::async_trait]
        impl ShippingService for Shipping {
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
    list_couriers(ListCouriersRequest) -> ListCouriersResponse;
    create_courier_account(CreateCourierAccountRequest) -> CourierAccount;
    list_courier_accounts(ListCourierAccountsRequest) -> ListCourierAccountsResponse;
    get_courier_account(GetCourierAccountRequest) -> CourierAccount;
    amend_courier_account(AmendCourierAccountRequest) -> CourierAccount;
    test_courier_account(TestCourierAccountRequest) -> TestCourierAccountResponse;
    rotate_credentials(RotateCredentialsRequest) -> CourierAccount;
    create_shipments(CreateShipmentsRequest) -> CreateShipmentsResponse;
    list_shipments(ListShipmentsRequest) -> ListShipmentsResponse;
    get_shipment(GetShipmentRequest) -> Shipment;
    create_awb(CreateAwbRequest) -> Shipment;
    create_awb_bosta(CreateAwbBostaRequest) -> Shipment;
    print_awb(PrintAwbRequest) -> Document;
    hand_over(HandOverRequest) -> Shipment;
    void_awb(VoidAwbRequest) -> Shipment;
    list_awb_status_logs(ListAwbStatusLogsRequest) -> ListAwbStatusLogsResponse;
    list_unmatched_courier_events(ListUnmatchedCourierEventsRequest)
        -> ListUnmatchedCourierEventsResponse;
    create_manifest(CreateManifestRequest) -> Manifest;
    list_manifests(ListManifestsRequest) -> ListManifestsResponse;
    get_manifest(GetManifestRequest) -> Manifest;
    scan_manifest(ScanManifestRequest) -> Manifest;
    close_manifest(CloseManifestRequest) -> Document;
    create_job(CreateJobRequest) -> Job;
    get_job(GetJobRequest) -> Job;
    print_job(PrintJobRequest) -> Document;
    get_public_tracking(GetPublicTrackingRequest) -> PublicTracking;
}

const JOBS: &str = "jobs for many orders are not built yet: ask order by order";

impl Shipping {
    #[expect(clippy::unused_async, reason = "every rpc is answered the same way")]
    async fn create_job(
        &self,
        _: &Caller,
        _: proto::CreateJobRequest,
    ) -> Result<Response<proto::Job>, Status> {
        Err(status::unimplemented(JOBS))
    }

    #[expect(clippy::unused_async, reason = "every rpc is answered the same way")]
    async fn get_job(
        &self,
        _: &Caller,
        _: proto::GetJobRequest,
    ) -> Result<Response<proto::Job>, Status> {
        Err(status::unimplemented(JOBS))
    }

    #[expect(clippy::unused_async, reason = "every rpc is answered the same way")]
    async fn print_job(
        &self,
        _: &Caller,
        _: proto::PrintJobRequest,
    ) -> Result<Response<proto::Document>, Status> {
        Err(status::unimplemented(JOBS))
    }
}
