//! Views that are made anew from the log equal those that grew with it.

use std::collections::BTreeMap;
use std::time::Duration;

use nexus_es::log::{Append, EventLog};
use nexus_es::memory::MemoryLog;
use nexus_es::{AggregateId, Commit, Version};
use nexus_proto::fulfillment::v1 as proto;

use crate::shop::{Shop, keyed};

#[tokio::test(flavor = "multi_thread")]
async fn rebuilt_views_equal_the_live_ones_and_those_in_the_other_database() {
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
    // What the pick list leads to for the other order is written by a process, in its own time.
    shop.fulfillment("sara", |it| it.status == "picked").await;
    shop.running.views.wait_for_latest(Duration::from_secs(10)).await;
    let live = shop.running.views.content_hash().await.unwrap();
    shop.running.views.rebuild().await.unwrap();
    assert_eq!(shop.running.views.content_hash().await.unwrap(), live);
    assert_eq!(shop.of_order("mona").await[0].status, "packed");

    assert_eq!(shop.digest_in_the_other_database().await, live);
    shop.close().await;
}

/// What stood in the log of fulfilment before the first event of this type, in a log of its own.
async fn cut_before(log: &MemoryLog, event_type: &str) -> MemoryLog {
    let cut = MemoryLog::default();
    let mut versions: BTreeMap<AggregateId, Version> = BTreeMap::new();
    for stored in log.commits("fulfillment") {
        let commit = Commit::decode(&stored.bytes).unwrap();
        let mut events = commit.entries.iter().flat_map(|entry| &entry.events);
        if events.any(|(_, payload)| payload.event_type == event_type) {
            break;
        }
        let append = Append {
            aggregate: stored.aggregate.clone(),
            expected: versions.get(&stored.aggregate).copied().unwrap_or(Version::NONE),
            commit_id: commit.commit_id,
            bytes: stored.bytes.clone(),
            traceparent: String::new(),
        };
        let appended = cut.append(append).await.unwrap();
        versions.insert(stored.aggregate.clone(), appended.version);
    }
    cut
}

fn mona() -> proto::GeneratePickListsRequest {
    proto::GeneratePickListsRequest { order_ids: vec!["mona".to_owned()], warehouse: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_generated_before_a_crash_is_listed_after_it() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let made = shop.client().generate_pick_lists(keyed("k1", mona())).await.unwrap();
    let id = made.into_inner().pick_lists.remove(0).pick_list_id;
    let cut = cut_before(&shop.log, "fulfillment.Listed").await;

    let again = Shop::open_over(cut).await;
    again.sells("MUG");
    let known = shop.orders.known.lock().unwrap().clone();
    *again.orders.known.lock().unwrap() = known;
    let listed = again.fulfillment("mona", |it| it.status == "listed").await;
    assert_eq!(listed.pick_list_id(), id);
    // Who got no answer asks again.
    let repeated = again.client().generate_pick_lists(keyed("k1", mona())).await.unwrap();
    assert_eq!(repeated.into_inner().pick_lists[0].pick_list_id, id);
    shop.close().await;
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_place_asks_again_and_changes_nothing() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let id = shop.generate(&["mona"]).await.remove(0).pick_list_id;
    shop.tasks.shut_down(Duration::from_secs(10)).await;
    let commits = shop.log.commits("fulfillment").len();
    let again = Shop::open_over(shop.log.clone()).await;
    again.sells("MUG");
    let known = shop.orders.known.lock().unwrap().clone();
    *again.orders.known.lock().unwrap() = known;
    assert_eq!(again.scan(&id, "MUG-EACH").await.result, "ACCEPTED");
    assert_eq!(again.scan(&id, "MUG-EACH").await.picked, 2);
    assert_eq!(again.complete(&id).await.unwrap().settled, Some(true));
    // Two scans, completed, picked: what was done before was no news.
    assert_eq!(again.log.commits("fulfillment").len() - commits, 4);
    again.close().await;
}
