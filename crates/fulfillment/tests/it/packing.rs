//! Parcels, and their way out.

use nexus_proto::fulfillment::v1 as proto;
use nexus_proto::shipping::v1::ShipmentHandedOver;
use tonic::Code;

use crate::shop::{Shop, assert_refused, by};

async fn picked(shop: &Shop) -> proto::Fulfillment {
    shop.sells("MUG");
    shop.sells("TEA");
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1"), ("MUG", 1, "A-1"), ("TEA", 1, "A-2")]).await;
    let id = shop.generate(&["mona"]).await.remove(0).pick_list_id;
    for code in ["MUG-EACH", "MUG-EACH", "MUG-EACH", "TEA-EACH"] {
        assert_eq!(shop.scan(&id, code).await.result, "ACCEPTED");
    }
    assert_eq!(shop.complete(&id).await.unwrap().settled, Some(true));
    shop.of_order("mona").await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_hold_what_was_picked_and_go_out_one_by_one() {
    let shop = Shop::open().await;
    let id = picked(&shop).await.fulfillment_id;
    let less = shop.pack(&id, &[&[("MUG", 2)], &[("TEA", 2)]]).await;
    assert_refused(less, "CONTENTS_DIFFER", "MUG: 3 picked, 2 packed; TEA: 1 picked, 2 packed");
    let packed = shop.pack(&id, &[&[("MUG", 3)], &[("TEA", 1)]]).await.unwrap();
    assert_eq!((packed.status.as_str(), packed.settled), ("packed", Some(true)));
    assert_eq!(packed.parcels[0].r#box(), "M");
    let awaited = shop.orders.awaited.lock().unwrap().clone();
    assert!(awaited.contains(&("mona".to_owned(), "packed".to_owned())));
    let otherwise = shop.pack(&id, &[&[("MUG", 3), ("TEA", 1)]]).await;
    assert_refused(otherwise, "ALREADY_PACKED", "packed already");

    for (nth, parcel) in packed.parcels.iter().enumerate() {
        let handed_over = ShipmentHandedOver {
            order_id: "mona".to_owned(),
            fulfillment_id: id.clone(),
            parcel_id: parcel.parcel_id.clone(),
            ..Default::default()
        };
        let shipment = format!("shipment-{nth}");
        let place = ("shipping", "shipment", shipment.as_str());
        shop.tell(place, "shipment.HandedOver", &handed_over).await;
    }
    shop.fulfillment("mona", |it| it.status == "handed_over").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_with_a_parcel_is_said_at_once() {
    let shop = Shop::open().await;
    let id = picked(&shop).await.fulfillment_id;
    let asked =
        proto::PackRequest { fulfillment_id: id, parcels: vec![proto::ParcelToPack::default()] };
    let no = shop.client().pack(by("nour", asked)).await.unwrap_err();
    assert_eq!(no.code(), Code::InvalidArgument);
    let details = tonic_types::StatusExt::get_details_bad_request(&no).unwrap();
    let fields: Vec<_> = details.field_violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["parcels[0].weight_grams", "parcels[0].contents"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_are_not_picked_cannot_be_packed() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 1, "A-1")]).await;
    let id = shop.fulfillment("mona", |it| it.status == "ready").await.fulfillment_id;
    let packed = shop.pack(&id, &[&[("MUG", 1)]]).await;
    assert_refused(packed, "FULFILLMENT_NOT_PICKED", "is ready and cannot be packed");
    assert_eq!(shop.pack("nothing", &[&[("MUG", 1)]]).await.unwrap_err().code(), Code::NotFound);
    shop.close().await;
}
