//! Over files: what was acknowledged is there after a restart, and what was begun is ended.

use std::path::Path;

use nexus_es_sqlite::SqliteStore;
use nexus_order::Config;
use nexus_proto::order::v1 as proto;

use crate::inventory::Inventory;
use crate::support::{Stores, World, call, is_replayed, keyed, line, order_of, world_on};

async fn open(dir: &Path, inventory: &Inventory) -> (World, SqliteStore) {
    let store = SqliteStore::open(&dir.join("store")).await.unwrap();
    let stores = Stores {
        log: store.log(),
        leases: store.leases(),
        checkpoints: store.checkpoints(),
        timers: store.timers(),
        keys: store.keys(),
        database: dir.join("views").into(),
    };
    (world_on(stores, inventory.clone(), Config::default()).await, store)
}

async fn close((world, store): (World, SqliteStore)) {
    world.end().await;
    store.close().await;
}

#[tokio::test]
async fn orders_and_keys_outlive_a_restart_and_no_number_comes_twice() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = Inventory::default();
    inventory.put("CAIRO", "MUG-RED", 10);
    let asked = order_of(vec![line("MUG-RED", 2)]);
    let first = open(dir.path(), &inventory).await;
    let created = first.0.client().create_order(keyed(asked.clone(), "once")).await.unwrap();
    let created = created.into_inner();
    let confirmed = first.0.confirm(&created.order_id).await;
    assert_eq!(confirmed.status, "confirmed");
    close(first).await;

    let second = open(dir.path(), &inventory).await;
    let read = second.0.get(&created.number).await;
    assert_eq!((read.status.as_str(), read.contact), ("confirmed", created.contact.clone()));
    let again = second.0.client().create_order(keyed(asked, "once")).await.unwrap();
    assert!(is_replayed(&again));
    assert_eq!(again.into_inner(), created);
    let next = second.0.create(vec![line("MUG-RED", 1)]).await;
    assert_ne!(next.number, created.number);
    assert_eq!(next.contact.unwrap().contact_id, created.contact.unwrap().contact_id);
    second.0.is_rebuilt_the_same().await;
    close(second).await;
}

#[tokio::test]
async fn a_confirm_that_was_cut_off_is_ended_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = Inventory::default();
    inventory.put("CAIRO", "MUG-RED", 10);
    let first = open(dir.path(), &inventory).await;
    let order_id = first.0.create(vec![line("MUG-RED", 2)]).await.order_id;
    inventory.go_down(true);
    let ask = proto::ConfirmOrderRequest { order_id: order_id.clone() };
    let waiting = first.0.client().confirm_order(call(ask)).await.unwrap().into_inner();
    assert_eq!(waiting.settled, Some(false));
    close(first).await;
    inventory.go_down(false);
    // An earlier try may have held elsewhere by a plan that nobody knows any more.
    inventory.put("ALEX", "MUG-RED", 0);
    inventory.hold("ALEX", &format!("{order_id}/1"), "MUG-RED", 1);

    let second = open(dir.path(), &inventory).await;
    second.0.shows(&order_id, "", "confirmed").await;
    let swept = async {
        while inventory.holders() != [format!("CAIRO {order_id}/1")] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::DEADLINE, swept).await.unwrap();
    assert_eq!(inventory.free("ALEX", "MUG-RED"), 1);
    close(second).await;
}
