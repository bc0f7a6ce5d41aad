//! The read models against the logs they come from.

use std::time::Duration;

use nexus_es::Positions;
use nexus_proto::inventory::v1 as proto;

use crate::harness::{Inventory, product, stocked};

/// A day in the warehouse that leaves a trace of every kind of event.
async fn a_busy_day(inventory: &Inventory) {
    let coded = proto::RegisterProductRequest {
        barcodes: vec![proto::Barcode { code: "CASE-12".into(), units: 12 }],
        ..product("TIN")
    };
    inventory.register(coded).await.unwrap();
    let amend = proto::AmendProductRequest {
        sku: "TIN".into(),
        name: Some("A big tin".into()),
        ..Default::default()
    };
    inventory.client().amend_product(inventory.ask(amend)).await.unwrap();
    let assign =
        proto::AssignBinRequest { warehouse: "MAIN".into(), sku: "TIN".into(), bin: "B".into() };
    inventory.client().assign_bin(inventory.ask(assign)).await.unwrap();
    inventory.receive("MAIN", &[("MUG", "A", 9), ("CUP", "B", 4), ("MUG", "C", 2)]).await.unwrap();
    for (name, units) in [("ali/1", 3), ("mona/1", 4), ("zein/1", 4)] {
        inventory.reserve(name, &[("MUG", units), ("CUP", 1)]).await.unwrap();
    }
    inventory.allocate(&["ali/1", "mona/1", "zein/1"]).await;
    inventory.pick("ali/1", &[("MUG", "A", 3), ("CUP", "B", 1)]).await.unwrap();
    inventory.ship("ali/1").await.unwrap();
    let adjust = proto::AdjustStockRequest {
        warehouse: "MAIN".into(),
        sku: "MUG".into(),
        bin: "A".into(),
        delta: -5,
        reason: "water".into(),
        lot: String::new(),
    };
    inventory.client().adjust_stock(inventory.ask(adjust)).await.unwrap();
    let relocate = proto::MoveStockRequest {
        warehouse: "MAIN".into(),
        sku: "CUP".into(),
        from_bin: "B".into(),
        to_bin: "C".into(),
        units: 3,
        lot: String::new(),
    };
    inventory.client().move_stock(inventory.ask(relocate)).await.unwrap();
    inventory.release("mona/1").await;
    inventory.release("unseen/1").await;
}

async fn caught_up(inventory: &Inventory) {
    let now = Positions::parse(&inventory.now().await).unwrap();
    inventory.views.wait_for(&now, Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn views_rebuilt_from_the_log_equal_those_that_grew_with_it() {
    let inventory = stocked().await;
    a_busy_day(&inventory).await;
    caught_up(&inventory).await;
    let grown = inventory.views.content_hash().await.unwrap();
    inventory.views.rebuild().await.unwrap();
    caught_up(&inventory).await;
    assert_eq!(inventory.views.content_hash().await.unwrap(), grown);
}

#[tokio::test]
async fn both_databases_hold_the_same_rows_and_answer_the_same() {
    let inventory = stocked().await;
    a_busy_day(&inventory).await;
    caught_up(&inventory).await;
    let other = inventory.on_the_other_database().await;
    other.views.wait_for(&inventory.views.positions(), Duration::from_secs(10)).await.unwrap();
    let hashes = [&inventory, &other].map(|one| one.views.content_hash());
    let hashes = futures::future::join_all(hashes).await;
    assert_eq!(hashes[0].as_ref().unwrap(), hashes[1].as_ref().unwrap());
    let answers = async |one: &Inventory| {
        let mut client = one.client();
        let products = proto::ListProductsRequest { query: "TIN".into(), ..Default::default() };
        let bins = proto::ListBinsRequest { warehouse: "MAIN".into(), ..Default::default() };
        let movements = proto::ListMovementsRequest { sku: "MUG".into(), ..Default::default() };
        let stock = proto::ListStockRequest { page_size: 2, ..Default::default() };
        (
            client.list_products(one.ask(products)).await.unwrap().into_inner(),
            client.list_bins(one.ask(bins)).await.unwrap().into_inner(),
            client.list_movements(one.ask(movements)).await.unwrap().into_inner(),
            client.list_stock(one.ask(stock)).await.unwrap().into_inner(),
        )
    };
    assert_eq!(answers(&inventory).await, answers(&other).await);
}

#[tokio::test]
async fn the_stock_that_is_listed_is_the_stock_that_the_ledger_has() {
    let inventory = stocked().await;
    a_busy_day(&inventory).await;
    for sku in ["MUG", "CUP"] {
        let listed = inventory.stock(sku).await;
        let adjust = |delta| proto::AdjustStockRequest {
            warehouse: "MAIN".into(),
            sku: sku.into(),
            bin: "C".into(),
            delta,
            reason: "counted".into(),
            lot: String::new(),
        };
        // The ledger answers a change with the SKU as it has it: up by one, and down again.
        let mut client = inventory.client();
        client.adjust_stock(inventory.ask(adjust(1))).await.unwrap();
        let change = client.adjust_stock(inventory.ask(adjust(-1))).await.unwrap().into_inner();
        assert_eq!(change.items, [listed]);
    }
}

#[tokio::test]
async fn a_read_waits_for_what_its_caller_has_seen() {
    let inventory = stocked().await;
    let change = inventory.receive("MAIN", &[("MUG", "A", 9)]).await.unwrap();
    let request = |min_position: String| {
        inventory.ask(proto::ListStockRequest { min_position, ..Default::default() })
    };
    let mut client = inventory.client();
    let listed = client.list_stock(request(change.position)).await.unwrap().into_inner();
    assert_eq!(listed.items.len(), 1);
    let nonsense = client.list_stock(request("yesterday".into())).await.unwrap_err();
    assert_eq!(nonsense.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn parked_work_can_be_listed() {
    let inventory = stocked().await;
    let parked = nexus_es::work::list(&inventory.views.pool(), None).await.unwrap();
    assert!(parked.is_empty());
}
