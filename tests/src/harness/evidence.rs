//! All that can be seen from outside once everything has come to rest: what Nexus tells, and what
//! the sandboxes know to be so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::Command;
use super::look::Look;
use super::rest::Rest;
use super::sandbox::Sandbox;

/// What Nexus tells.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Every order.
    pub orders: Vec<Value>,
    /// Every shipment.
    pub shipments: Vec<Value>,
    /// Every pick list.
    pub pick_lists: Vec<Value>,
    /// Every message.
    pub messages: Vec<Value>,
    /// Courier updates by shipment.
    pub logs: BTreeMap<String, Vec<Value>>,
    /// Timelines by order.
    pub timelines: BTreeMap<String, Vec<Value>>,
    /// Movements by SKU.
    pub movements: BTreeMap<String, Vec<Value>>,
    /// Stock of every SKU in every warehouse.
    pub stock: Vec<Value>,
}

/// What the sandboxes know.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every delivery that was made.
    pub deliveries: Vec<Value>,
    /// Every webhook of the courier.
    pub courier_webhooks: Vec<Value>,
    /// Every message that was accepted.
    pub accepted: Vec<Value>,
}

impl Told {
    /// Reads it all.
    ///
    /// # Errors
    /// When something cannot be read.
    pub async fn by(rest: &Rest) -> anyhow::Result<Self> {
        let mut told = Self {
            orders: rest.all("/v1/orders", "orders").await?,
            shipments: rest.all("/v1/shipments", "shipments").await?,
            pick_lists: rest.all("/v1/pick-lists", "pick_lists").await?,
            messages: rest.all("/v1/messages", "messages").await?,
            stock: rest.all("/v1/stock", "items").await?,
            ..Self::default()
        };
        for shipment in &told.shipments {
            let id = shipment.text("shipment_id");
            let logs = rest.all(&format!("/v1/shipments/{id}/awb-status-logs"), "logs").await?;
            told.logs.insert(id.to_owned(), logs);
        }
        for order in &told.orders {
            let id = order.text("order_id");
            let timeline = rest.get(&format!("/v1/orders/{id}/timeline")).await?;
            told.timelines.insert(id.to_owned(), timeline.list("entries").to_vec());
        }
        for item in &told.stock {
            let sku = item.text("sku");
            if !told.movements.contains_key(sku) {
                let rows = rest.all(&format!("/v1/stock/{sku}/movements"), "movements").await?;
                told.movements.insert(sku.to_owned(), rows);
            }
        }
        Ok(told)
    }

    /// What is now known under every resource that the history's answers name.
    #[must_use]
    pub fn resource(&self, kind: &str, id: &str) -> Option<&Value> {
        let (rows, field) = match kind {
            "order" => (&self.orders, "order_id"),
            "shipment" => (&self.shipments, "shipment_id"),
            "pick_list" => (&self.pick_lists, "pick_list_id"),
            _ => return None,
        };
        rows.iter().find(|row| row.text(field) == id)
    }
}

impl Ledger {
    /// Reads it all.
    ///
    /// # Errors
    /// When a sandbox does not answer.
    pub async fn of(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Ok(Self {
            deliveries: sandbox.deliveries().await?,
            courier_webhooks: sandbox.courier_webhooks().await?,
            accepted: sandbox.messages().await?,
        })
    }

    /// The webhooks that tell of one delivery.
    pub fn webhooks_of<'a>(&'a self, delivery: &'a Value) -> impl Iterator<Item = &'a Value> {
        let id = delivery.text("_id");
        self.courier_webhooks.iter().filter(move |webhook| webhook.text("subject") == id)
    }
}

/// Units received by SKU, as far as that was acked.
#[must_use]
pub fn received(history: &[Command]) -> BTreeMap<String, i64> {
    let mut received = BTreeMap::new();
    let mut counted = std::collections::BTreeSet::new();
    for command in history.iter().filter(|command| command.call.ends_with(":receive-stock")) {
        let name = (command.call.clone(), command.body.text("receipt").to_owned());
        if command.acked().is_none() || !counted.insert(name) {
            continue;
        }
        for line in command.body.list("lines") {
            *received.entry(line.text("sku").to_owned()).or_default() += line.number("units");
        }
    }
    received
}
