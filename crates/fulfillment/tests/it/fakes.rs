//! Servers that answer as order and inventory do, as far as fulfilment asks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use nexus_proto::inventory::v1::inventory_service_server::InventoryService;
use nexus_proto::inventory::v1::{self as inventory};
use nexus_proto::order::v1::order_service_server::OrderService;
use nexus_proto::order::v1::{self as order};
use nexus_runtime::status;
use tonic::{Request, Response, Status};

/// The order service: the orders it knows, and what it was asked to wait for.
#[derive(Clone, Default)]
pub(crate) struct Orders {
    pub(crate) known: Arc<Mutex<BTreeMap<String, order::OrderForFulfillment>>>,
    pub(crate) awaited: Arc<Mutex<BTreeSet<(String, String)>>>,
    pub(crate) unsettled: Arc<Mutex<bool>>,
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn get_order_for_fulfillment(
        &self,
        request: Request<order::GetOrderForFulfillmentRequest>,
    ) -> Result<Response<order::OrderForFulfillment>, Status> {
        let id = request.into_inner().order_id;
        let known = self.known.lock().unwrap().get(&id).cloned();
        known.map(Response::new).ok_or_else(|| status::not_found("order", &id))
    }

    async fn await_order(
        &self,
        request: Request<order::AwaitOrderRequest>,
    ) -> Result<Response<order::AwaitOrderResponse>, Status> {
        let asked = request.into_inner();
        self.awaited.lock().unwrap().insert((asked.order_id, asked.stage.clone()));
        Ok(Response::new(order::AwaitOrderResponse {
            settled: !*self.unsettled.lock().unwrap(),
            status: asked.stage,
            position: "order:7".to_owned(),
        }))
    }
}

/// Rows by two names.
type Book<T> = Arc<Mutex<BTreeMap<(String, String), Vec<T>>>>;

/// The inventory service: a ledger of one book, and products.
#[derive(Clone, Default)]
pub(crate) struct Inventory {
    /// Where the units of a reservation in a warehouse lie.
    pub(crate) held: Book<inventory::AllocatedBin>,
    pub(crate) products: Arc<Mutex<BTreeMap<String, inventory::Product>>>,
    /// Picks by reservation and list.
    pub(crate) picks: Book<inventory::BinUnits>,
    /// What was missing, by the same names.
    pub(crate) missing: Book<inventory::MissingUnits>,
    /// Reservations whose picks the ledger refuses.
    pub(crate) refusing: Arc<Mutex<BTreeSet<String>>>,
    /// How many more picks it is not there for.
    pub(crate) away: Arc<Mutex<u32>>,
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn allocate_bins(
        &self,
        request: Request<inventory::AllocateBinsRequest>,
    ) -> Result<Response<inventory::AllocateBinsResponse>, Status> {
        let asked = request.into_inner();
        let held = self.held.lock().unwrap();
        let allocations = asked.reservations.iter().map(|reservation| {
            let lines = held.get(&(asked.warehouse.clone(), reservation.clone()));
            inventory::BinAllocation {
                reservation: reservation.clone(),
                order_id: String::new(),
                lines: lines.cloned().unwrap_or_default(),
                problem: if lines.is_none() { "UNKNOWN_RESERVATION" } else { "" }.to_owned(),
            }
        });
        let allocations = allocations.collect();
        Ok(Response::new(inventory::AllocateBinsResponse { allocations, position: String::new() }))
    }

    async fn get_products(
        &self,
        request: Request<inventory::GetProductsRequest>,
    ) -> Result<Response<inventory::GetProductsResponse>, Status> {
        let products = self.products.lock().unwrap();
        let skus = request.into_inner().skus;
        let (known, unknown): (Vec<_>, Vec<_>) =
            skus.into_iter().partition(|sku| products.contains_key(sku));
        let found = known.iter().filter_map(|sku| products.get(sku).cloned());
        let (products, unknown_skus) = (found.collect(), unknown);
        Ok(Response::new(inventory::GetProductsResponse { products, unknown_skus }))
    }

    async fn resolve_barcode(
        &self,
        request: Request<inventory::ResolveBarcodeRequest>,
    ) -> Result<Response<inventory::ResolveBarcodeResponse>, Status> {
        let code = request.into_inner().code;
        let products = self.products.lock().unwrap();
        let found = products.values().find_map(|product| {
            let barcode = product.barcodes.iter().find(|barcode| barcode.code == code)?;
            Some(inventory::ResolveBarcodeResponse {
                sku: product.sku.clone(),
                units: barcode.units,
                name: product.name.clone(),
            })
        });
        found.map(Response::new).ok_or_else(|| status::not_found("barcode", &code))
    }

    async fn pick(
        &self,
        request: Request<inventory::PickRequest>,
    ) -> Result<Response<inventory::Reservation>, Status> {
        let asked = request.into_inner();
        let mut away = self.away.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return Err(status::unavailable("inventory is away"));
        }
        if self.refusing.lock().unwrap().contains(&asked.reservation) {
            return Err(status::refused("NOT_HELD", "nothing is held", &[]));
        }
        let key = (asked.reservation.clone(), asked.pick_list_id);
        self.missing.lock().unwrap().insert(key.clone(), asked.missing);
        self.picks.lock().unwrap().insert(key, asked.lines);
        let reservation = asked.reservation;
        Ok(Response::new(inventory::Reservation { reservation, ..Default::default() }))
    }
}
