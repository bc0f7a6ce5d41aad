//! One order from created to delivered, by REST in the order of the contract. With a plain client
//! nothing is retried and nothing waited for but what the courier does; with a patient one every
//! step goes on until it is done, whatever is killed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::look::Look;
use super::rest::Rest;
use super::shop::{Article, Shop};
use super::wait;

/// What a customer wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Their name.
    pub name: String,
    /// Their phone.
    pub phone: String,
    /// The language they are told in.
    pub language: &'static str,
    /// What they order.
    pub lines: Vec<(Article, u32)>,
    /// Into how many parcels each fulfilment is packed.
    pub parcels: u32,
    /// The id another system knows the order by.
    pub reference: String,
    /// What one unit costs, in EGP.
    pub price: &'static str,
}

impl Wish {
    /// A customer with a number of their own, who orders this.
    #[must_use]
    pub fn of(number: u32, lines: &[(Article, u32)]) -> Self {
        Self {
            name: format!("Mona Farouk {number}"),
            phone: format!("+2010{number:08}"),
            language: "ar",
            lines: lines.to_vec(),
            parcels: 1,
            reference: format!("web-{number}"),
            price: "149.90",
        }
    }

    /// The body that creates the order.
    #[must_use]
    pub fn body(&self) -> Value {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|(article, units)| {
                json!({"sku": article.sku, "units": units,
                       "unit_price": {"amount": self.price, "currency": "EGP"}})
            })
            .collect();
        json!({
            "contact": {
                "name": self.name, "phone": self.phone, "language": self.language,
                "consents": [{"channel": "whatsapp", "granted": true, "source": "checkout"}],
            },
            "lines": lines,
            "shipping_address": {
                "country": "EG", "governorate": "Cairo", "city": "Cairo", "district": "Nasr City",
                "line1": "12 Abbas El Akkad", "building": "12", "floor": "3", "apartment": "7",
            },
            "currency": "EGP",
            "payment": {"method": "cod"},
            "external_reference": self.reference,
        })
    }
}

/// An order on its way.
#[derive(Clone, Debug)]
pub struct Life {
    shop: Shop,
    parcels: u32,
    /// Its id.
    pub order_id: String,
    /// Its shipments.
    pub shipments: Vec<String>,
    /// Its pick lists.
    pub pick_lists: Vec<String>,
    /// Every headline that was seen, in order, each once.
    pub statuses: Vec<String>,
}

const COURIER_PATIENCE: Duration = Duration::from_secs(90);
const PICKER: &str = "Hassan";

impl Life {
    /// Creates the order.
    ///
    /// # Errors
    /// What did not work.
    pub async fn begin(shop: &Shop, wish: Wish) -> anyhow::Result<Self> {
        let mut life = Self::begin_with(shop, &wish.body()).await?;
        life.parcels = wish.parcels;
        Ok(life)
    }

    /// Creates an order from a body of the caller's own.
    ///
    /// # Errors
    /// What did not work.
    pub async fn begin_with(shop: &Shop, body: &Value) -> anyhow::Result<Self> {
        let order = shop.rest.post("/v1/orders", body).await?;
        let mut life = Self {
            shop: shop.clone(),
            parcels: 1,
            order_id: order.text("order_id").to_owned(),
            shipments: Vec::new(),
            pick_lists: Vec::new(),
            statuses: Vec::new(),
        };
        ensure!(!life.order_id.is_empty(), "the answer names no order: {order}");
        life.saw(order.text("status"));
        Ok(life)
    }

    /// Creates the order and has its stock reserved.
    ///
    /// # Errors
    /// What did not work, a refusal included.
    pub async fn confirmed(shop: &Shop, wish: Wish) -> anyhow::Result<Self> {
        let mut life = Self::begin(shop, wish).await?;
        life.confirm().await?;
        let seen = life.statuses.last().map(String::as_str);
        ensure!(seen == Some("confirmed"), "it went through {:?}", life.statuses);
        Ok(life)
    }

    /// Walks all the way to `delivered`.
    ///
    /// # Errors
    /// What did not work.
    pub async fn walk(&mut self) -> anyhow::Result<()> {
        self.confirm().await?;
        self.walk_on().await
    }

    /// Walks a confirmed order on to `delivered`.
    ///
    /// # Errors
    /// What did not work.
    pub async fn walk_on(&mut self) -> anyhow::Result<()> {
        self.pick().await?;
        self.pack().await?;
        self.ship().await?;
        self.print().await?;
        self.hand_over().await?;
        self.until_status("delivered").await
    }

    /// Has its stock reserved.
    ///
    /// # Errors
    /// What did not work, a refusal included.
    pub async fn confirm(&mut self) -> anyhow::Result<()> {
        let path = format!("/v1/orders/{}:confirm", self.order_id);
        if !self.rest().is_patient() {
            let order = self.rest().post(&path, &json!({})).await?;
            ensure!(order.is("settled"), "confirmed, but not settled: {order}");
            return self.look().await.map(drop);
        }
        // Killed halfway, an attempt may time out; then a customer presses the button again.
        for _ in 0..20 {
            self.rest().post(&path, &json!({})).await?;
            let order = self.until("to be confirmed", async |life: &Self| {
                let order = life.order().await?;
                Ok((order.text("lifecycle") != "confirming").then_some(order))
            });
            let order = order.await?;
            if order.text("status") != "pending" {
                self.until("to be ready to pick", async |life: &Self| {
                    let found = life.fulfillments().await?;
                    Ok((!found.is_empty()).then_some(()))
                })
                .await?;
                return self.look().await.map(drop);
            }
        }
        bail!("order {} is never confirmed", self.order_id)
    }

    /// Fetches the goods: pick list, walk, scans.
    ///
    /// # Errors
    /// What did not work.
    pub async fn pick(&mut self) -> anyhow::Result<()> {
        self.list().await?;
        for list in self.pick_lists.clone() {
            self.scan_all(&list).await?;
            self.settle(&format!("/v1/pick-lists/{list}:complete"), &json!({})).await?;
        }
        self.reach("picked").await
    }

    /// Makes the pick lists and gives them to a picker.
    ///
    /// # Errors
    /// What did not work.
    pub async fn list(&mut self) -> anyhow::Result<()> {
        let made =
            self.rest().post("/v1/pick-lists", &json!({"order_ids": [self.order_id]})).await?;
        let lists = made.list("pick_lists").iter();
        self.pick_lists = lists.map(|list| list.text("pick_list_id").to_owned()).collect();
        ensure!(!self.pick_lists.is_empty(), "no pick list was made: {made}");
        self.reach("processing").await?;
        for list in &self.pick_lists {
            let path = format!("/v1/pick-lists/{list}:assign");
            self.rest().post(&path, &json!({"picker": PICKER})).await?;
            self.rest().post(&format!("/v1/pick-lists/{list}:start"), &json!({})).await?;
        }
        Ok(())
    }

    async fn scan_all(&self, list: &str) -> anyhow::Result<()> {
        let found = self.rest().get(&format!("/v1/pick-lists/{list}")).await?;
        for line in found.list("lines") {
            let (unit, case) = barcodes(line)?;
            let mut left = line.number("units") - line.number("picked");
            while left > 0 {
                let (barcode, units) =
                    case.filter(|_| left >= 6).map_or((unit, 1), |case| (case, 6));
                let scan = json!({
                    "bin": line.text("bin"), "barcode": barcode,
                    "scan_id": format!("{list}-{}-{left}", line.text("line_id")),
                });
                let path = format!("/v1/pick-lists/{list}:scan");
                let answer = self.rest().post(&path, &scan).await?;
                ensure!(answer.text("result") == "ACCEPTED", "{scan} is answered {answer}");
                left -= units;
            }
        }
        Ok(())
    }

    /// Packs what was picked.
    ///
    /// # Errors
    /// What did not work.
    pub async fn pack(&mut self) -> anyhow::Result<()> {
        for fulfillment in self.picked().await? {
            let id = fulfillment.text("fulfillment_id");
            let parcels = parcels(&fulfillment, self.parcels);
            let path = format!("/v1/fulfillments/{id}:pack");
            self.settle(&path, &json!({"parcels": parcels})).await?;
        }
        self.reach("packed").await
    }

    /// Its fulfilments, with their picks. While log and database are both away, or have just come
    /// back, they may be shown as they were a moment ago: a careful client looks again.
    async fn picked(&self) -> anyhow::Result<Vec<Value>> {
        let shows_picks = |fulfillment: &Value| {
            fulfillment.list("lines").iter().any(|line| line.number("picked") > 0)
        };
        self.until("to show what was picked", async |life: &Self| {
            let found = life.fulfillments().await?;
            let shown = !life.rest().is_patient() || found.iter().all(shows_picks);
            Ok(shown.then_some(found))
        })
        .await
    }

    /// Has the courier make an AWB for each parcel.
    ///
    /// # Errors
    /// What did not work.
    pub async fn ship(&mut self) -> anyhow::Result<()> {
        let body =
            json!({"order_id": self.order_id, "courier_account_id": self.shop.courier_account});
        let made = self.rest().post("/v1/shipments", &body).await?;
        let shipments = made.list("shipments");
        self.shipments = shipments.iter().map(|one| one.text("shipment_id").to_owned()).collect();
        ensure!(!self.shipments.is_empty(), "no shipment was made: {made}");
        for shipment in shipments {
            if self.rest().is_patient() {
                self.insist_on_awb(shipment.text("shipment_id")).await?;
            } else {
                ensure!(shipment.text("status") == "awb_live", "no AWB: {shipment}");
            }
        }
        Ok(())
    }

    /// Asks again whenever the courier refused; never when it is unknown what the courier did.
    async fn insist_on_awb(&self, shipment: &str) -> anyhow::Result<()> {
        self.until("to have an AWB", async |life: &Self| {
            let found = life.rest().get(&format!("/v1/shipments/{shipment}")).await?;
            if found.text("status") == "awb_failed" {
                let path = format!("/v1/shipments/{shipment}:create-awb");
                life.rest().command(&path, &json!({})).await?;
            }
            Ok((!found.text("awb").is_empty()).then_some(()))
        })
        .await
    }

    /// Prints the labels.
    ///
    /// # Errors
    /// What did not work.
    pub async fn print(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut labels = Vec::new();
        for shipment in &self.shipments {
            let path = format!("/v1/shipments/{shipment}:print-awb");
            let Some(label) = self.until_printed(&path).await? else { continue };
            ensure!(label.starts_with(b"%PDF-"), "the label of {shipment} is no PDF");
            labels.push(label);
        }
        Ok(labels)
    }

    /// The label; none when the courier was through before one was ever fetched, and prints no
    /// more.
    async fn until_printed(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        if !self.rest().is_patient() {
            let answer = self.rest().read(path).await?;
            ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
            return Ok(Some(answer.bytes));
        }
        self.until("to have a label", async |life: &Self| {
            let answer = life.rest().read(path).await?;
            if answer.status == 200 {
                return Ok(Some(Some(answer.bytes)));
            }
            let order = life.order().await?;
            Ok(matches!(order.text("status"), "delivered" | "returned").then_some(None))
        })
        .await
    }

    /// Gives the parcels to the courier.
    ///
    /// # Errors
    /// What did not work.
    pub async fn hand_over(&mut self) -> anyhow::Result<()> {
        for shipment in self.shipments.clone() {
            let path = format!("/v1/shipments/{shipment}:hand-over");
            if self.rest().is_patient() {
                // The courier may have been quicker to say that it has the parcel, or is through.
                let answer = self.rest().command(&path, &json!({})).await?;
                ensure!(matches!(answer.status, 200 | 409), "{path}: {}", answer.body);
            } else {
                self.settle(&path, &json!({})).await?;
            }
        }
        self.reach("shipped").await
    }

    /// Waits for what the courier does.
    ///
    /// # Errors
    /// When it does not come to that in time.
    pub async fn until_status(&mut self, status: &str) -> anyhow::Result<()> {
        self.until_one_of(&[status]).await
    }

    /// Waits for one of several ends.
    ///
    /// # Errors
    /// When it does not come to any in time.
    pub async fn until_one_of(&mut self, ends: &[&str]) -> anyhow::Result<()> {
        let what = format!("for order {} to be {}", self.order_id, ends.join(" or "));
        let rest = self.rest().clone();
        let path = format!("/v1/orders/{}", self.order_id);
        let patience = self.patience();
        let statuses = &mut self.statuses;
        let waited = wait::until(&what, patience, async || {
            let order = rest.get(&path).await?;
            let seen = order.text("status");
            if statuses.last().is_none_or(|last| last != seen) {
                statuses.push(seen.to_owned());
            }
            Ok(ends.contains(&seen).then_some(()))
        });
        let waited = waited.await;
        waited.with_context(|| format!("it went through {:?}", self.statuses))
    }

    /// The order as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn order(&self) -> anyhow::Result<Value> {
        self.rest().get(&format!("/v1/orders/{}", self.order_id)).await
    }

    /// Its fulfilments.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn fulfillments(&self) -> anyhow::Result<Vec<Value>> {
        let path = format!("/v1/fulfillments?order_id={}", self.order_id);
        self.rest().all(&path, "fulfillments").await
    }

    /// Its messages.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn messages(&self) -> anyhow::Result<Vec<Value>> {
        self.rest().all(&format!("/v1/messages?order_id={}", self.order_id), "messages").await
    }

    /// Its timeline.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn timeline(&self) -> anyhow::Result<Vec<Value>> {
        let timeline = self.rest().get(&format!("/v1/orders/{}/timeline", self.order_id)).await?;
        Ok(timeline.list("entries").to_vec())
    }

    const fn rest(&self) -> &Rest {
        &self.shop.rest
    }

    /// Sends a step; the careless caller needs its consequences at once.
    async fn settle(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.rest().post(path, body).await?;
        let settled = answer.is("settled") || self.rest().is_patient();
        ensure!(settled, "{path} is answered, but not settled: {answer}");
        Ok(answer)
    }

    /// The headline must be there now; with a patient client, at least there soon.
    async fn reach(&mut self, status: &str) -> anyhow::Result<()> {
        if !self.rest().is_patient() {
            let seen = self.look().await?;
            ensure!(seen == status, "order {} is {seen}, not {status}", self.order_id);
            return Ok(());
        }
        let least = rank(status);
        self.until(&format!("to be {status}"), async |life: &Self| {
            let order = life.order().await?;
            Ok((rank(order.text("status")) >= least).then_some(()))
        })
        .await?;
        self.look().await.map(drop)
    }

    async fn until<T>(
        &self,
        what: &str,
        mut probe: impl AsyncFnMut(&Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let what = format!("for order {} {what}", self.order_id);
        wait::until(&what, self.patience(), async || probe(self).await).await
    }

    fn patience(&self) -> Duration {
        self.rest().patience().unwrap_or(COURIER_PATIENCE)
    }

    async fn look(&mut self) -> anyhow::Result<String> {
        let order = self.order().await?;
        self.saw(order.text("status"));
        Ok(order.text("status").to_owned())
    }

    fn saw(&mut self, status: &str) {
        if self.statuses.last().is_none_or(|last| last != status) {
            self.statuses.push(status.to_owned());
        }
    }
}

/// How far along a headline is; those beside the line are past all steps of ours.
fn rank(status: &str) -> usize {
    let line = ["pending", "confirmed", "processing", "picked", "packed", "shipped", "delivered"];
    line.iter().position(|step| *step == status).unwrap_or(line.len())
}

/// Of one unit and of a case of six.
fn barcodes(line: &Value) -> anyhow::Result<(&str, Option<&str>)> {
    let code = |units| {
        let mut codes = line.list("barcodes").iter();
        codes.find(|one| one.number("units") == units).map(|one| one.text("code"))
    };
    let unit = code(1).with_context(|| format!("no barcode stands for one unit: {line}"))?;
    Ok((unit, code(6)))
}

/// What was picked, spread over so many parcels.
#[must_use]
pub fn parcels(fulfillment: &Value, parcels: u32) -> Vec<Value> {
    let parcels = i64::from(parcels.max(1));
    let mut picked: BTreeMap<&str, i64> = BTreeMap::new();
    for line in fulfillment.list("lines") {
        *picked.entry(line.text("sku")).or_default() += line.number("picked");
    }
    let contents = |parcel: i64| -> Vec<Value> {
        let shares = picked.iter().map(|(sku, units)| {
            json!({"sku": sku, "units": units / parcels + i64::from(parcel < units % parcels)})
        });
        shares.filter(|share| share.number("units") > 0).collect()
    };
    let filled = (0..parcels).map(contents).filter(|contents| !contents.is_empty());
    filled
        .map(|contents| {
            json!({"box": "M", "weight_grams": 900, "contents": contents,
                   "dimensions_mm": {"length": 300, "width": 200, "height": 150}})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_hold_exactly_what_was_picked() {
        let fulfillment = json!({"lines": [{"sku": "MUG", "picked": 3}, {"sku": "MUG", "picked": 2},
                                           {"sku": "LAMP", "picked": 1}]});
        let parcels = parcels(&fulfillment, 2);
        let units = |sku: &str| -> i64 {
            let contents = parcels.iter().flat_map(|parcel| parcel.list("contents"));
            contents.filter(|row| row.text("sku") == sku).map(|row| row.number("units")).sum()
        };
        assert_eq!(parcels.len(), 2);
        assert_eq!((units("MUG"), units("LAMP")), (5, 1));
    }
}
