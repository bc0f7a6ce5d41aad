//! Inventory as the order service meets it: products, plans, all-or-nothing reservations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use nexus_proto::common::v1::{AllocatedLine, Allocation, Shortage, SkuUnits};
use nexus_proto::inventory::v1::inventory_service_server::InventoryService;
use nexus_proto::inventory::v1::{
    GetProductsRequest, GetProductsResponse, ListWarehousesRequest, ListWarehousesResponse,
    PlanAllocationRequest, PlanAllocationResponse, Product, ReleaseReservationRequest,
    ReleaseReservationResponse, ReserveRequest, ReserveResponse, Warehouse,
};
use nexus_runtime::status;
use tonic::{Request, Response, Status};

type Held = BTreeMap<String, u32>;

#[derive(Default)]
pub(crate) struct Stock {
    /// Warehouse, SKU → units that can be promised.
    free: BTreeMap<(String, String), u32>,
    /// Warehouse, name → what it holds.
    held: BTreeMap<(String, String), Held>,
    released: BTreeSet<(String, String)>,
    /// What plans believe, where it is not what is there.
    believed: Option<BTreeMap<(String, String), u32>>,
    is_down: bool,
    /// The next reserve is carried out, but its answer is lost, and inventory with it.
    loses_answer: bool,
    lookups: u32,
}

#[derive(Clone, Default)]
pub(crate) struct Inventory(Arc<Mutex<Stock>>);

impl Inventory {
    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap()
    }

    pub(crate) fn put(&self, warehouse: &str, sku: &str, units: u32) {
        self.stock().free.insert((warehouse.to_owned(), sku.to_owned()), units);
    }

    /// From now on plans see what is there now, whatever changes.
    pub(crate) fn freeze_plans(&self) {
        let mut stock = self.stock();
        stock.believed = Some(stock.free.clone());
    }

    pub(crate) fn go_down(&self, down: bool) {
        self.stock().is_down = down;
    }

    /// Carries out the next reserve, loses its answer, and is away from then on.
    pub(crate) fn lose_next_answer(&self) {
        self.stock().loses_answer = true;
    }

    pub(crate) fn free(&self, warehouse: &str, sku: &str) -> u32 {
        self.stock().free[&(warehouse.to_owned(), sku.to_owned())]
    }

    /// Names that hold something.
    pub(crate) fn holders(&self) -> Vec<String> {
        self.stock().held.keys().map(|(warehouse, name)| format!("{warehouse} {name}")).collect()
    }

    /// Something is held for `name`.
    pub(crate) fn hold(&self, warehouse: &str, name: &str, sku: &str, units: u32) {
        let held = Held::from([(sku.to_owned(), units)]);
        self.stock().held.insert((warehouse.to_owned(), name.to_owned()), held);
    }

    pub(crate) fn product_lookups(&self) -> u32 {
        self.stock().lookups
    }

    fn up(&self) -> Result<MutexGuard<'_, Stock>, Status> {
        let stock = self.stock();
        if stock.is_down { Err(Status::unavailable("inventory is down")) } else { Ok(stock) }
    }
}

fn wanted(lines: &[AllocatedLine]) -> Held {
    let mut wanted = Held::new();
    for line in lines.iter().filter(|line| line.sku != "POSTAGE") {
        *wanted.entry(line.sku.clone()).or_default() += line.units;
    }
    wanted
}

impl Stock {
    fn plan(&self, asked: &PlanAllocationRequest) -> PlanAllocationResponse {
        let seen = self.believed.as_ref().unwrap_or(&self.free);
        let warehouses: BTreeSet<_> = seen.keys().map(|(warehouse, _)| warehouse.clone()).collect();
        let usable: Vec<_> =
            warehouses.into_iter().filter(|it| !asked.excluded_warehouses.contains(it)).collect();
        let own = |warehouse: &str, sku: &str| {
            let held = self.held.get(&(warehouse.to_owned(), asked.reservation.clone()));
            held.and_then(|held| held.get(sku)).copied().unwrap_or_default()
        };
        let there = |warehouse: &str, sku: &str| {
            let free = seen.get(&(warehouse.to_owned(), sku.to_owned())).copied();
            let own = if self.believed.is_none() { own(warehouse, sku) } else { 0 };
            free.unwrap_or_default() + own
        };
        let wanted = wanted(&asked.lines);
        let mut plan = PlanAllocationResponse::default();
        for (sku, units) in &wanted {
            let available = usable.iter().map(|warehouse| there(warehouse, sku)).max().unwrap_or(0);
            if available < *units {
                let (sku, asked) = (sku.clone(), *units);
                plan.shortages.push(Shortage { sku, asked, available });
            }
        }
        let mut shares: BTreeMap<String, Vec<AllocatedLine>> = BTreeMap::new();
        for line in &asked.lines {
            if line.sku == "POSTAGE" {
                plan.unstocked_line_ids.push(line.line_id.clone());
                continue;
            }
            let whole = usable.iter().find(|it| wanted.iter().all(|(sku, n)| there(it, sku) >= *n));
            let single = usable.iter().find(|it| there(it, &line.sku) >= wanted[&line.sku]);
            if let Some(warehouse) = whole.or(single) {
                shares.entry(warehouse.clone()).or_default().push(line.clone());
            }
        }
        if plan.shortages.is_empty() {
            let shares = shares.into_iter();
            plan.allocation =
                shares.map(|(warehouse, lines)| Allocation { warehouse, lines }).collect();
        }
        plan
    }

    fn reserve(&mut self, asked: ReserveRequest) -> Result<ReserveResponse, Status> {
        let lines: Held = asked.lines.iter().map(|it| (it.sku.clone(), it.units)).collect();
        let name = (asked.warehouse.clone(), asked.reservation.clone());
        match self.held.get(&name) {
            // The caller's key is made from its attempt and the warehouse, like the name.
            Some(held) if *held != lines => {
                Err(status::of(nexus_es::HandleError::<()>::KeyReused, |()| {
                    Status::internal("not refused")
                }))
            }
            _ => Ok(self.reserve_anew(asked)),
        }
    }

    fn reserve_anew(&mut self, asked: ReserveRequest) -> ReserveResponse {
        let name = (asked.warehouse.clone(), asked.reservation);
        if self.released.contains(&name) {
            let reason = "RELEASED_BEFORE".to_owned();
            return ReserveResponse { reason, ..ReserveResponse::default() };
        }
        if self.held.contains_key(&name) {
            return ReserveResponse { reserved: true, ..ReserveResponse::default() };
        }
        let free = |stock: &Self, sku: &str| {
            stock.free.get(&(asked.warehouse.clone(), sku.to_owned())).copied().unwrap_or_default()
        };
        let short = asked.lines.iter().filter(|line| free(self, &line.sku) < line.units);
        let shortages: Vec<_> = short
            .map(|line| Shortage {
                sku: line.sku.clone(),
                asked: line.units,
                available: free(self, &line.sku),
            })
            .collect();
        if !shortages.is_empty() {
            let reason = "STOCK_SHORT".to_owned();
            return ReserveResponse { reason, shortages, ..ReserveResponse::default() };
        }
        let mut held = Held::new();
        for line in asked.lines {
            *self.free.get_mut(&(asked.warehouse.clone(), line.sku.clone())).unwrap() -= line.units;
            held.insert(line.sku, line.units);
        }
        self.held.insert(name, held);
        ReserveResponse { reserved: true, ..ReserveResponse::default() }
    }
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn get_products(
        &self,
        request: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        self.up()?.lookups += 1;
        let mut answer = GetProductsResponse::default();
        for sku in request.into_inner().skus {
            if sku.starts_with("NO-") {
                answer.unknown_skus.push(sku);
            } else {
                let name = format!("{sku} by name");
                let discontinued = sku.starts_with("OLD-");
                let product = Product { sku, name, stocked: true, ..Product::default() };
                answer.products.push(Product { discontinued, ..product });
            }
        }
        Ok(Response::new(answer))
    }

    async fn list_warehouses(
        &self,
        _request: Request<ListWarehousesRequest>,
    ) -> Result<Response<ListWarehousesResponse>, Status> {
        let stock = self.up()?;
        let names: BTreeSet<_> = stock.free.keys().map(|(warehouse, _)| warehouse).collect();
        let warehouse = |name: &String| Warehouse { warehouse: name.clone(), ..Default::default() };
        let warehouses = names.into_iter().map(warehouse).collect();
        Ok(Response::new(ListWarehousesResponse { warehouses, ..Default::default() }))
    }

    async fn plan_allocation(
        &self,
        request: Request<PlanAllocationRequest>,
    ) -> Result<Response<PlanAllocationResponse>, Status> {
        Ok(Response::new(self.up()?.plan(request.get_ref())))
    }

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        let mut stock = self.up()?;
        let answer = stock.reserve(request.into_inner())?;
        if std::mem::take(&mut stock.loses_answer) {
            stock.is_down = true;
            return Err(Status::unavailable("the answer is lost"));
        }
        Ok(Response::new(answer))
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<ReleaseReservationResponse>, Status> {
        let asked = request.into_inner();
        let mut stock = self.up()?;
        let name = (asked.warehouse.clone(), asked.reservation);
        let held = stock.held.remove(&name);
        let unseen = held.is_none() && stock.released.insert(name.clone());
        stock.released.insert(name);
        let mut lines = Vec::new();
        for (sku, units) in held.unwrap_or_default() {
            *stock.free.get_mut(&(asked.warehouse.clone(), sku.clone())).unwrap() += units;
            lines.push(SkuUnits { sku, units });
        }
        Ok(Response::new(ReleaseReservationResponse { lines, unseen, ..Default::default() }))
    }
}
