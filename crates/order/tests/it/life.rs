//! An order from created to delivered, as its parts report.

use nexus_proto::common::v1::SkuUnits;
use nexus_proto::fulfillment::v1 as fulfillment;
use nexus_proto::order::v1 as proto;
use nexus_proto::shipping::v1 as shipping;
use tonic::Code;

use crate::support::{World, call, fulfillment_id, line, reason, world};

async fn fulfilled(world: &World, order_id: &str, event: &str, parcels: usize) {
    let id = fulfillment_id(order_id, "CAIRO");
    let at = ("fulfillment", "fulfillment", id.as_str());
    let order = order_id.to_owned();
    match event {
        "Listed" => {
            let listed = fulfillment::FulfillmentListed { order_id: order, ..Default::default() };
            world.tell(at, event, &listed, order_id).await;
        }
        "Picked" => {
            let picked = fulfillment::FulfillmentPicked { order_id: order, ..Default::default() };
            world.tell(at, event, &picked, order_id).await;
        }
        _ => {
            let parcels = vec![fulfillment::PackedParcel::default(); parcels];
            let packed = fulfillment::FulfillmentPacked { order_id: order, parcels };
            world.tell(at, event, &packed, order_id).await;
        }
    }
}

async fn planned(world: &World, order_id: &str, shipment: &str) {
    let planned = shipping::ShipmentPlanned {
        order_id: order_id.to_owned(),
        fulfillment_id: fulfillment_id(order_id, "CAIRO"),
        parcel: Some(shipping::PlannedParcel {
            contents: vec![SkuUnits { sku: "MUG-RED".to_owned(), units: 2 }],
            ..Default::default()
        }),
        ..Default::default()
    };
    world.tell(("shipping", "shipment", shipment), "Planned", &planned, order_id).await;
    let issued = shipping::ShipmentAwbIssued {
        order_id: order_id.to_owned(),
        tracking_number: format!("TRK-{shipment}"),
        ..Default::default()
    };
    world.tell(("shipping", "shipment", shipment), "AwbIssued", &issued, order_id).await;
}

async fn handed_over(world: &World, order_id: &str, shipment: &str) {
    let handed =
        shipping::ShipmentHandedOver { order_id: order_id.to_owned(), ..Default::default() };
    world.tell(("shipping", "shipment", shipment), "HandedOver", &handed, order_id).await;
}

async fn tracked(world: &World, order_id: &str, shipment: &str, status: &str) {
    let tracked = shipping::ShipmentTrackingRecorded {
        order_id: order_id.to_owned(),
        status: status.to_owned(),
        tracking_status: status.to_owned(),
        applied: true,
        ..Default::default()
    };
    world.tell(("shipping", "shipment", shipment), "TrackingRecorded", &tracked, order_id).await;
}

#[tokio::test]
async fn an_order_of_two_parcels_is_followed_to_its_end() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let id = world.confirmed(vec![line("MUG-RED", 4)]).await.order_id;
    let part = fulfillment_id(&id, "CAIRO");
    fulfilled(&world, &id, "Listed", 0).await;
    assert_eq!(world.shows(&id, &part, "processing").await, "processing");
    let ask = proto::CancelOrderRequest { order_id: id.clone(), reason: "late".to_owned() };
    let refused = world.client().cancel_order(call(ask)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "NOT_CANCELLABLE")
    );
    assert!(refused.message().contains("processing"), "{}", refused.message());
    fulfilled(&world, &id, "Picked", 0).await;
    assert_eq!(world.shows(&id, "", "picked").await, "picked");
    fulfilled(&world, &id, "Packed", 2).await;
    assert_eq!(world.shows(&id, &part, "packed").await, "packed");
    planned(&world, &id, "one").await;
    planned(&world, &id, "two").await;
    handed_over(&world, &id, "one").await;
    assert_eq!(world.shows(&id, "one", "shipped").await, "packed");
    handed_over(&world, &id, "two").await;
    assert_eq!(world.shows(&id, "", "shipped").await, "shipped");
    tracked(&world, &id, "one", "delivered").await;
    world.shows(&id, "one", "delivered").await;
    let order = world.get(&id).await;
    assert_eq!(order.progress.as_deref(), Some("1 of 2 delivered"));
    assert_eq!(order.shipments, ["one", "two"]);
    assert_eq!(world.search("trk-two").await, std::slice::from_ref(&id));
    tracked(&world, &id, "two", "delivery_failed").await;
    world.shows(&id, "", "exception").await;
    assert_eq!(world.get(&id).await.exceptions[0].reason, "DELIVERY_FAILED");
    tracked(&world, &id, "two", "out_for_delivery").await;
    tracked(&world, &id, "two", "delivered").await;
    assert_eq!(world.shows(&id, "", "delivered").await, "delivered");
    let order = world.get(&id).await;
    assert_eq!((order.lifecycle.as_str(), order.progress), ("closed", None));
    assert_eq!(order.tracking_status.as_deref(), Some("delivered"));
    world.is_rebuilt_the_same().await;
    world.on_the_other_database().await;
}

#[tokio::test]
async fn an_order_of_which_nothing_was_found_says_so_and_can_still_be_cancelled() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let id = world.confirmed(vec![line("MUG-RED", 4)]).await.order_id;
    let part = fulfillment_id(&id, "CAIRO");
    fulfilled(&world, &id, "Listed", 0).await;
    fulfilled(&world, &id, "Picked", 0).await;
    let withdrawn =
        fulfillment::FulfillmentWithdrawn { order_id: id.clone(), ..Default::default() };
    world.tell(("fulfillment", "fulfillment", &part), "Withdrawn", &withdrawn, &id).await;
    assert_eq!(world.shows(&id, "", "exception").await, "exception");
    let exceptions = world.get(&id).await.exceptions;
    let told = [&exceptions[0].part_id, &exceptions[0].reason, &exceptions[0].detail];
    assert_eq!(told[..2], [&part, "NOTHING_PICKED"]);
    assert!(told[2].contains("cancel the order"), "{}", told[2]);
    let ask = proto::CancelOrderRequest { order_id: id.clone(), reason: "not found".to_owned() };
    world.client().cancel_order(call(ask)).await.unwrap();
    assert_eq!(world.shows(&id, "", "cancelled").await, "cancelled");
    assert_eq!(world.get(&id).await.exceptions, []);
    world.is_rebuilt_the_same().await;
    world.on_the_other_database().await;
}

#[tokio::test]
async fn the_timeline_has_all_services_with_causes_before_effects() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let id = world.confirmed(vec![line("MUG-RED", 4)]).await.order_id;
    let part = fulfillment_id(&id, "CAIRO");
    let generated = fulfillment::PickListGenerated {
        parts: vec![fulfillment::GeneratedPart { order_id: id.clone(), ..Default::default() }],
        ..Default::default()
    };
    world.tell(("fulfillment", "pick_list", "list-1"), "Generated", &generated, "other").await;
    fulfilled(&world, &id, "Listed", 0).await;
    world.shows(&id, &part, "processing").await;
    let ask = proto::GetTimelineRequest { order_id: id.clone(), ..Default::default() };
    let entries = world.client().get_timeline(call(ask)).await.unwrap().into_inner().entries;
    let types: Vec<_> = entries.iter().map(|entry| entry.r#type.as_str()).collect();
    for expected in [
        "order.Created",
        "order.ConfirmationRequested",
        "order.Confirmed",
        "fulfillment.Opened",
        "pick_list.Generated",
        "fulfillment.Listed",
        "order.PartProgressed",
    ] {
        assert!(types.contains(&expected), "{expected} in {types:?}");
    }
    assert_eq!(types[0], "order.Created");
    for (nth, entry) in entries.iter().enumerate() {
        let cause = entries.iter().position(|it| it.event_id == entry.causation_id);
        assert!(cause.is_none_or(|cause| cause < nth), "{} stands before its cause", entry.r#type);
    }
    let created = &entries[0];
    assert_eq!(created.actor.as_ref().unwrap().kind, "key");
    let data = created.data.as_ref().unwrap();
    assert!(data.fields.contains_key("number") && !data.fields.contains_key("recipient"));
}
