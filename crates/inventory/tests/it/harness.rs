//! A server with inventory on it, and the short ways to ask it.

use std::sync::Arc;
use std::time::Duration;

use nexus_es::log::EventLog;
use nexus_es::memory::{
    MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryLog, MemoryTimers,
};
use nexus_es::ports::Leases;
use nexus_es::seal::{MasterKeys, Vault};
use nexus_es::tasks::Tasks;
use nexus_es::views::Views;
use nexus_es::{Actor, Cause, clock, new_id};
use nexus_inventory::Config;
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;
use nexus_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use nexus_runtime::channels::Client;
use nexus_runtime::rpc::{KeyCheck, RpcLayer};
use nexus_runtime::{Channels, Ports, Role, Secrets};
use nexus_test_postgres::Place;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

struct NoKeys;

impl KeyCheck for NoKeys {
    fn check(&self, _key: &str) -> Option<Actor> {
        None
    }
}

/// Inventory, listening.
pub(crate) struct Inventory {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) views: Arc<Views>,
    pub(crate) address: String,
    channels: Channels,
    tasks: Tasks,
    place: Place,
}

/// Inventory over a log in memory.
pub(crate) async fn inventory() -> Inventory {
    Inventory::over(Arc::new(MemoryLog::default())).await
}

/// Inventory with a warehouse MAIN of bins A, B, C, and MUG, CUP and PAN to sell.
pub(crate) async fn stocked() -> Inventory {
    let inventory = inventory().await;
    inventory.furnish().await;
    inventory
}

impl Inventory {
    pub(crate) async fn over(log: Arc<dyn EventLog>) -> Self {
        Self::over_in(log, Place::new().unwrap()).await
    }

    /// The same log read into the other kind of database.
    pub(crate) async fn on_the_other_database(&self) -> Self {
        Self::over_in(Arc::clone(&self.log), self.place.other().unwrap()).await
    }

    async fn over_in(log: Arc<dyn EventLog>, place: Place) -> Self {
        Self::start(log, place, None).await
    }

    /// One of several replicas, which share `leases`.
    pub(crate) async fn replica(log: Arc<dyn EventLog>, leases: Arc<dyn Leases>) -> Self {
        Self::start(log, Place::new().unwrap(), Some(leases)).await
    }

    async fn start(
        log: Arc<dyn EventLog>,
        place: Place,
        replicas: Option<Arc<dyn Leases>>,
    ) -> Self {
        let secrets = Arc::new(Secrets::new(Zeroizing::new(vec![7; 32])));
        let address = "127.0.0.1:0".parse().unwrap();
        let incoming = TcpIncoming::bind(address).unwrap();
        let uri = format!("http://{}", incoming.local_addr().unwrap());
        let channels = Channels::shared(&uri, Arc::clone(&secrets)).unwrap();
        let inner = match replicas {
            Some(_) => channels.clone().with_replica(Role::Inventory, uri.clone(), None),
            None => channels.clone(),
        };
        let tasks = Tasks::default();
        let masters = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
        let ports = Ports {
            log: Arc::clone(&log),
            leases: replicas.unwrap_or_else(|| Arc::new(MemoryLeases::default())),
            checkpoints: Arc::new(MemoryCheckpoints::default()),
            timers: Arc::new(MemoryTimers::default()),
            blobs: Arc::new(MemoryBlobs::default()),
            vault: Arc::new(Vault::new(Arc::new(MemoryKeyStore::default()), masters)),
            tasks: tasks.clone(),
            processes: tasks.clone(),
            database: place.setting().parse().unwrap(),
            channels: inner,
            secrets: Arc::clone(&secrets),
            speed: 1.0,
        };
        let mut routes = RoutesBuilder::default();
        let running = nexus_inventory::run(ports, Config::default(), &mut routes).await.unwrap();
        let server = Server::builder()
            .layer(RpcLayer::new(secrets, Arc::new(NoKeys)))
            .add_routes(routes.routes());
        let stopping = tasks.stopping();
        tasks.spawn("server", async move {
            let stop = stopping.cancelled_owned();
            server.serve_with_incoming_shutdown(incoming, stop).await.unwrap();
        });
        Self { log, views: running.views, address: uri, channels, tasks, place }
    }

    /// Ends it.
    pub(crate) async fn stop(&self) {
        assert!(self.tasks.shut_down(Duration::from_secs(10)).await);
    }

    pub(crate) async fn furnish(&self) {
        self.open("MAIN", 1).await;
        self.define("MAIN", &["A", "B", "C"]).await;
        for sku in ["MUG", "CUP", "PAN"] {
            self.register(product(sku)).await.unwrap();
        }
    }

    pub(crate) fn client(&self) -> InventoryServiceClient<Client> {
        self.channels.inventory()
    }

    /// A request with a key of its own.
    pub(crate) fn ask<M>(&self, message: M) -> Request<M> {
        self.ask_as(message, new_id())
    }

    /// A request with this key.
    pub(crate) fn ask_as<M>(&self, message: M, key: Uuid) -> Request<M> {
        self.ask_by(Actor::service("test"), message, key)
    }

    /// A request of this actor with this key.
    pub(crate) fn ask_by<M>(&self, actor: Actor, message: M, key: Uuid) -> Request<M> {
        let now = clock::now_ms();
        let cause = Cause {
            occurred_at_ms: now,
            learned_at_ms: now,
            command_id: key,
            request_hash: Vec::new(),
            story: String::new(),
            causation_id: None,
            actor,
            traceparent: String::new(),
        };
        self.channels.request(message, &cause)
    }

    pub(crate) async fn register(
        &self,
        product: proto::RegisterProductRequest,
    ) -> Result<proto::Product, Status> {
        Ok(self.client().register_product(self.ask(product)).await?.into_inner())
    }

    pub(crate) async fn open(&self, warehouse: &str, priority: u32) -> proto::Warehouse {
        let request = proto::OpenWarehouseRequest {
            warehouse: warehouse.into(),
            name: format!("House {warehouse}"),
            priority,
            address: None,
        };
        self.client().open_warehouse(self.ask(request)).await.unwrap().into_inner()
    }

    pub(crate) async fn define(&self, warehouse: &str, bins: &[&str]) -> Vec<proto::Bin> {
        let bins =
            bins.iter().map(|code| proto::NewBin { code: (*code).into(), ..Default::default() });
        let request =
            proto::DefineBinsRequest { warehouse: warehouse.into(), bins: bins.collect() };
        self.client().define_bins(self.ask(request)).await.unwrap().into_inner().bins
    }

    pub(crate) async fn receive(
        &self,
        warehouse: &str,
        lines: &[(&str, &str, u32)],
    ) -> Result<proto::StockChange, Status> {
        let request = delivery(warehouse, "", lines);
        Ok(self.client().receive_stock(self.ask(request)).await?.into_inner())
    }

    pub(crate) async fn reserve(
        &self,
        reservation: &str,
        lines: &[(&str, u32)],
    ) -> Result<proto::ReserveResponse, Status> {
        let request = proto::ReserveRequest {
            warehouse: "MAIN".into(),
            reservation: reservation.into(),
            order_id: reservation.split('/').next().unwrap_or_default().into(),
            lines: units(lines),
        };
        Ok(self.client().reserve(self.ask(request)).await?.into_inner())
    }

    pub(crate) async fn release(&self, reservation: &str) -> proto::ReleaseReservationResponse {
        let request = proto::ReleaseReservationRequest {
            warehouse: "MAIN".into(),
            reservation: reservation.into(),
            reason: "cancelled".into(),
            order_id: String::new(),
        };
        self.client().release_reservation(self.ask(request)).await.unwrap().into_inner()
    }

    pub(crate) async fn allocate(&self, reservations: &[&str]) -> Vec<proto::BinAllocation> {
        let request = proto::AllocateBinsRequest {
            warehouse: "MAIN".into(),
            reservations: reservations.iter().map(|name| (*name).into()).collect(),
            pick_list_id: "P1".into(),
        };
        self.client().allocate_bins(self.ask(request)).await.unwrap().into_inner().allocations
    }

    pub(crate) async fn pick(
        &self,
        reservation: &str,
        lines: &[(&str, &str, u32)],
    ) -> Result<proto::Reservation, Status> {
        let request = proto::PickRequest {
            warehouse: "MAIN".into(),
            reservation: reservation.into(),
            lines: places(lines),
            pick_list_id: "P1".into(),
            missing: Vec::new(),
        };
        Ok(self.client().pick(self.ask(request)).await?.into_inner())
    }

    pub(crate) async fn ship(&self, reservation: &str) -> Result<proto::Reservation, Status> {
        let request = proto::ShipRequest {
            warehouse: "MAIN".into(),
            reservation: reservation.into(),
            shipment_id: "S1".into(),
            lines: Vec::new(),
        };
        Ok(self.client().ship(self.ask(request)).await?.into_inner())
    }

    /// Stock of a SKU in MAIN once the view has read all that stands in the log.
    pub(crate) async fn stock(&self, sku: &str) -> proto::StockItem {
        let request = proto::ListStockRequest {
            sku: sku.into(),
            warehouse: "MAIN".into(),
            min_position: self.now().await,
            ..Default::default()
        };
        let answer = self.client().list_stock(self.ask(request)).await.unwrap().into_inner();
        answer.items.into_iter().next().unwrap_or_default()
    }

    /// Where the log ends.
    pub(crate) async fn now(&self) -> String {
        format!("inventory:{}", self.log.head("inventory").await.unwrap())
    }
}

impl Drop for Inventory {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

pub(crate) fn product(sku: &str) -> proto::RegisterProductRequest {
    proto::RegisterProductRequest {
        sku: sku.into(),
        name: format!("A {sku}"),
        ..Default::default()
    }
}

pub(crate) fn delivery(
    warehouse: &str,
    receipt: &str,
    lines: &[(&str, &str, u32)],
) -> proto::ReceiveStockRequest {
    let line = |(sku, bin, units): &(&str, &str, u32)| proto::ReceivedLine {
        sku: (*sku).into(),
        bin: (*bin).into(),
        lot: String::new(),
        units: *units,
    };
    proto::ReceiveStockRequest {
        warehouse: warehouse.into(),
        receipt: receipt.into(),
        lines: lines.iter().map(line).collect(),
    }
}

pub(crate) fn places(lines: &[(&str, &str, u32)]) -> Vec<proto::BinUnits> {
    let line = |(sku, bin, units): &(&str, &str, u32)| proto::BinUnits {
        sku: (*sku).into(),
        bin: (*bin).into(),
        lot: String::new(),
        units: *units,
    };
    lines.iter().map(line).collect()
}

pub(crate) fn units(lines: &[(&str, u32)]) -> Vec<common::SkuUnits> {
    let line = |(sku, units): &(&str, u32)| common::SkuUnits { sku: (*sku).into(), units: *units };
    lines.iter().map(line).collect()
}

/// The no of a call: its code and stable reason.
#[track_caller]
pub(crate) fn no<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), nexus_runtime::status::reason(&status).unwrap_or_default())
}
