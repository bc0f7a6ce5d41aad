//! The commercial steps: a customer, an order, its confirmation.

use anyhow::bail;
use serde_json::{Value, json};

use super::goods::{self, MUG, TEE};
use super::guide::Guide;
use crate::client::{nothing, required, text};

const CURRENCY: &str = "EGP";

pub(crate) async fn a_customer(guide: &mut Guide) -> anyhow::Result<String> {
    guide.step("A customer, who agrees to be written to over WhatsApp");
    let contact = json!({
        "name": "سارة محمود",
        "phone": "0100 200 3040",
        "language": "ar",
        "consents": [{"channel": "whatsapp", "granted": true, "source": "checkout"}],
    });
    let contact = guide.post("/v1/contacts", &contact).await?;
    let known = match contact.get("existing").and_then(Value::as_bool) {
        Some(true) => ", known since an earlier run",
        _ => "",
    };
    let (name, phone) = (text(&contact, "name"), text(&contact, "phone"));
    guide.tell(&format!("{name}, {phone}{known}"));
    let contact_id = required(&contact, "contact_id")?.to_owned();
    guide.end().await?;
    Ok(contact_id)
}

pub(crate) async fn an_order(guide: &mut Guide, contact_id: &str) -> anyhow::Result<String> {
    guide.step("She orders two T-shirts and a mug, cash on delivery");
    let money = |amount: &str| json!({"amount": amount, "currency": CURRENCY});
    let order = json!({
        "contact_id": contact_id,
        "currency": CURRENCY,
        "prices_include_tax": true,
        "lines": [
            {"sku": TEE.sku, "units": 2, "unit_price": money("349.00"), "tax_rate": "14"},
            {"sku": MUG.sku, "units": 1, "unit_price": money("120.50"), "tax_rate": "14"},
        ],
        "shipping_fee": money("45.00"),
        "payment": {"method": "cod"},
        "shipping_address": {
            "country": "EG",
            "governorate": "Cairo",
            "city": "Cairo",
            "district": "Zamalek",
            "line1": "٢٦ شارع ٢٦ يوليو",
            "building": "26",
            "floor": "3",
            "apartment": "5",
        },
        "notes": ["A present: no prices in the parcel, please"],
    });
    let order = guide.post("/v1/orders", &order).await?;
    required(&order, "order_id")?.clone_into(&mut guide.order_id);
    let due = order.pointer("/totals/cod_due/amount").and_then(Value::as_str).unwrap_or_default();
    guide.tell(&format!("order {}: {due} {CURRENCY} to collect", text(&order, "number")));
    guide.reach("pending").await?;
    guide.end().await?;
    Ok(guide.order_id.clone())
}

pub(crate) async fn confirmed(guide: &mut Guide) -> anyhow::Result<()> {
    guide.step("It is confirmed: its stock is promised to nobody else");
    let path = format!("/v1/orders/{}:confirm", guide.order_id);
    let order = guide.post(&path, &nothing()).await?;
    if let Some(refusal) = order.get("refusal").filter(|refusal| refusal.is_object()) {
        bail!("the order was not confirmed: {refusal}");
    }
    guide.reach("confirmed").await?;
    goods::tell_stock(guide).await?;
    guide.end().await
}
