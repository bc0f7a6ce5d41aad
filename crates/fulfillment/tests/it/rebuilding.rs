//! Views that are made anew from the log equal those that grew with it.

use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn rebuilt_views_equal_the_live_ones() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1"), ("TEA", 1, "A-2")]).await;
    shop.confirm("ali", "CAI", &[("TEA", 1, "A-2"), ("POT", 2, "A-0")]).await;
    shop.confirm("sara", "CAI", &[("MUG", 1, "A-1")]).await;
    let id = shop.generate(&["mona", "ali", "sara"]).await.remove(0).pick_list_id;
    shop.scan(&id, "NOTHING").await;
    shop.scan(&id, "MUG-EACH").await;
    shop.cancel_order("ali").await;
    shop.fulfillment("ali", |it| it.status == "withdrawn").await;
    shop.scan(&id, "MUG-EACH").await;
    shop.scan(&id, "MUG-EACH").await;
    shop.scan(&id, "TEA").await;
    shop.complete(&id).await.unwrap();
    let mona = shop.of_order("mona").await.remove(0);
    shop.pack(&mona.fulfillment_id, &[&[("MUG", 2)], &[("TEA", 1)]]).await.unwrap();
    let live = shop.running.views.content_hash().await.unwrap();
    shop.running.views.rebuild().await.unwrap();
    assert_eq!(shop.running.views.content_hash().await.unwrap(), live);
    assert_eq!(shop.of_order("mona").await[0].status, "packed");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_generated_before_a_crash_is_listed_after_it() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let id = shop.generate(&["mona"]).await.remove(0).pick_list_id;
    shop.tasks.shut_down(std::time::Duration::from_secs(10)).await;
    // Another process over the same log, with no checkpoint left: it asks for everything again.
    let commits = shop.log.commits("fulfillment").len();
    let again = Shop::open_over(shop.log.clone()).await;
    again.sells("MUG");
    let known = shop.orders.known.lock().unwrap().clone();
    *again.orders.known.lock().unwrap() = known;
    let mona = again.fulfillment("mona", |it| it.status == "listed").await;
    assert_eq!(mona.pick_list_id(), id);
    assert_eq!(again.scan(&id, "MUG-EACH").await.result, "ACCEPTED");
    assert_eq!(again.scan(&id, "MUG-EACH").await.picked, 2);
    assert_eq!(again.complete(&id).await.unwrap().settled, Some(true));
    let added = again.log.commits("fulfillment").len() - commits;
    // Two scans, completed, picked: what was done before was no news.
    assert_eq!(added, 4);
    again.close().await;
}
