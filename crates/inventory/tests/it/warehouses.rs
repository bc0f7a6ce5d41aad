//! Warehouses and bins.

use nexus_proto::inventory::v1 as proto;
use tonic::Code;

use crate::harness::{Inventory, inventory, no, stocked};

async fn bins(inventory: &Inventory, request: proto::ListBinsRequest) -> Vec<proto::Bin> {
    inventory.client().list_bins(inventory.ask(request)).await.unwrap().into_inner().bins
}

#[tokio::test]
async fn bins_are_listed_in_walking_order_with_what_lies_and_belongs_in_them() {
    let inventory = stocked().await;
    inventory.open("NORTH", 2).await;
    let codes = ["A-02-01-1-1", "A-01-01-1-1", "A-02-09-1-1", "B-01-01-1-1"];
    let defined = inventory.define("NORTH", &codes).await;
    assert_eq!(defined.iter().map(|bin| bin.code.as_str()).collect::<Vec<_>>(), codes);
    inventory.receive("NORTH", &[("MUG", "B-01-01-1-1", 4)]).await.unwrap();
    let assign = proto::AssignBinRequest {
        warehouse: "NORTH".into(),
        sku: "CUP".into(),
        bin: "A-02-09-1-1".into(),
    };
    let assigned = inventory.client().assign_bin(inventory.ask(assign)).await.unwrap().into_inner();
    assert_eq!(assigned.skus, ["CUP"]);
    let of = |sku: &str, zone: &str| proto::ListBinsRequest {
        warehouse: "NORTH".into(),
        sku: sku.into(),
        zone: zone.into(),
        ..Default::default()
    };
    let all = bins(&inventory, of("", "")).await;
    let walk: Vec<_> = all.iter().map(|bin| bin.code.as_str()).collect();
    assert_eq!(walk, ["A-01-01-1-1", "A-02-09-1-1", "A-02-01-1-1", "B-01-01-1-1"]);
    assert_eq!(all.iter().map(|bin| bin.on_hand).collect::<Vec<_>>(), [0, 0, 0, 4]);
    assert_eq!(bins(&inventory, of("MUG", "")).await.len(), 1);
    assert_eq!(bins(&inventory, of("CUP", "")).await.first().unwrap().skus, ["CUP"]);
    assert_eq!(bins(&inventory, of("", "A")).await.len(), 3);
}

#[tokio::test]
async fn warehouses_are_listed_by_priority_and_count_their_bins() {
    let inventory = stocked().await;
    inventory.open("FAR", 9).await;
    inventory.open("NEAR", 0).await;
    let request = proto::ListWarehousesRequest::default();
    let list = inventory.client().list_warehouses(inventory.ask(request)).await.unwrap();
    let list = list.into_inner().warehouses;
    let codes: Vec<_> = list.iter().map(|it| (it.warehouse.as_str(), it.bin_count)).collect();
    assert_eq!(codes, [("NEAR", 0), ("MAIN", 3), ("FAR", 0)]);
}

#[tokio::test]
async fn a_warehouse_opened_again_is_the_same_or_a_conflict() {
    let inventory = inventory().await;
    let first = inventory.open("MAIN", 1).await;
    assert_eq!(inventory.open("MAIN", 1).await, first);
    let other = proto::OpenWarehouseRequest {
        warehouse: "MAIN".into(),
        name: "Other".into(),
        ..Default::default()
    };
    let refused = no(inventory.client().open_warehouse(inventory.ask(other)).await);
    assert_eq!(refused, (Code::AlreadyExists, "WAREHOUSE_EXISTS".into()));
}

#[tokio::test]
async fn a_bad_code_too_many_bins_and_an_unknown_warehouse_are_refused() {
    let inventory = stocked().await;
    let mut client = inventory.client();
    let bad = proto::OpenWarehouseRequest {
        warehouse: "MAIN 1".into(),
        name: "x".into(),
        ..Default::default()
    };
    assert_eq!(no(client.open_warehouse(inventory.ask(bad)).await).0, Code::InvalidArgument);
    let bin = |nth: u32| proto::NewBin { code: format!("B{nth}"), ..Default::default() };
    let many =
        proto::DefineBinsRequest { warehouse: "MAIN".into(), bins: (0..1001).map(bin).collect() };
    assert_eq!(no(client.define_bins(inventory.ask(many)).await).0, Code::InvalidArgument);
    let unknown = proto::DefineBinsRequest { warehouse: "NOWHERE".into(), bins: vec![bin(1)] };
    assert_eq!(no(client.define_bins(inventory.ask(unknown)).await).0, Code::NotFound);
    let assign =
        proto::AssignBinRequest { warehouse: "MAIN".into(), sku: "MUG".into(), bin: "Z".into() };
    assert_eq!(no(client.assign_bin(inventory.ask(assign)).await).0, Code::InvalidArgument);
}
