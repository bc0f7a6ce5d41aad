//! The account itself: sign-in, the cheap ways to check a key, and what a shipment costs.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::App;
use super::gate::{LOGIN_TOKEN, bad_key, is_good_key};
use super::refusal::{Refusal, done};
use super::request;
use crate::random;

const OK: &str = "Done successfully.";

pub(super) async fn login(body: Bytes) -> Result<Response, Refusal> {
    let body = request::object(&body)?;
    let Some(email) = request::text(&body, "email") else {
        return Err(Refusal::invalid("email is required"));
    };
    match request::text(&body, "password") {
        None => Err(Refusal::invalid("password is required")),
        Some(password) if password.starts_with("bad") => Err(bad_key()),
        Some(_) => {
            let token = format!("{LOGIN_TOKEN}{}", random::id(24)?);
            let data = json!({"token": format!("Bearer {token}"), "refreshToken": token,
                              "email": email});
            Ok(done(StatusCode::OK, OK, data))
        }
    }
}

pub(super) async fn total_deliveries(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let total: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM delivery WHERE alive = 1")
        .fetch_one(&app.pool)
        .await?;
    Ok(done(StatusCode::OK, OK, json!({"totalDeliveries": total})))
}

/// The key stands in the path here.
pub(super) async fn info(Path(key): Path<String>) -> Result<Response, Refusal> {
    if !is_good_key(&key) {
        return Err(bad_key());
    }
    let data = json!({"_id": "sandbox-business", "name": "Sandbox business",
                      "country": {"_id": "60e4482c7cb7d4bc4849c4d5", "name": "Egypt"}});
    Ok(done(StatusCode::OK, OK, data))
}

pub(super) async fn price(Query(asked): Query<HashMap<String, String>>) -> Response {
    let cod: f64 = asked.get("cod").and_then(|cod| cod.parse().ok()).unwrap_or(0.0);
    let shipping = match asked.get("size").map(String::as_str) {
        Some("Heavy Bulky") => 260.0,
        Some("Light Bulky") => 140.0,
        _ => 65.0,
    };
    let extra_cod = if cod > 2_000.0 { (cod - 2_000.0) * 0.01 } else { 0.0 };
    let data = json!({"shippingFee": shipping, "priceAfterVat": (shipping + extra_cod) * 1.14,
                      "extraCodFee": {"amount": extra_cod}, "pickupFee": 0,
                      "tier": {"openingPackageFee": {"amount": 7}}});
    done(StatusCode::OK, OK, data)
}

/// One per cent of the goods, never under 10 or over 50.
pub(super) async fn insurance(
    Query(asked): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let goods = asked.get("goodsValue").and_then(|value| value.parse::<f64>().ok());
    let goods = goods.ok_or_else(|| Refusal::invalid("goodsValue must be a number"))?;
    let fee = (goods * 0.01).clamp(10.0, 50.0);
    Ok(done(StatusCode::OK, OK, json!({"insuranceFee": fee})))
}
