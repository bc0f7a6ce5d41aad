//! Requests to commands and questions, answers back; refusals to statuses.

mod forward;
mod parse;
mod places;
mod products;
mod refusals;
mod reservations;
mod stock;
mod warehouses;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use nexus_es::log::EventLog;
use nexus_es::views::Views;
use nexus_es::{
    Aggregate, AggregateId, HandleError, Handler, Heard, Position, Positions, Receipt, Version,
};
use nexus_proto::inventory::v1 as proto;
use nexus_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use nexus_proto::inventory::v1::inventory_service_server::InventoryService;
use nexus_runtime::channels::Client;
use nexus_runtime::{Ports, reads, status};
use tonic::{Request, Response, Status};

use crate::domain::barcode_claim::BarcodeClaim;
use crate::domain::product::Product;
use crate::domain::stock_ledger::{Refusal, StockLedger};
use crate::domain::warehouse::Warehouse;
use crate::owners::{Decides, Owners};
use crate::{Config, SERVICE};
use forward::Forwarded;

/// How long a look at the stock waits for what happened just before it.
const LATEST_PATIENCE: Duration = Duration::from_millis(250);

type Answer<M> = Result<Response<M>, Status>;

/// The rpcs of inventory.
pub(crate) struct Inventory {
    products: Handler<Product>,
    claims: Handler<BarcodeClaim>,
    warehouses: Handler<Warehouse>,
    ledgers: Handler<StockLedger>,
    /// None where this replica is alone.
    owners: Option<Arc<Owners>>,
    log: Arc<dyn EventLog>,
    views: Arc<Views>,
    patience: Duration,
}

impl Inventory {
    pub(crate) fn new(ports: &Ports, views: Arc<Views>, config: &Config) -> Self {
        let log = &ports.log;
        let ledgers = Handler::new(Arc::clone(log));
        Self {
            products: Handler::new(Arc::clone(log)),
            claims: Handler::new(Arc::clone(log)),
            warehouses: Handler::new(Arc::clone(log)),
            owners: Owners::of(ports, ledgers.clone()),
            ledgers,
            log: Arc::clone(log),
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

    /// Reads a ledger: what is kept of it where this replica decides about it, else the newest.
    async fn ledger<T: Send + 'static>(
        &self,
        code: &str,
        read: impl Fn(&StockLedger) -> T + Clone + Send + 'static,
    ) -> Result<Option<T>, HandleError<Refusal>> {
        if let Some(owners) = &self.owners
            && let Decides::We = owners.who_decides(code).await
        {
            return self.ledgers.find(code, move |ledger| Some(read(ledger))).await;
        }
        self.ledgers.read(code, read).await.map(|(_, found)| Some(found))
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

/// Each rpc stands in the module of what it is about; one that changes a ledger is answered by the
/// replica that owns it.
macro_rules! rpcs {
    (
        $($rpc:ident($request:ident) -> $answer:ident in $module:ident $($by_owner:ident)?),+ $(,)?
    ) => {
        #[tonic::async_trait]
        impl InventoryService for Inventory {
            $(async fn $rpc(&self, request: Request<proto::$request>) -> Answer<proto::$answer> {
                $(
                    let code = request.get_ref().warehouse.clone();
                    let call = |mut owner: InventoryServiceClient<Client>, onward| {
                        async move { owner.$rpc(onward).await }.boxed()
                    };
                    let request = match self.$by_owner(&code, request, call).await {
                        Forwarded::Answered(answer) => return answer,
                        Forwarded::Ours(request) => request,
                    };
                )?
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
    receive_stock(ReceiveStockRequest) -> StockChange in stock by_owner,
    adjust_stock(AdjustStockRequest) -> StockChange in stock by_owner,
    move_stock(MoveStockRequest) -> StockChange in stock by_owner,
    take_back(TakeBackRequest) -> StockChange in stock by_owner,
    list_stock(ListStockRequest) -> ListStockResponse in stock,
    list_movements(ListMovementsRequest) -> ListMovementsResponse in stock,
    plan_allocation(PlanAllocationRequest) -> PlanAllocationResponse in reservations,
    reserve(ReserveRequest) -> ReserveResponse in reservations by_owner,
    release_reservation(ReleaseReservationRequest) -> ReleaseReservationResponse
        in reservations by_owner,
    allocate_bins(AllocateBinsRequest) -> AllocateBinsResponse in reservations by_owner,
    pick(PickRequest) -> Reservation in reservations by_owner,
    unpick(UnpickRequest) -> Reservation in reservations by_owner,
    ship(ShipRequest) -> Reservation in reservations by_owner,
    get_reservation(GetReservationRequest) -> Reservation in reservations,
}
