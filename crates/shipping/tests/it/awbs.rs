//! Exactly one live AWB a parcel, whatever the courier's answers do.

use nexus_proto::shipping::v1 as proto;
use nexus_runtime::status;
use serde_json::json;

use crate::world::{CALM, World, eventually, wish};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_looked_up_and_its_delivery_adopted() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    world.fault("lost_answer", json!({"on": "create"})).await;
    let shipment = world.shipped("1", &account).await;
    assert_eq!(shipment.status, "awb_live");
    let made = world.deliveries().await;
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["tracking_number"], shipment.tracking_number.as_str());
    assert_eq!(made[0]["create_calls"], 1);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_made_nothing_is_tried_once_more_after_three_looks() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    for (name, fault) in [("1", "server_error"), ("2", "failed_in_200")] {
        world.fault(fault, json!({"on": "create"})).await;
        let shipment = world.shipped(name, &account).await;
        let live = world.shipment_that(&shipment.shipment_id, |it| it.status == "awb_live").await;
        assert!(!live.tracking_number.is_empty());
    }
    assert_eq!(world.live_deliveries().await, 2);
    assert_eq!(world.calls("POST /api/v2/deliveries/search").await, 6);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_courier_is_asked_when_it_says_also_inside_a_200() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    for (name, fault) in [("1", "rate_limited"), ("2", "rate_limited_in_200")] {
        world.fault(fault, json!({"on": "create", "retry_after": 1})).await;
        assert_eq!(world.shipped(name, &account).await.status, "awb_live");
    }
    assert_eq!(world.live_deliveries().await, 2);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_fails_with_a_hint_and_works_after_rotating() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "bad-key").await.courier_account_id;
    let failed = world.shipped("1", &account).await;
    assert_eq!(failed.status, "awb_failed");
    let problem = failed.awb_problem.unwrap();
    assert_eq!(problem.code, "1028");
    assert!(problem.hint.contains("check the API key"), "{}", problem.hint);
    let rotate = proto::RotateCredentialsRequest {
        courier_account_id: account,
        credentials: Some(proto::CourierCredentials { api_key: "good".to_owned() }),
    };
    world.client().rotate_credentials(world.by(rotate)).await.unwrap();
    let live = world.create_awb(&failed.shipment_id).await;
    assert_eq!((live.status.as_str(), live.awb_problem), ("awb_live", None));
    assert_eq!(world.create_awb(&failed.shipment_id).await.awb, live.awb);
    assert_eq!(world.live_deliveries().await, 1);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_is_the_same_bytes_at_every_print_and_printing_makes_nothing() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    // Even the courier's label failing at first fails nothing.
    world.fault("server_error", json!({"on": "label"})).await;
    let shipment = world.shipped("1", &account).await;
    let id = shipment.shipment_id.as_str();
    let first = world.print(id).await.unwrap();
    assert!(first.pdf.starts_with(b"%PDF"));
    assert_eq!(world.print(id).await.unwrap().pdf, first.pdf);
    let printed = world.shipment_that(id, |it| it.label_copies == 2).await;
    assert_eq!(printed.awb, shipment.awb);
    let a4 = proto::PrintAwbRequest { shipment_id: id.to_owned(), format: "A4".to_owned() };
    let a4 = world.client().print_awb(world.by(a4)).await.unwrap().into_inner();
    assert_ne!(a4.pdf, first.pdf);
    assert_eq!(world.calls("POST /api/v2/deliveries").await, 1);
    world.close().await;
}

fn void(id: &str) -> proto::VoidAwbRequest {
    proto::VoidAwbRequest { shipment_id: id.to_owned(), reason: "wrong box".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voided_awb_is_never_used_again_and_the_parcel_gets_another() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let shipment = world.shipped("1", &account).await;
    let id = shipment.shipment_id.as_str();
    let voided = world.client().void_awb(world.by(void(id))).await.unwrap().into_inner();
    assert_eq!(voided.status, "voided");
    assert_eq!(world.live_deliveries().await, 0);
    let refused = world.hand_over(id).await.unwrap_err();
    assert_eq!(status::reason(&refused).as_deref(), Some("WRONG_STATUS"));
    let again = world.create_awb(id).await;
    assert_eq!(again.status, "awb_live");
    assert_ne!(again.awb, shipment.awb);
    assert_eq!(world.live_deliveries().await, 1);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_that_has_the_parcel_keeps_the_awb() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let shipment = world.shipped("1", &account).await;
    *world.door.is_shut.lock().unwrap() = true;
    world.enter_state(&shipment.tracking_number, json!({"state": 21})).await;
    let id = shipment.shipment_id.as_str();
    let refused = world.client().void_awb(world.by(void(id))).await.unwrap_err();
    assert_eq!(status::reason(&refused).as_deref(), Some("VOID_REFUSED"));
    assert_eq!(world.shipment(id).await.status, "awb_live");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_call_and_answer_makes_no_second_delivery() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    world.fault("delay", json!({"on": "create", "delay_ms": 3_000})).await;
    let order_id = world.packed_order("1", 1);
    let mut client = world.client();
    let request = world.by(wish(&order_id, &account));
    // The courier has made it, and its answer is on the way.
    let made = eventually(async || (world.live_deliveries().await == 1).then_some(()));
    tokio::select! {
        answered = client.create_shipments(request) => panic!("too early: {answered:?}"),
        () = made => {}
    }
    let world = world.forgetful().await;
    let shipment = world.ship(&order_id, &account).await.unwrap().shipments.remove(0);
    let live = world.shipment_that(&shipment.shipment_id, |it| it.status == "awb_live").await;
    let made = world.deliveries().await;
    assert_eq!(
        (made.len(), made[0]["tracking_number"].as_str()),
        (1, Some(&*live.tracking_number))
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_parcels_with_faults_end_with_one_live_awb_each() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    for (fault, times) in [("lost_answer", 3), ("server_error", 2), ("failed_in_200", 2)] {
        world.fault(fault, json!({"on": "create", "times": times})).await;
    }
    world.fault("lost_answer", json!({"on": "search", "times": 3})).await;
    let orders: Vec<_> = (0..6).map(|n| world.packed_order(&n.to_string(), 2)).collect();
    let asked = orders.iter().map(|order| world.ship(order, &account));
    let answers = futures::future::join_all(asked).await;
    for shipment in answers.into_iter().flat_map(|answer| answer.unwrap().shipments) {
        world.shipment_that(&shipment.shipment_id, |it| it.status == "awb_live").await;
    }
    let made = world.deliveries().await;
    let mut references: Vec<_> =
        made.iter().map(|one| one["unique_business_reference"].to_string()).collect();
    references.sort();
    references.dedup();
    assert_eq!((made.len(), references.len()), (12, 12));
    eventually(async || world.running.views.caught_up().await.unwrap().then_some(())).await;
    world.rebuilt_equals_live().await;
    world.close().await;
}
