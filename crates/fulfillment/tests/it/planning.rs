//! From confirmed orders to pick lists.

use std::time::Duration;

use nexus_proto::fulfillment::v1 as proto;
use tonic::Code;

use crate::shop::{Shop, allocation, assert_refused, by, keyed};

fn asked(order_ids: &[&str], warehouse: Option<&str>) -> proto::GeneratePickListsRequest {
    proto::GeneratePickListsRequest {
        order_ids: order_ids.iter().map(|id| (*id).to_owned()).collect(),
        warehouse: warehouse.map(str::to_owned),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_is_ready_for_picking() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1"), ("TEA", 1, "A-2")]).await;
    let ready = shop.fulfillment("mona", |it| it.status == "ready").await;
    assert_eq!((ready.warehouse.as_str(), ready.order_number.as_str()), ("CAI", "NX-4"));
    assert_eq!(ready.lines[0].name, "MUG as ordered");
    let wanted = proto::ListFulfillmentsRequest {
        status: "ready".to_owned(),
        warehouse: "CAI".to_owned(),
        ..Default::default()
    };
    let listed = shop.client().list_fulfillments(by("nour", wanted)).await.unwrap().into_inner();
    assert_eq!(listed.fulfillments.len(), 1);
    let read = proto::GetFulfillmentRequest {
        fulfillment_id: ready.fulfillment_id.clone(),
        min_position: String::new(),
    };
    let read = shop.client().get_fulfillment(by("nour", read)).await.unwrap().into_inner();
    assert_eq!(read.reservation, "mona/1");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_share_one_walk_and_everybody_hears_of_it() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 2, "B-1"), ("TEA", 1, "A-9")]).await;
    shop.confirm("ali", "CAI", &[("MUG", 3, "B-1"), ("MUG", 1, "B-1")]).await;
    // Nobody waited for the fulfilments to be opened.
    let lists = shop.generate(&["mona", "ali"]).await;
    let [list] = lists.as_slice() else { panic!("one list a warehouse: {lists:?}") };
    assert_eq!((list.status.as_str(), list.warehouse.as_str()), ("open", "CAI"));
    let lines: Vec<_> =
        list.lines.iter().map(|l| (l.bin.as_str(), l.sku.as_str(), l.units)).collect();
    assert_eq!(lines, [("A-9", "TEA", 1), ("B-1", "MUG", 6)]);
    let mugs = &list.lines[1];
    assert_eq!(mugs.name, "The mug");
    assert_eq!(mugs.barcodes.len(), 2);
    let split: Vec<_> = mugs.split.iter().map(|s| (s.order_id.as_str(), s.units)).collect();
    assert_eq!(split, [("mona", 2), ("ali", 4)]);
    assert_eq!(list.lines[0].name, "TEA as ordered");
    let fulfillment = shop.of_order("ali").await.remove(0);
    assert_eq!(fulfillment.status, "listed");
    assert_eq!(fulfillment.pick_list_id(), list.pick_list_id);
    let awaited = shop.orders.awaited.lock().unwrap().clone();
    assert!(awaited.contains(&("mona".to_owned(), "processing".to_owned())));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_from_two_warehouses_gets_two_lists() {
    let shop = Shop::open().await;
    let here = [("MUG", 2, "A-1")];
    let there = [("TEA", 1, "Z-1")];
    shop.hold("mona", "CAI", &here);
    shop.hold("mona", "ALX", &there);
    let all = [here[0], there[0]];
    let allocations = vec![allocation("CAI", &here), allocation("ALX", &there)];
    shop.confirm_allocated("mona", &all, allocations).await;
    let mut client = shop.client();
    let only = client.generate_pick_lists(by("nour", asked(&["mona"], Some("ALX")))).await;
    let only = only.unwrap().into_inner().pick_lists;
    assert_eq!(only.len(), 1);
    assert_eq!(only[0].warehouse, "ALX");
    let rest = shop.generate(&["mona"]).await;
    assert_eq!((rest.len(), rest[0].warehouse.as_str()), (1, "CAI"));
    let elsewhere = client.generate_pick_lists(by("nour", asked(&["mona"], Some("LXR")))).await;
    assert_refused(elsewhere, "NOTHING_TO_PICK", "no goods in warehouse LXR");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listed_is_told_with_a_way_forward() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let list = shop.generate(&["mona"]).await.remove(0);
    let way = format!("/v1/pick-lists/{}:cancel", list.pick_list_id);
    assert_refused(shop.try_generate(&["mona"]).await, "ALREADY_LISTED", &way);
    assert_refused(shop.try_generate(&["nobody"]).await, "ORDER_UNKNOWN", "no order \"nobody\"");
    shop.confirm("ali", "CAI", &[("MUG", 2, "A-1")]).await;
    if let Some(ali) = shop.orders.known.lock().unwrap().get_mut("ali") {
        ali.on_hold = true;
    }
    assert_refused(shop.try_generate(&["ali"]).await, "ORDER_ON_HOLD", ":release");
    if let Some(ali) = shop.orders.known.lock().unwrap().get_mut("ali") {
        ali.lifecycle = "pending".to_owned();
        ali.status = "pending".to_owned();
    }
    assert_refused(shop.try_generate(&["ali"]).await, "ORDER_NOT_CONFIRMED", ":confirm");
    shop.confirm_allocated(
        "sara",
        &[("MUG", 1, "A-1")],
        vec![allocation("CAI", &[("MUG", 1, "A-1")])],
    )
    .await;
    let unheld = shop.try_generate(&["sara"]).await;
    assert_refused(unheld, "UNKNOWN_RESERVATION", "no stock to pick");
    let nothing = shop.try_generate(&[]).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_makes_the_same_list_once() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    shop.confirm("ali", "CAI", &[("MUG", 2, "A-1")]).await;
    let generate = |body| {
        let mut client = shop.client();
        async move { client.generate_pick_lists(keyed("k1", body)).await }
    };
    let first = generate(asked(&["mona"], None)).await.unwrap();
    let again = generate(asked(&["mona"], None)).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    let id = first.into_inner().pick_lists.remove(0).pick_list_id;
    assert_eq!(again.into_inner().pick_lists[0].pick_list_id, id);
    let other = generate(asked(&["ali"], None)).await.unwrap_err();
    let reason = nexus_runtime::status::reason(&other);
    assert_eq!(reason.as_deref(), Some("IDEMPOTENCY_KEY_REUSED"));
    // Also when the order could no longer be listed.
    shop.cancel_order("mona").await;
    shop.fulfillment("mona", |it| it.status == "withdrawn").await;
    let late = generate(asked(&["mona"], None)).await.unwrap();
    assert_eq!(late.into_inner().pick_lists[0].pick_list_id, id);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_lists_for_one_order_only_one_keeps_it() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let (one, two) = tokio::join!(shop.try_generate(&["mona"]), shop.try_generate(&["mona"]));
    let made = [one, two].into_iter().filter(Result::is_ok).count();
    assert_eq!(made, 1);
    let listed = shop.of_order("mona").await.remove(0);
    let lists = proto::ListPickListsRequest { status: "open".to_owned(), ..Default::default() };
    let open = shop.client().list_pick_lists(by("nour", lists)).await.unwrap().into_inner();
    assert_eq!(open.pick_lists.len(), 1);
    assert_eq!(open.pick_lists[0].pick_list_id, listed.pick_list_id());
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_lists_orders_can_be_listed_again_at_once() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let list = shop.generate(&["mona"]).await.remove(0);
    let cancel = proto::CancelPickListRequest {
        pick_list_id: list.pick_list_id.clone(),
        reason: Some("rain".to_owned()),
    };
    let cancelled = shop.client().cancel_pick_list(by("nour", cancel)).await.unwrap().into_inner();
    assert_eq!((cancelled.status.as_str(), cancelled.settled), ("cancelled", Some(true)));
    let next = shop.generate(&["mona"]).await.remove(0);
    assert_ne!(next.pick_list_id, list.pick_list_id);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_two_thousand_lines_fits_one_list() {
    let shop = Shop::open().await;
    let skus: Vec<String> = (0..2000).map(|nth| format!("ARTICLE-{nth:05}")).collect();
    let bins: Vec<String> = (0..2000).map(|nth| format!("ZONE-A-01-{nth}")).collect();
    let lines: Vec<_> =
        skus.iter().zip(&bins).map(|(sku, bin)| (sku.as_str(), 3, bin.as_str())).collect();
    for sku in &skus {
        shop.sells(sku);
    }
    shop.confirm("0196a3f2-6f1e-7cc1-9d52-0f3a5b7c9e11", "CAI", &lines).await;
    let generating = shop.generate(&["0196a3f2-6f1e-7cc1-9d52-0f3a5b7c9e11"]);
    let list = tokio::time::timeout(Duration::from_secs(60), generating).await.unwrap().remove(0);
    assert_eq!(list.lines.len(), 2000);
    assert_eq!(list.lines[7].bin, "ZONE-A-01-7");
    let biggest = shop.log.commits("fulfillment").iter().map(|c| c.bytes.len()).max();
    assert!(biggest.unwrap() <= 512 * 1024, "{biggest:?} bytes");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_warehouse_sees_no_other() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let list = shop.generate(&["mona"]).await.remove(0);
    let read =
        proto::GetPickListRequest { pick_list_id: list.pick_list_id, min_position: String::new() };
    let foreign = shop.client().get_pick_list(by("omar@ALX", read.clone())).await.unwrap_err();
    assert_eq!(foreign.code(), Code::PermissionDenied);
    assert!(shop.client().get_pick_list(by("omar@CAI", read)).await.is_ok());
    shop.close().await;
}
