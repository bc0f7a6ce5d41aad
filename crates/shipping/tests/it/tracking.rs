//! What couriers post, in any order and as often as they like.

use std::time::Duration;

use serde_json::json;

use crate::world::{CALM, Pace, World, eventually, wish};

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_is_followed_to_the_customer_and_every_update_is_a_row() {
    let pace = Pace { courier: 50.0, nexus: 50.0, ..CALM };
    let world = World::start(pace).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    world.fault("duplicate_webhook", json!({})).await;
    let id = world.shipped("1", &account).await.shipment_id;
    world.hand_over(&id).await.unwrap();
    let done = world.shipment_that(&id, |it| it.status == "closed").await;
    assert_eq!(done.tracking_status, "delivered");
    assert_eq!(done.cod_collected.unwrap().amount, "149.90");
    assert!(done.delivered_at.is_some());
    // 20, 21, 24, 30, 41, 45, and one of them twice.
    let logs =
        eventually(async || Some(world.logs(&id).await).filter(|logs| logs.len() == 7)).await;
    assert_eq!(logs.iter().filter(|log| log.duplicate).count(), 1);
    let last = logs.iter().find(|log| log.code == "45").unwrap();
    assert!(last.confirmed && last.raw.as_ref().unwrap().fields.contains_key("timeStamp"));
    assert!(world.unmatched().await.is_empty());
    world.rebuilt_equals_live().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_the_courier_does_not_confirm_is_logged_and_changes_nothing() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let shipment = world.shipped("1", &account).await;
    let forged = json!({
        "_id": "x", "trackingNumber": shipment.tracking_number, "state": 45, "type": "SEND",
        "timeStamp": 1_790_000_000_000_i64, "cod": 149.9,
    });
    world.door.keep(&account, forged.to_string().as_bytes()).await;
    let id = shipment.shipment_id.as_str();
    let logs =
        eventually(async || Some(world.logs(id).await).filter(|logs| !logs.is_empty())).await;
    assert!(!logs[0].confirmed && !logs[0].applied);
    assert_eq!(logs[0].status, "delivered");
    let shown = world.shipment(id).await;
    assert_eq!(
        (shown.status.as_str(), shown.tracking_status.as_str()),
        ("awb_live", "label_created")
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pickup_that_nobody_scanned_shows_as_handed_over_with_a_warning() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let shipment = world.shipped("1", &account).await;
    world.enter_state(&shipment.tracking_number, json!({"state": 21})).await;
    let shown = world.shipment_that(&shipment.shipment_id, |it| it.status == "handed_over").await;
    assert!(shown.warning.unwrap().contains("nobody scanned it"));
    eventually(async || (!world.inventory.shipped.lock().unwrap().is_empty()).then_some(())).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_keeps_its_number_and_is_never_called_delivered() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let shipment = world.shipped("1", &account).await;
    let (id, number) = (shipment.shipment_id.as_str(), shipment.tracking_number.as_str());
    world.enter_state(number, json!({"state": 41})).await;
    world.enter_state(number, json!({"state": 47, "exception": 8})).await;
    let failed = world.shipment_that(id, |it| it.tracking_status == "delivery_failed").await;
    assert_eq!(failed.delivery_attempts, 1);
    assert!(failed.exception_reason.unwrap().contains("refused"));
    world.enter_state(number, json!({"state": 24, "returning": true})).await;
    world.shipment_that(id, |it| it.tracking_status == "returning").await;
    world.enter_state(number, json!({"state": 46, "returning": true})).await;
    let back = world.shipment_that(id, |it| it.status == "closed").await;
    assert_eq!((back.tracking_status.as_str(), back.delivered_at), ("returned", None));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_state_is_kept_as_unrecognised_and_changes_nothing() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let shipment = world.shipped("1", &account).await;
    world.enter_state(&shipment.tracking_number, json!({"state": 999})).await;
    let id = shipment.shipment_id.as_str();
    let logs =
        eventually(async || Some(world.logs(id).await).filter(|logs| !logs.is_empty())).await;
    assert_eq!((logs[0].status.as_str(), logs[0].code.as_str()), ("unrecognised", "999"));
    assert_eq!(world.shipment(id).await.tracking_status, "label_created");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_beats_its_awb_waits_for_it() {
    let world = World::start(CALM).await;
    let account = world.account("manual", "").await.courier_account_id;
    let body = json!({"tracking_number": "VAN-7", "status": "in_transit",
                      "occurred_at": "2026-11-25T10:00:00Z"});
    world.door.keep(&account, body.to_string().as_bytes()).await;
    world.door.keep(&account, b"{\"hello\": 1}").await;
    let waiting =
        eventually(async || Some(world.unmatched().await).filter(|waiting| waiting.len() == 2))
            .await;
    assert_eq!(waiting[0].tracking_number, "VAN-7");
    assert!(waiting[0].raw.as_ref().unwrap().fields.contains_key("status"));
    let order_id = world.packed_order("1", 1);
    let request = nexus_proto::shipping::v1::CreateShipmentsRequest {
        tracking_number: Some("VAN-7".to_owned()),
        ..wish(&order_id, &account)
    };
    let made = world.client().create_shipments(world.by(request)).await.unwrap().into_inner();
    let id = made.shipments[0].shipment_id.as_str();
    world.shipment_that(id, |it| it.tracking_status == "in_transit").await;
    // The one that names no delivery stays for a person to see.
    eventually(async || (world.unmatched().await.len() == 1).then_some(())).await;
    assert_eq!(world.logs(id).await.len(), 1);
    world.rebuilt_equals_live().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_whose_posts_get_lost_is_asked() {
    let pace = Pace { courier: 100.0, nexus: 1.0, silence: Duration::from_millis(300) };
    let world = World::start(pace).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    *world.door.is_shut.lock().unwrap() = true;
    let id = world.shipped("1", &account).await.shipment_id;
    let done = world.shipment_that(&id, |it| it.tracking_status == "delivered").await;
    assert_eq!(done.status, "closed");
    assert!(world.logs(&id).await.iter().all(|log| log.source == "poll"));
    world.close().await;
}
