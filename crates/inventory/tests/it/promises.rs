//! Promises: plan, reserve, release, allocate, pick, ship.

use futures::future::join_all;
use nexus_es_sqlite::SqliteStore;
use nexus_proto::common::v1 as common;
use nexus_proto::inventory::v1 as proto;
use tonic::Code;

use crate::harness::{Inventory, no, product, stocked};

async fn plan(
    inventory: &Inventory,
    lines: &[(&str, &str, u32)],
    excluded: &[&str],
) -> proto::PlanAllocationResponse {
    plan_for(inventory, "", lines, excluded).await
}

async fn plan_for(
    inventory: &Inventory,
    reservation: &str,
    lines: &[(&str, &str, u32)],
    excluded: &[&str],
) -> proto::PlanAllocationResponse {
    let line = |(line_id, sku, units): &(&str, &str, u32)| common::AllocatedLine {
        line_id: (*line_id).into(),
        sku: (*sku).into(),
        units: *units,
    };
    let request = proto::PlanAllocationRequest {
        order_id: "ali".into(),
        lines: lines.iter().map(line).collect(),
        excluded_warehouses: excluded.iter().map(|code| (*code).into()).collect(),
        reservation: reservation.into(),
    };
    inventory.client().plan_allocation(inventory.ask(request)).await.unwrap().into_inner()
}

async fn forty_buyers_for_ten_units(inventory: &Inventory) {
    inventory.receive("MAIN", &[("MUG", "A", 10)]).await.unwrap();
    let names: Vec<_> = (0..40).map(|nth| format!("buyer{nth}/1")).collect();
    let answers = join_all(names.iter().map(|name| inventory.reserve(name, &[("MUG", 1)]))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let (held, short): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.reserved);
    assert_eq!((held.len(), short.len()), (10, 30));
    for answer in short {
        assert_eq!(answer.reason, "STOCK_SHORT");
        let shortage = common::Shortage { sku: "MUG".into(), asked: 1, available: 0 };
        assert_eq!(answer.shortages, [shortage]);
    }
    let item = inventory.stock("MUG").await;
    assert_eq!((item.on_hand, item.reserved, item.available), (10, 10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_forty_buyers_at_once_for_ten_units_exactly_ten_have_one() {
    forty_buyers_for_ten_units(&stocked().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_disk_too_of_forty_buyers_exactly_ten_have_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).await.unwrap();
    let inventory = Inventory::over(store.log()).await;
    inventory.furnish().await;
    forty_buyers_for_ten_units(&inventory).await;
}

#[tokio::test]
async fn a_reservation_goes_the_whole_way_and_each_step_counts_once() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "C", 3), ("MUG", "A", 2), ("CUP", "B", 9)]).await.unwrap();
    for _ in 0..2 {
        let answer = inventory.reserve("ali/1", &[("MUG", 4), ("CUP", 1)]).await.unwrap();
        assert!(answer.reserved);
    }
    let refused = no(inventory.reserve("ali/1", &[("MUG", 1)]).await);
    assert_eq!(refused.1, "RESERVED_DIFFERENTLY");
    let chosen = inventory.allocate(&["ali/1", "nobody/1"]).await;
    let lines: Vec<_> = chosen[0]
        .lines
        .iter()
        .map(|line| (line.sku.as_str(), line.bin.as_str(), line.zone.as_str(), line.units))
        .collect();
    assert_eq!(lines, [("CUP", "B", "B", 1), ("MUG", "A", "A", 2), ("MUG", "C", "C", 2)]);
    assert_eq!(chosen[1].problem, "UNKNOWN_RESERVATION");
    assert_eq!(inventory.allocate(&["ali/1", "nobody/1"]).await, chosen);
    let bins = inventory.stock("MUG").await.bins;
    assert_eq!(bins.iter().map(|bin| bin.allocated).collect::<Vec<_>>(), [2, 2]);
    for _ in 0..2 {
        let picked = [("CUP", "B", 1), ("MUG", "A", 2), ("MUG", "C", 1)];
        let after = inventory.pick("ali/1", &picked).await.unwrap();
        assert_eq!(after.held, []);
        assert_eq!(after.picked, crate::harness::units(&[("CUP", 1), ("MUG", 3)]));
    }
    let item = inventory.stock("MUG").await;
    assert_eq!((item.on_hand, item.reserved, item.picked, item.available), (5, 0, 3, 2));
    for _ in 0..2 {
        let after = inventory.ship("ali/1").await.unwrap();
        assert_eq!(after.shipped, crate::harness::units(&[("CUP", 1), ("MUG", 3)]));
    }
    // What was not picked is free already.
    assert_eq!(inventory.release("ali/1").await.lines, []);
    let item = inventory.stock("MUG").await;
    assert_eq!((item.on_hand, item.reserved, item.picked, item.available), (2, 0, 0, 2));
    assert!(item.bins.iter().all(|bin| bin.allocated == 0));
}

#[tokio::test]
async fn what_a_picker_did_not_find_is_given_back_and_not_sold_again() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 5), ("MUG", "C", 4)]).await.unwrap();
    inventory.reserve("ali/1", &[("MUG", 3)]).await.unwrap();
    inventory.allocate(&["ali/1"]).await;
    let missing = |reason: &str| proto::MissingUnits {
        at: crate::harness::places(&[("MUG", "A", 3)]).pop(),
        reason: reason.to_owned(),
    };
    let request = |reason: &str| proto::PickRequest {
        warehouse: "MAIN".into(),
        reservation: "ali/1".into(),
        lines: Vec::new(),
        pick_list_id: "P1".into(),
        missing: vec![missing(reason)],
    };
    let silent = inventory.client().pick(inventory.ask(request(" "))).await.unwrap_err();
    assert!(silent.message().contains("missing[0].reason"), "{}", silent.message());
    for _ in 0..2 {
        let asked = inventory.ask(request("empty shelf"));
        let after = inventory.client().pick(asked).await.unwrap().into_inner();
        assert_eq!((after.held, after.allocated, after.picked), (vec![], vec![], vec![]));
    }
    let item = inventory.stock("MUG").await;
    assert_eq!((item.on_hand, item.reserved, item.available), (4, 0, 4));
    assert_eq!(item.bins.iter().map(|bin| bin.bin.as_str()).collect::<Vec<_>>(), ["C"]);
    let ask = proto::ListMovementsRequest { sku: "MUG".into(), ..Default::default() };
    let told = inventory.client().list_movements(inventory.ask(ask)).await.unwrap().into_inner();
    let told: Vec<_> = told
        .movements
        .iter()
        .take(3)
        .map(|it| (it.kind.as_str(), it.units, it.bin(), it.reason()))
        .collect();
    assert_eq!(
        told,
        [
            ("adjusted", -5, "A", "found short: empty shelf"),
            ("found_short", 3, "A", "empty shelf"),
            ("released", 3, "", "not found by the picker"),
        ]
    );
}

#[tokio::test]
async fn a_release_of_an_unseen_name_refuses_a_late_reserve() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 3)]).await.unwrap();
    assert!(inventory.release("ali/1").await.unseen);
    let late = inventory.reserve("ali/1", &[("MUG", 1)]).await.unwrap();
    assert_eq!((late.reserved, late.reason.as_str()), (false, "RELEASED_BEFORE"));
    assert!(inventory.reserve("ali/2", &[("MUG", 1)]).await.unwrap().reserved);
}

#[tokio::test]
async fn a_plan_names_one_warehouse_else_the_fewest_else_what_is_short() {
    let inventory = stocked().await;
    inventory.open("NORTH", 2).await;
    inventory.define("NORTH", &["N"]).await;
    inventory.receive("MAIN", &[("MUG", "A", 3)]).await.unwrap();
    inventory.receive("NORTH", &[("MUG", "N", 2), ("CUP", "N", 1)]).await.unwrap();
    let postage = proto::RegisterProductRequest { stocked: Some(false), ..product("POST") };
    inventory.register(postage).await.unwrap();
    let codes = |answer: &proto::PlanAllocationResponse| -> Vec<(String, usize)> {
        let served = answer.allocation.iter();
        served.map(|it| (it.warehouse.clone(), it.lines.len())).collect()
    };
    let one = plan(&inventory, &[("1", "MUG", 2)], &[]).await;
    assert_eq!(codes(&one), [("MAIN".to_owned(), 1)]);
    let excluded = plan(&inventory, &[("1", "MUG", 2)], &["MAIN"]).await;
    assert_eq!(codes(&excluded), [("NORTH".to_owned(), 1)]);
    let both = plan(&inventory, &[("1", "MUG", 3), ("2", "CUP", 1), ("3", "POST", 1)], &[]).await;
    assert_eq!(codes(&both), [("MAIN".to_owned(), 1), ("NORTH".to_owned(), 1)]);
    assert_eq!(both.unstocked_line_ids, ["3"]);
    let short = plan(&inventory, &[("1", "MUG", 4), ("2", "MUG", 2), ("3", "?", 1)], &[]).await;
    assert!(short.allocation.is_empty());
    let shortage = common::Shortage { sku: "MUG".into(), asked: 6, available: 5 };
    assert_eq!((short.shortages, short.unknown_skus), (vec![shortage], vec!["?".to_owned()]));
}

#[tokio::test]
async fn a_plan_keeps_what_its_reservation_holds_already() {
    let inventory = stocked().await;
    inventory.open("NORTH", 0).await;
    inventory.define("NORTH", &["N"]).await;
    inventory.receive("NORTH", &[("MUG", "N", 3)]).await.unwrap();
    inventory.receive("MAIN", &[("MUG", "A", 9)]).await.unwrap();
    let lines = [("1", "MUG", 5)];
    let served = async |reservation: &str| {
        let answer = plan_for(&inventory, reservation, &lines, &[]).await;
        let units = |it: common::Allocation| (it.warehouse, it.lines[0].units);
        answer.allocation.into_iter().map(units).collect::<Vec<_>>()
    };
    assert!(inventory.reserve("ali/1", &[("MUG", 5)]).await.unwrap().reserved);
    assert_eq!(served("ali/1").await, [("MAIN".to_owned(), 5)]);
    assert_eq!(served("ali/2").await, [("NORTH".to_owned(), 3), ("MAIN".to_owned(), 2)]);
    assert!(inventory.reserve("mona/1", &[("MUG", 4)]).await.unwrap().reserved);
    assert_eq!(served("ali/1").await, [("MAIN".to_owned(), 5)]);
    assert!(served("ali/2").await.is_empty());
    // A name that was given back cannot hold again there.
    inventory.release("ali/1").await;
    assert!(served("ali/1").await.is_empty());
    assert_eq!(served("ali/2").await, [("MAIN".to_owned(), 5)]);
}

#[tokio::test]
async fn a_repeated_reserve_says_when_its_promise_was_given_back() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 3)]).await.unwrap();
    let request = proto::ReserveRequest {
        warehouse: "MAIN".into(),
        reservation: "ali/1".into(),
        order_id: "ali".into(),
        lines: crate::harness::units(&[("MUG", 2)]),
    };
    let key = nexus_es::new_id();
    let reserve = async || {
        let request = inventory.ask_as(request.clone(), key);
        inventory.client().reserve(request).await.unwrap().into_inner()
    };
    assert!(reserve().await.reserved);
    assert!(reserve().await.reserved);
    inventory.release("ali/1").await;
    let late = reserve().await;
    assert_eq!((late.reserved, late.reason.as_str()), (false, "RELEASED_BEFORE"));
}

#[tokio::test]
async fn picked_units_can_be_put_back_and_given_back() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 3)]).await.unwrap();
    inventory.reserve("ali/1", &[("MUG", 3)]).await.unwrap();
    inventory.allocate(&["ali/1"]).await;
    inventory.pick("ali/1", &[("MUG", "A", 3)]).await.unwrap();
    let unpick = proto::UnpickRequest {
        warehouse: "MAIN".into(),
        reservation: "ali/1".into(),
        lines: crate::harness::places(&[("MUG", "B", 3)]),
        reason: "cancelled".into(),
        reference: "U1".into(),
    };
    for _ in 0..2 {
        let after = inventory.client().unpick(inventory.ask(unpick.clone())).await.unwrap();
        assert_eq!(after.into_inner().held, crate::harness::units(&[("MUG", 3)]));
    }
    inventory.release("ali/1").await;
    let item = inventory.stock("MUG").await;
    assert_eq!((item.on_hand, item.available, item.picked), (3, 3, 0));
    assert_eq!(item.bins.first().map(|bin| bin.bin.as_str()), Some("B"));
}

#[tokio::test]
async fn an_order_of_two_thousand_lines_is_reserved_allocated_picked_and_shipped() {
    let inventory = stocked().await;
    let skus: Vec<_> = (0..2000).map(|nth| format!("LONG-ENOUGH-SKU-{nth:04}")).collect();
    // Straight into the ledger: registering 2,000 products is another test's business.
    let lines: Vec<_> = skus.iter().map(|sku| (sku.as_str(), 3)).collect();
    let short = inventory.reserve("ali/1", &lines).await.unwrap();
    assert_eq!(short.shortages.len(), 2000);
    let too_many: Vec<_> = lines.iter().copied().chain([("MUG", 1)]).collect();
    let refused = no(inventory.reserve("ali/2", &too_many).await);
    assert_eq!(refused.0, Code::InvalidArgument);
    let mugs: Vec<_> = skus.iter().map(|sku| (sku.as_str(), "A", 3)).collect();
    for chunk in mugs.chunks(1000) {
        join_all(chunk.iter().map(|(sku, ..)| inventory.register(product(sku)))).await;
        inventory.receive("MAIN", chunk).await.unwrap();
    }
    assert!(inventory.reserve("ali/3", &lines).await.unwrap().reserved);
    assert_eq!(inventory.allocate(&["ali/3"]).await[0].lines.len(), 2000);
    inventory.pick("ali/3", &mugs).await.unwrap();
    assert_eq!(inventory.ship("ali/3").await.unwrap().shipped.len(), 2000);
}

#[tokio::test]
async fn unknown_names_and_wrong_amounts_are_refused_with_their_reason() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 3)]).await.unwrap();
    inventory.reserve("ali/1", &[("MUG", 2)]).await.unwrap();
    assert_eq!(no(inventory.pick("mona/1", &[("MUG", "A", 1)]).await).1, "UNKNOWN_RESERVATION");
    assert_eq!(no(inventory.pick("ali/1", &[("MUG", "A", 3)]).await).1, "NOT_HELD");
    assert_eq!(no(inventory.pick("ali/1", &[("MUG", "B", 1)]).await).1, "BIN_SHORT");
    assert_eq!(no(inventory.ship("ali/1").await).1, "NOTHING_PICKED");
    assert_eq!(no(inventory.reserve("x/1", &[]).await).0, Code::InvalidArgument);
    let twice = [("MUG", 1), ("MUG", 1)];
    assert_eq!(no(inventory.reserve("x/1", &twice).await).0, Code::InvalidArgument);
    let request =
        proto::GetReservationRequest { warehouse: "MAIN".into(), reservation: "x/1".into() };
    let found = inventory.client().get_reservation(inventory.ask(request)).await;
    assert_eq!(no(found).0, Code::NotFound);
}
