//! The steps outside the house: the courier's AWB, the hand-over, the way to the door.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::goods;
use super::guide::{Guide, until};
use super::screen::took;
use crate::client::{required, rows, text};

/// The courier answers within seconds, or is asked again.
const AWB_PATIENCE: Duration = Duration::from_secs(10);
/// How long the slowest delivery and its last receipt take at speed 1.
const ROAD: Duration = Duration::from_secs(75);
/// What our own part of the way may take, at any speed.
const SLACK: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(80);
/// Shipped, out for delivery, delivered.
pub(crate) const MESSAGES: usize = 3;

/// The parcel under its AWB.
pub(crate) struct Parcel {
    shipment_id: String,
    tracking_number: String,
    pub(crate) label: PathBuf,
}

/// What the courier and the channel reported.
#[derive(Default)]
pub(crate) struct Road {
    pub(crate) delivered: bool,
    pub(crate) logs: Vec<Value>,
    pub(crate) messages: Vec<Value>,
}

impl Road {
    /// Messages that the customer has read.
    pub(crate) fn read(&self) -> usize {
        self.messages.iter().filter(|message| text(message, "status") == "read").count()
    }

    fn ended(&self) -> bool {
        self.delivered && self.read() >= MESSAGES
    }
}

pub(crate) async fn an_awb(guide: &mut Guide, data: &Path) -> anyhow::Result<Parcel> {
    guide.step("The courier gives the parcel an AWB, and its label is printed");
    let accounts = guide.client.get("/v1/courier-accounts?courier=bosta").await?;
    let sandbox = |account: &&Value| text(account, "mode") == "sandbox";
    let account = rows(&accounts, "courier_accounts").iter().find(sandbox);
    let account = account.context("there is no Bosta account on the sandbox")?;
    let account_id = required(account, "courier_account_id")?;
    let body = json!({"order_id": guide.order_id, "courier_account_id": account_id});
    let made = guide.post("/v1/shipments", &body).await?;
    let shipment = rows(&made, "shipments").first().context("no shipment was made")?;
    let shipment_id = required(shipment, "shipment_id")?.to_owned();
    let client = guide.client.clone();
    let live = async || {
        let shipment = client.get(&format!("/v1/shipments/{shipment_id}")).await?;
        if let Some(problem) = shipment.get("awb_problem").filter(|one| one.is_object()) {
            bail!("the courier gave no AWB: {problem}");
        }
        Ok((text(&shipment, "status") == "awb_live").then_some(shipment))
    };
    let shipment = until("the courier's AWB", AWB_PATIENCE, live).await?;
    let tracking_number = required(&shipment, "tracking_number")?.to_owned();
    guide.tell(&format!("tracking number {tracking_number}, {}", text(&shipment, "tracking_url")));
    let label = label(guide, &shipment_id, &tracking_number, data).await?;
    guide.end().await?;
    Ok(Parcel { shipment_id, tracking_number, label })
}

async fn label(
    guide: &Guide,
    shipment_id: &str,
    tracking_number: &str,
    data: &Path,
) -> anyhow::Result<PathBuf> {
    let path = format!("/v1/shipments/{shipment_id}:print-awb?format=A6");
    let began = Instant::now();
    let pdf = guide.client.download(&path).await?;
    guide.tell(&format!("{}  {}", guide.screen.dim(&format!("GET {path}")), took(began.elapsed())));
    ensure!(pdf.starts_with(b"%PDF"), "the label is no PDF");
    let file = data.join(format!("label-{tracking_number}.pdf"));
    std::fs::write(&file, &pdf).with_context(|| format!("cannot write {}", file.display()))?;
    guide.tell(&format!("label of {} bytes: {}", pdf.len(), file.display()));
    Ok(file)
}

pub(crate) async fn handed_over(guide: &mut Guide, parcel: &Parcel) -> anyhow::Result<()> {
    guide.step("The parcel is handed to the courier: the goods have left the house");
    let path = format!("/v1/shipments/{}:hand-over", parcel.shipment_id);
    guide.post(&path, &json!({"tracking_number": parcel.tracking_number})).await?;
    guide.reach("shipped").await?;
    goods::tell_stock(guide).await?;
    guide.end().await
}

/// Watches the courier's webhooks, the customer's messages and the events they cause.
pub(crate) async fn delivered(
    guide: &mut Guide,
    parcel: &Parcel,
    speed: f64,
) -> anyhow::Result<Road> {
    guide.step("The courier reports by webhook; the customer is told and reads it");
    let began = Instant::now();
    let deadline = began + ROAD.div_f64(speed) + SLACK;
    let mut road = Road::default();
    let mut shown = Shown::default();
    while !road.ended() {
        road = look(guide, parcel).await?;
        shown.show(guide, &road, began);
        if road.delivered && guide.reached.iter().all(|one| one.status != "delivered") {
            guide.note("delivered", "webhook of the courier".to_owned());
            guide.tell(&format!("the order is {}", guide.screen.good("delivered")));
        }
        guide.show_events().await?;
        if Instant::now() >= deadline {
            let waited = took(began.elapsed());
            let read = road.read();
            guide.tell(&guide.screen.bad(&format!(
                "waited {waited} for the delivery and {MESSAGES} messages read; {read} are"
            )));
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    guide.end().await?;
    Ok(road)
}

async fn look(guide: &Guide, parcel: &Parcel) -> anyhow::Result<Road> {
    let logs = format!("/v1/shipments/{}/awb-status-logs?page_size=500", parcel.shipment_id);
    let messages = format!("/v1/messages?order_id={}", guide.order_id);
    let (order, logs, messages) =
        tokio::try_join!(guide.order(), guide.client.get(&logs), guide.client.get(&messages))?;
    let mut messages = rows(&messages, "messages").to_vec();
    messages.sort_by(|a, b| text(a, "created_at").cmp(text(b, "created_at")));
    Ok(Road {
        delivered: text(&order, "status") == "delivered",
        logs: rows(&logs, "logs").to_vec(),
        messages,
    })
}

/// What of the road was shown already.
#[derive(Default)]
struct Shown {
    logs: usize,
    messages: BTreeMap<String, String>,
}

impl Shown {
    fn show(&mut self, guide: &Guide, road: &Road, began: Instant) {
        let at = guide.screen.dim(&format!("+{:<8}", took(began.elapsed())));
        for log in road.logs.iter().skip(self.logs) {
            let (code, status) = (text(log, "code"), text(log, "status"));
            let description = text(log, "description");
            guide.tell(&format!("{at} courier   {code} {description} → {status}"));
        }
        self.logs = road.logs.len();
        for message in &road.messages {
            let (milestone, status) = (text(message, "milestone"), text(message, "status"));
            let shown = self.messages.insert(milestone.to_owned(), status.to_owned());
            if shown.as_deref() != Some(status) {
                guide.tell(&format!("{at} WhatsApp  {milestone}: {status}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_road_ends_when_all_messages_are_read() {
        let message = |status: &str| json!({"status": status});
        let mut road = Road { delivered: true, ..Road::default() };
        road.messages = vec![message("read"), message("read"), message("delivered")];
        assert!(!road.ended());
        road.messages = vec![message("read"), message("read"), message("read")];
        assert!(road.ended());
        road.delivered = false;
        assert!(!road.ended());
    }
}
