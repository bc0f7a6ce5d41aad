//! Requests to commands and questions, answers back; refusals to statuses.

mod parse;
mod places;
mod products;
mod refusals;
mod reservations;
mod stock;
mod warehouses;

use std::sync::Arc;
use std::time::Duration;

use nexus_es::log::EventLog;
use nexus_es::views::Views;
use nexus_es::{Aggregate, AggregateId, Handler, Heard, Position, Positions, Receipt, Version};
use nexus_proto::inventory::v1 as proto;
use nexus_proto::inventory::v1::inventory_service_server::InventoryService;
use nexus_runtime::{reads, status};
use tonic::{Request, Response, Status};

use crate::domain::barcode_claim::BarcodeClaim;
use crate::domain::product::Product;
use crate::domain::stock_ledger::StockLedger;
use crate::domain::warehouse::Warehouse;
use crate::{Config, SERVICE};

/// How long a look at the stock waits for what happened just before it.
const LATEST_PATIENCE: Duration = Duration::from_millis(250);

type Answer<M> = Result<Response<M>, Status>;

/// The rpcs of inventory.
pub(crate) struct Inventory {
    products: Handler<Product>,
    claims: Handler<BarcodeClaim>,
    warehouses: Handler<Warehouse>,
    ledgers: Handler<StockLedger>,
    log: Arc<dyn EventLog>,
    views: Arc<Views>,
    patience: Duration,
}

impl Inventory {
    pub(crate) fn new(log: Arc<dyn EventLog>, views: Arc<Views>, config: &Config) -> Self {
        Self {
            products: Handler::new(Arc::clone(&log)),
            claims: Handler::new(Arc::clone(&log)),
            warehouses: Handler::new(Arc::clone(&log)),
            ledgers: Handler::new(Arc::clone(&log)),
            log,
            views,
            patience: config.view_patience,
        }
    }

    /// Waits until the views show what the caller has seen already.
    async fn reach(&self, min_position: &str) -> Result<(), Status> {
        if min_position.is_empty() {
            return Ok(());
        }
        let wanted = reads::min_position(min_position)?;
        let waited = self.views.wait_for(&wanted, self.patience).await;
        waited.map_err(|error| status::broken("the read model is behind", error))
    }

    /// The same; and where the caller names no position, what the ledger holds by now. Stock moves
    /// through other services' calls: whoever confirms an order and then looks must see it held.
    async fn reach_or_latest(&self, min_position: &str) -> Result<(), Status> {
        if !min_position.is_empty() {
            return self.reach(min_position).await;
        }
        self.views.wait_for_latest(self.patience.min(LATEST_PATIENCE)).await;
        Ok(())
    }

    /// Waits until the views show what a command did.
    async fn show(&self, receipt: &Receipt) -> Result<(), Status> {
        let wanted = Positions::one(SERVICE, receipt.position);
        let waited = self.views.wait_for(&wanted, self.patience).await;
        waited.map_err(|error| {
            let done = "it is done, but the read model is behind: send the same request with the \
                        same key to see it";
            status::broken(done, error)
        })
    }

    /// Folds an aggregate's events as they were at `version`, each with its time.
    async fn fold_at<A: Aggregate, T: Default>(
        &self,
        id: &str,
        version: Version,
        fold: impl Fn(T, &A::Event, i64) -> T,
    ) -> Result<T, Status> {
        let aggregate = AggregateId::new(SERVICE, A::CATEGORY, id)
            .map_err(|bad| status::invalid_field("id", bad.to_string()))?;
        let commits = self.log.load(&aggregate, Version::NONE).await;
        let commits = commits.map_err(|error| status::broken("the log cannot be read", error))?;
        let mut state = T::default();
        for stored in commits.iter().filter(|stored| stored.version <= version) {
            for heard in Heard::of(stored).map_err(|error| status::internal(&error))? {
                let event = A::decode(&heard.payload).map_err(|error| status::internal(&error))?;
                state = fold(state, &event, heard.cause.occurred_at_ms);
            }
        }
        Ok(state)
    }
}

fn position_text(position: Position) -> String {
    Positions::one(SERVICE, position).to_string()
}

fn view_failed(error: sqlx::Error) -> Status {
    status::broken("the read model cannot be read", error)
}

/// Each rpc stands in the module of what it is about.
macro_rules! rpcs {
    ($($rpc:ident($request:ident) -> $answer:ident in $module:ident),+ $(,)?) => {
        #[tonic::async_trait]
        impl InventoryService for Inventory {
            $(async fn $rpc(&self, request: Request<proto::$request>) -> Answer<proto::$answer> {
                $module::$rpc(self, request).await
            })+
        }
    };
}

rpcs! {
    register_product(RegisterProductRequest) -> Product in products,
    get_product(GetProductRequest) -> Product in products,
    list_products(ListProductsRequest) -> ListProductsResponse in products,
    amend_product(AmendProductRequest) -> Product in products,
    discontinue_product(DiscontinueProductRequest) -> Product in products,
    resolve_barcode(ResolveBarcodeRequest) -> ResolveBarcodeResponse in products,
    get_products(GetProductsRequest) -> GetProductsResponse in products,
    open_warehouse(OpenWarehouseRequest) -> Warehouse in warehouses,
    get_warehouse(GetWarehouseRequest) -> Warehouse in warehouses,
    list_warehouses(ListWarehousesRequest) -> ListWarehousesResponse in warehouses,
    define_bins(DefineBinsRequest) -> DefineBinsResponse in warehouses,
    assign_bin(AssignBinRequest) -> Bin in warehouses,
    list_bins(ListBinsRequest) -> ListBinsResponse in warehouses,
    receive_stock(ReceiveStockRequest) -> StockChange in stock,
    adjust_stock(AdjustStockRequest) -> StockChange in stock,
    move_stock(MoveStockRequest) -> StockChange in stock,
    take_back(TakeBackRequest) -> StockChange in stock,
    list_stock(ListStockRequest) -> ListStockResponse in stock,
    list_movements(ListMovementsRequest) -> ListMovementsResponse in stock,
    plan_allocation(PlanAllocationRequest) -> PlanAllocationResponse in reservations,
    reserve(ReserveRequest) -> ReserveResponse in reservations,
    release_reservation(ReleaseReservationRequest) -> ReleaseReservationResponse in reservations,
    allocate_bins(AllocateBinsRequest) -> AllocateBinsResponse in reservations,
    pick(PickRequest) -> Reservation in reservations,
    unpick(UnpickRequest) -> Reservation in reservations,
    ship(ShipRequest) -> Reservation in reservations,
    get_reservation(GetReservationRequest) -> Reservation in reservations,
}
