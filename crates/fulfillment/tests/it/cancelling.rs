//! Orders that are cancelled on the way.

use nexus_proto::fulfillment::v1 as proto;

use crate::shop::{Shop, by, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_orders_lines_leave_the_open_list() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1"), ("TEA", 1, "A-2")]).await;
    shop.confirm("ali", "CAI", &[("MUG", 1, "A-1")]).await;
    let id = shop.generate(&["mona", "ali"]).await.remove(0).pick_list_id;
    shop.scan(&id, "MUG-EACH").await;
    shop.scan(&id, "MUG-EACH").await;
    shop.cancel_order("mona").await;
    shop.fulfillment("mona", |it| it.status == "withdrawn").await;
    let read = proto::GetPickListRequest { pick_list_id: id.clone(), min_position: String::new() };
    let list = shop.client().get_pick_list(by("nour", read)).await.unwrap().into_inner();
    assert_eq!(list.order_ids, ["ali"]);
    let lines: Vec<_> = list.lines.iter().map(|l| (l.sku.as_str(), l.units, l.picked)).collect();
    assert_eq!(lines, [("MUG", 1, 1)]);
    assert_eq!(shop.scan(&id, "TEA").await.result, "STALE_LIST");
    assert_eq!(shop.complete(&id).await.unwrap().settled, Some(true));
    assert_eq!(shop.of_order("ali").await[0].status, "picked");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_order_takes_the_list_with_it() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let id = shop.generate(&["mona"]).await.remove(0).pick_list_id;
    shop.cancel_order("mona").await;
    let list = eventually(|| async {
        let read =
            proto::GetPickListRequest { pick_list_id: id.clone(), min_position: String::new() };
        let list = shop.client().get_pick_list(by("nour", read)).await.unwrap().into_inner();
        (list.status == "cancelled").then_some(list)
    })
    .await;
    assert!(list.lines.is_empty() && list.order_ids.is_empty());
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_are_picked_stay_picked() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 1, "A-1")]).await;
    let id = shop.generate(&["mona"]).await.remove(0).pick_list_id;
    shop.scan(&id, "MUG-EACH").await;
    shop.complete(&id).await.unwrap();
    shop.cancel_order("mona").await;
    shop.cancel_order("nobody").await;
    // The next order's cancellation is heard after Mona's.
    shop.confirm("ali", "CAI", &[("MUG", 1, "A-1")]).await;
    shop.cancel_order("ali").await;
    shop.fulfillment("ali", |it| it.status == "withdrawn").await;
    assert_eq!(shop.of_order("mona").await[0].status, "picked");
    shop.close().await;
}
