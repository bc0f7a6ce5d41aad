//! A shop to measure with: products, one warehouse full of stock, and the steps of an order's life
//! over gRPC.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use nexus_es::{Actor, Cause, clock, new_id};
use nexus_proto::common::v1::{Address, Money, SkuUnits};
use nexus_proto::fulfillment::v1 as fulfillment;
use nexus_proto::inventory::v1 as inventory;
use nexus_proto::order::v1 as order;
use nexus_proto::shipping::v1 as shipping;
use nexus_runtime::Channels;

use super::ground::Ground;
use crate::system::{Settings, System};

pub(crate) const WAREHOUSE: &str = "MAIN";
pub(crate) const SKUS: u64 = 100;
const CUSTOMERS: u64 = 100_000;
const LINES: u64 = 3;
/// Enough that no run sells out.
const STOCK: u32 = 100_000_000;
const CURRENCY: &str = "EGP";

/// A running Nexus with goods in it.
pub(crate) struct Shop {
    pub(crate) system: System,
    pub(crate) channels: Channels,
    pub(crate) courier_account_id: String,
    customers: AtomicU64,
}

pub(crate) fn cause() -> Cause {
    let now = clock::now_ms();
    let command_id = new_id();
    Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id,
        request_hash: Vec::new(),
        story: command_id.to_string(),
        causation_id: None,
        actor: Actor { kind: nexus_es::ActorKind::Key, ..Actor::service("bench") },
        traceparent: String::new(),
    }
}

fn money(amount: &str) -> Option<Money> {
    Some(Money { amount: amount.to_owned(), currency: CURRENCY.to_owned() })
}

impl Shop {
    /// Starts Nexus on `ground`, its sandboxes' clock at `speed`, and fills the warehouse.
    pub(crate) async fn open(ground: &Ground, speed: f64) -> anyhow::Result<Self> {
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let data = ground.dir.join("data");
        let more = ground.more();
        let settings = Settings { data, http: any, ingress: any, grpc: any, speed, more };
        let system = System::start(&settings).await?;
        let channels = system.channels()?;
        let accounts = channels
            .shipping()
            .list_courier_accounts(channels.request(Default::default(), &cause()))
            .await?;
        let account = accounts.into_inner().courier_accounts.into_iter().next();
        let courier_account_id = account.context("no courier account")?.courier_account_id;
        let shop = Self { system, channels, courier_account_id, customers: AtomicU64::new(0) };
        shop.fill().await.context("cannot fill the warehouse")?;
        Ok(shop)
    }

    async fn fill(&self) -> anyhow::Result<()> {
        let mut client = self.channels.inventory();
        let warehouse = inventory::OpenWarehouseRequest {
            warehouse: WAREHOUSE.to_owned(),
            name: "Main".to_owned(),
            priority: 1,
            address: None,
        };
        client.open_warehouse(self.channels.request(warehouse, &cause())).await?;
        let bins =
            (0..SKUS).map(|n| inventory::NewBin { code: bin(n), ..Default::default() }).collect();
        let bins = inventory::DefineBinsRequest { warehouse: WAREHOUSE.to_owned(), bins };
        client.define_bins(self.channels.request(bins, &cause())).await?;
        for n in 0..SKUS {
            let product = inventory::RegisterProductRequest {
                sku: sku(n),
                name: format!("Product {n}"),
                ..Default::default()
            };
            client.register_product(self.channels.request(product, &cause())).await?;
        }
        let line = |n| inventory::ReceivedLine {
            sku: sku(n),
            bin: bin(n),
            units: STOCK,
            ..Default::default()
        };
        let receipt = inventory::ReceiveStockRequest {
            warehouse: WAREHOUSE.to_owned(),
            receipt: "first".to_owned(),
            lines: (0..SKUS).map(line).collect(),
        };
        client.receive_stock(self.channels.request(receipt, &cause())).await?;
        Ok(())
    }

    /// Creates an order of a customer drawn by Zipf's law, three lines.
    pub(crate) async fn create(&self) -> anyhow::Result<String> {
        let n = self.customers.fetch_add(1, Ordering::Relaxed);
        let customer = zipf(n);
        let line = |k| order::NewOrderLine {
            sku: sku((n * LINES + k) % SKUS),
            units: 1,
            unit_price: money("149.90"),
            ..Default::default()
        };
        let contact = order::CreateContactRequest {
            name: format!("Customer {customer}"),
            phone: format!("+2010{customer:08}"),
            consents: vec![nexus_proto::common::v1::Consent {
                channel: "whatsapp".to_owned(),
                granted: true,
                source: "bench".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let address = Address {
            country: "EG".to_owned(),
            governorate: "Cairo".to_owned(),
            city: "Cairo".to_owned(),
            district: "Nasr City".to_owned(),
            line1: "12 Tahrir Street".to_owned(),
            ..Default::default()
        };
        let message = order::CreateOrderRequest {
            contact: Some(contact),
            lines: (0..LINES).map(line).collect(),
            shipping_address: Some(address),
            currency: CURRENCY.to_owned(),
            payment: Some(order::Payment { method: "cod".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let request = self.channels.request(message, &cause());
        Ok(self.channels.order().create_order(request).await?.into_inner().order_id)
    }

    /// Confirms it; an error unless it is confirmed when the answer comes.
    pub(crate) async fn confirm(&self, order_id: &str) -> anyhow::Result<()> {
        let message = order::ConfirmOrderRequest { order_id: order_id.to_owned() };
        let request = self.channels.request(message, &cause());
        let answer = self.channels.order().confirm_order(request).await?.into_inner();
        anyhow::ensure!(answer.status == "confirmed", "the order is {}", answer.status);
        Ok(())
    }

    /// Picks, packs, ships and hands over a confirmed order; answers its tracking numbers.
    pub(crate) async fn dispatch(&self, order_id: &str) -> anyhow::Result<Vec<String>> {
        let list = self.pick(order_id).await?;
        let mut client = self.channels.fulfillment();
        let lines = list.lines.iter();
        let contents = lines.map(|line| SkuUnits { sku: line.sku.clone(), units: line.units });
        let parcel = fulfillment::ParcelToPack {
            weight_grams: 500,
            contents: contents.collect(),
            ..Default::default()
        };
        let split = list.lines.first().and_then(|line| line.split.first());
        let fulfillment_id = split.context("an empty pick list")?.fulfillment_id.clone();
        let message = fulfillment::PackRequest { fulfillment_id, parcels: vec![parcel] };
        client.pack(self.channels.request(message, &cause())).await.context("pack")?;
        let message = shipping::CreateShipmentsRequest {
            order_id: Some(order_id.to_owned()),
            courier_account_id: self.courier_account_id.clone(),
            ..Default::default()
        };
        let mut client = self.channels.shipping();
        let made = client.create_shipments(self.channels.request(message, &cause())).await;
        let shipments = made.context("create shipments")?.into_inner().shipments;
        let mut tracking_numbers = Vec::new();
        for shipment in shipments {
            let message = shipping::HandOverRequest {
                shipment_id: shipment.shipment_id,
                tracking_number: None,
            };
            let request = self.channels.request(message, &cause());
            let shipped = client.hand_over(request).await.context("hand over")?;
            tracking_numbers.push(shipped.into_inner().tracking_number);
        }
        Ok(tracking_numbers)
    }

    async fn pick(&self, order_id: &str) -> anyhow::Result<fulfillment::PickList> {
        let mut client = self.channels.fulfillment();
        let message = fulfillment::GeneratePickListsRequest {
            order_ids: vec![order_id.to_owned()],
            warehouse: None,
        };
        let made = client.generate_pick_lists(self.channels.request(message, &cause())).await;
        let list = made.context("pick list")?.into_inner().pick_lists.into_iter().next();
        let list = list.context("no pick list")?;
        let pick_list_id = list.pick_list_id.clone();
        let message = fulfillment::AssignPickListRequest {
            pick_list_id: pick_list_id.clone(),
            picker: "Ali".to_owned(),
        };
        client.assign_pick_list(self.channels.request(message, &cause())).await?;
        let message = fulfillment::StartPickingRequest { pick_list_id: pick_list_id.clone() };
        client.start_picking(self.channels.request(message, &cause())).await?;
        for line in &list.lines {
            for _ in 0..line.units {
                let message = fulfillment::ScanRequest {
                    pick_list_id: pick_list_id.clone(),
                    bin: Some(line.bin.clone()),
                    barcode: line.sku.clone(),
                    scan_id: None,
                };
                let scanned = client.scan(self.channels.request(message, &cause())).await?;
                let result = scanned.into_inner().result;
                anyhow::ensure!(result == "ACCEPTED", "a scan answered {result}");
            }
        }
        let message = fulfillment::CompletePickListRequest { pick_list_id };
        client
            .complete_pick_list(self.channels.request(message, &cause()))
            .await
            .context("complete")?;
        Ok(list)
    }
}

pub(crate) fn sku(n: u64) -> String {
    format!("SKU-{n:03}")
}

pub(crate) fn bin(n: u64) -> String {
    format!("A-{:02}-01-01-{:02}", n / 10, n % 10)
}

/// The n-th draw of a customer by Zipf's law with exponent 1: rank r comes about once in every
/// r · ln(customers) draws. Drawn from a hash of n, so that every run draws the same.
#[expect(clippy::as_conversions, reason = "ranks are far below 2^52")]
pub(crate) fn zipf(n: u64) -> u64 {
    let mixed = nexus_es::derived_id(&["zipf", &n.to_string()]).as_u128() & 0xFFFF_FFFF;
    let uniform = (mixed as f64 + 0.5) / (f64::from(u32::MAX) + 1.0);
    // The inverse of the harmonic sum, which is near ln(rank).
    let rank = ((CUSTOMERS as f64).ln() * uniform).exp();
    (rank as u64).clamp(1, CUSTOMERS)
}
