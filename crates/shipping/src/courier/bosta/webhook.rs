//! Bosta's updates: read from a webhook or from a delivery that was read back, and what they mean.
//! *Invariant:* the meaning hangs on type and state together; what is not in the table is
//! unrecognised.

use nexus_runtime::{money, time};
use serde_json::Value;

use super::api::text_of;
use crate::courier::{NotUnderstood, Told};
use crate::domain::tracking::Reading::{self, Plain};
use crate::domain::tracking::TrackingStatus::{
    Cancelled, Damaged, Delivered, DeliveryFailed, InTransit, LabelCreated, Lost, OnHold,
    OutForDelivery, PickedUp, Returned, Returning, Unrecognised,
};

pub(in crate::courier) fn parse(body: &[u8]) -> Result<Told, NotUnderstood> {
    let body: Value = serde_json::from_slice(body).map_err(|_| NotUnderstood)?;
    let kind = text_of(&body, "type").unwrap_or_default();
    // Flat in webhooks, an object on reads; both are taken.
    let code = text_of(&body, "state")
        .or_else(|| body.get("state").and_then(|state| text_of(state, "code")))
        .unwrap_or_default();
    let told = told(&body, kind, code);
    let has_name = !told.tracking_number.is_empty() || !told.delivery_id.is_empty();
    has_name.then_some(told).ok_or(NotUnderstood)
}

/// What a delivery says that was read by its tracking number.
pub(super) fn read_back(delivery: &Value) -> Option<Told> {
    let code = text_of(delivery.get("state")?, "code")?;
    let kind = match text_of(delivery.get("type")?, "code")?.as_str() {
        "10" => "SEND",
        "15" => "CASH_COLLECTION",
        "20" => "RTO",
        "25" => "CUSTOMER_RETURN_PICKUP",
        "30" => "EXCHANGE",
        "35" => "SIGN_AND_RETURN",
        _ => "",
    };
    Some(told(delivery, kind.to_owned(), code))
}

fn told(body: &Value, kind: String, code: String) -> Told {
    let reading = code.parse().map_or(Plain(Unrecognised), |state| reading(&kind, state));
    Told {
        delivery_id: text_of(body, "_id").unwrap_or_default(),
        tracking_number: text_of(body, "trackingNumber").unwrap_or_default(),
        raw_word: text_of(body, "description")
            .or_else(|| body.get("state").and_then(|state| text_of(state, "value")))
            .unwrap_or_default(),
        occurred_at_ms: moment(body),
        exception_code: text_of(body, "exceptionCode").unwrap_or_default(),
        exception_reason: text_of(body, "exceptionReason").unwrap_or_default(),
        attempt: text_of(body, "numberOfAttempts").and_then(|attempts| attempts.parse().ok()),
        cod_collected: collected(body, reading),
        kind,
        code,
        reading,
    }
}

/// Milliseconds as number or text in webhooks; on reads a time text, which may be none that can be
/// read.
fn moment(body: &Value) -> Option<i64> {
    if let Some(stamp) = text_of(body, "timeStamp") {
        return stamp.parse().ok().or_else(|| time::parse_rfc3339(&stamp));
    }
    time::parse_rfc3339(&text_of(body, "updatedAt")?)
}

/// The amount counts as collected only on a delivered parcel.
fn collected(body: &Value, reading: Reading) -> Option<i64> {
    let amount = text_of(body, "cod").filter(|_| reading == Plain(Delivered))?;
    money::parse_amount(&amount).ok().filter(|amount| *amount >= 0)
}

/// The table of what (type, state) means.
fn reading(kind: &str, state: u16) -> Reading {
    match (kind, state) {
        (_, 100) if is_known(kind) => Plain(Lost),
        (_, 101) if is_known(kind) => Plain(Damaged),
        (_, 102 | 103 | 105) if is_known(kind) => Plain(OnHold),
        (_, 104) if is_known(kind) => Reading::NoChange,
        (_, 46 | 60) if is_known(kind) => Plain(Returned),
        ("SEND" | "FXF_SEND" | "SIGN_AND_RETURN" | "CASH_COLLECTION", _) => forward(kind, state),
        ("RTO", 10 | 11 | 20 | 21 | 24 | 30 | 41 | 47 | 48 | 49) => Plain(Returning),
        ("CUSTOMER_RETURN_PICKUP", _) => customer_return(state),
        ("EXCHANGE", _) => exchange(state),
        _ => Plain(Unrecognised),
    }
}

fn is_known(kind: &str) -> bool {
    const KNOWN: [&str; 7] = [
        "SEND",
        "FXF_SEND",
        "SIGN_AND_RETURN",
        "CASH_COLLECTION",
        "RTO",
        "CUSTOMER_RETURN_PICKUP",
        "EXCHANGE",
    ];
    KNOWN.contains(&kind)
}

fn forward(kind: &str, state: u16) -> Reading {
    match state {
        10 | 11 | 20 => Plain(LabelCreated),
        21 | 25 => Plain(PickedUp),
        22 if kind == "SIGN_AND_RETURN" => Plain(OutForDelivery),
        24 | 30 => Plain(InTransit),
        // By its name like 21, by its meaning the last leg.
        40 | 41 => Plain(OutForDelivery),
        45 => Plain(Delivered),
        47 => Plain(DeliveryFailed),
        48 => Plain(Cancelled),
        49 => Reading::CancelledUnlessPickedUp,
        _ => Plain(Unrecognised),
    }
}

fn customer_return(state: u16) -> Reading {
    match state {
        10 | 11 | 20 | 22 => Plain(LabelCreated),
        23 => Reading::Collected,
        24 | 30 => Reading::InTransitUnlessCollected,
        41 => Plain(Returning),
        47 => Plain(DeliveryFailed),
        48 => Plain(Cancelled),
        49 => Reading::CancelledUnlessPickedUp,
        _ => Plain(Unrecognised),
    }
}

fn exchange(state: u16) -> Reading {
    match state {
        10 | 11 | 20 => Plain(LabelCreated),
        21 => Plain(PickedUp),
        22 => Reading::AtCustomer,
        23 => Reading::Collected,
        24 | 30 => Reading::InTransitUnlessCollected,
        41 => Reading::OutForDeliveryUnlessVisited,
        45 => Plain(Delivered),
        47 => Plain(DeliveryFailed),
        48 => Plain(Cancelled),
        49 => Reading::CancelledUnlessPickedUp,
        _ => Plain(Unrecognised),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &Value) -> Told {
        parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_documented_webhook_is_read_with_a_number_as_tracking_number() {
        let told = parsed(&serde_json::json!({
            "_id": "15LmfpKYp0YILntA3jbyd", "trackingNumber": 48_089_608, "state": 47,
            "type": "SEND", "timeStamp": 1_689_253_131_024_i64,
            "deliveryPromiseDate": "15-07-2023", "numberOfAttempts": 1,
            "exceptionReason": "customer postponed", "exceptionCode": 3,
        }));
        assert_eq!(told.tracking_number, "48089608");
        assert_eq!(told.reading, Plain(DeliveryFailed));
        assert_eq!(told.occurred_at_ms, Some(1_689_253_131_024));
        assert_eq!((told.exception_code.as_str(), told.attempt), ("3", Some(1)));
    }

    #[test]
    fn texts_in_place_of_numbers_are_read_too() {
        let told = parsed(&serde_json::json!({
            "_id": "Ab3", "trackingNumber": "5108002", "state": "45", "type": "SEND",
            "timeStamp": "1790000000000", "cod": 450.5,
        }));
        assert_eq!(told.reading, Plain(Delivered));
        assert_eq!(told.occurred_at_ms, Some(1_790_000_000_000));
        assert_eq!(told.cod_collected, Some(4_505_000));
    }

    #[test]
    fn the_same_code_means_another_thing_for_another_type() {
        assert_eq!(reading("SEND", 41), Plain(OutForDelivery));
        assert_eq!(reading("RTO", 41), Plain(Returning));
        assert_eq!(reading("SEND", 45), Plain(Delivered));
        assert_eq!(reading("RTO", 45), Plain(Unrecognised));
        assert_eq!(reading("SEND", 21), Plain(PickedUp));
        assert_eq!(reading("EXCHANGE", 41), Reading::OutForDeliveryUnlessVisited);
        assert_eq!(reading("SEND", 46), Plain(Returned));
    }

    #[test]
    fn what_is_not_in_the_table_is_unrecognised() {
        assert_eq!(reading("SEND", 999), Plain(Unrecognised));
        assert_eq!(reading("DRONE", 45), Plain(Unrecognised));
        assert_eq!(reading("", 100), Plain(Unrecognised));
        assert_eq!(parse(b"[1]"), Err(NotUnderstood));
        assert_eq!(parse(b"not json"), Err(NotUnderstood));
    }
}
