//! Stock: received, corrected, moved, taken back, listed.

use nexus_es::new_id;
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::reply::REPLAYED;
use tonic::Code;

use crate::harness::{Inventory, delivery, no, places, product, stocked};

async fn adjust(
    inventory: &Inventory,
    bin: &str,
    delta: i32,
) -> Result<proto::StockChange, tonic::Status> {
    let request = proto::AdjustStockRequest {
        warehouse: "MAIN".into(),
        sku: "MUG".into(),
        bin: bin.into(),
        delta,
        reason: "damaged".into(),
        lot: String::new(),
    };
    Ok(inventory.client().adjust_stock(inventory.ask(request)).await?.into_inner())
}

#[tokio::test]
async fn a_delivery_is_there_once_however_often_it_is_told() {
    let inventory = stocked().await;
    let (mut client, key) = (inventory.client(), new_id());
    let told = delivery("MAIN", "D1", &[("MUG", "A", 5), ("CUP", "B", 2)]);
    let first = client.receive_stock(inventory.ask_as(told.clone(), key)).await.unwrap();
    let item = first.get_ref().items.iter().find(|item| item.sku == "MUG").unwrap();
    assert_eq!((item.on_hand, item.available, item.reserved, item.picked), (5, 5, 0, 0));
    let repeated = client.receive_stock(inventory.ask_as(told.clone(), key)).await.unwrap();
    assert_eq!(repeated.metadata().get(REPLAYED).unwrap(), "true");
    assert_eq!(repeated.get_ref(), first.get_ref());
    client.receive_stock(inventory.ask(told)).await.unwrap();
    assert_eq!(inventory.stock("MUG").await.on_hand, 5);
    let other = delivery("MAIN", "D1", &[("MUG", "A", 6)]);
    let refused = no(client.receive_stock(inventory.ask(other)).await);
    assert_eq!(refused, (Code::FailedPrecondition, "ALREADY_RECORDED".into()));
}

#[tokio::test]
async fn a_delivery_into_nowhere_of_nothing_known_names_each_line() {
    use tonic_types::StatusExt;
    let inventory = stocked().await;
    let told = delivery("MAIN", "", &[("MUG", "Z", 5), ("CUP", "A", 0)]);
    let status = inventory.client().receive_stock(inventory.ask(told)).await.unwrap_err();
    let fields = |status: &tonic::Status| -> Vec<String> {
        let violations = status.get_details_bad_request().unwrap().field_violations;
        violations.into_iter().map(|violation| violation.field).collect()
    };
    assert_eq!(fields(&status), ["lines[1].units"]);
    let unknown_bin = inventory.receive("MAIN", &[("MUG", "A", 5), ("CUP", "Z", 1)]).await;
    assert_eq!(fields(&unknown_bin.unwrap_err()), ["lines[1].bin"]);
    let unknown_sku = inventory.receive("MAIN", &[("mug", "A", 5)]).await;
    assert_eq!(fields(&unknown_sku.unwrap_err()), ["lines[0].sku"]);
    assert_eq!(no(inventory.receive("NOWHERE", &[("MUG", "A", 5)]).await).0, Code::NotFound);
    let postage = proto::RegisterProductRequest { stocked: Some(false), ..product("POST") };
    inventory.register(postage).await.unwrap();
    let refused = no(inventory.receive("MAIN", &[("POST", "A", 5)]).await);
    assert_eq!(refused, (Code::FailedPrecondition, "NOT_STOCKED".into()));
}

#[tokio::test]
async fn an_adjustment_breaks_the_newest_promise_but_leaves_no_bin_below_zero() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 5)]).await.unwrap();
    for name in ["ali/1", "mona/1"] {
        assert!(inventory.reserve(name, &[("MUG", 2)]).await.unwrap().reserved);
    }
    assert_eq!(no(adjust(&inventory, "A", -6).await).1, "BIN_SHORT");
    assert_eq!(no(adjust(&inventory, "A", 0).await).0, Code::InvalidArgument);
    let change = adjust(&inventory, "A", -2).await.unwrap();
    let [broken] = change.broken_promises.as_slice() else { panic!("{change:?}") };
    assert_eq!((broken.order_id.as_str(), broken.units), ("mona", 1));
    let item = inventory.stock("MUG").await;
    assert_eq!((item.on_hand, item.reserved, item.available), (3, 3, 0));
}

#[tokio::test]
async fn units_move_from_bin_to_bin() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 5)]).await.unwrap();
    let relocate = |to: &str, units| {
        inventory.ask(proto::MoveStockRequest {
            warehouse: "MAIN".into(),
            sku: "MUG".into(),
            from_bin: "A".into(),
            to_bin: to.into(),
            units,
            lot: String::new(),
        })
    };
    let mut client = inventory.client();
    client.move_stock(relocate("C", 2)).await.unwrap();
    let bins: Vec<_> =
        inventory.stock("MUG").await.bins.into_iter().map(|it| (it.bin, it.on_hand)).collect();
    assert_eq!(bins, [("A".to_owned(), 3), ("C".to_owned(), 2)]);
    assert_eq!(no(client.move_stock(relocate("B", 4)).await).1, "BIN_SHORT");
    assert_eq!(no(client.move_stock(relocate("A", 1)).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn whoever_looks_after_a_call_of_another_service_sees_what_it_did() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 50)]).await.unwrap();
    for promised in 1..=20 {
        let name = format!("ali/{promised}");
        assert!(inventory.reserve(&name, &[("MUG", 1)]).await.unwrap().reserved);
        let request = proto::ListStockRequest { sku: "MUG".into(), ..Default::default() };
        let answer = inventory.client().list_stock(inventory.ask(request)).await.unwrap();
        let reserved: u32 = answer.into_inner().items.iter().map(|item| item.reserved).sum();
        assert_eq!(reserved, promised);
    }
}

#[tokio::test]
async fn movements_tell_the_whole_way_of_a_unit_the_newest_first() {
    let inventory = stocked().await;
    inventory.receive("MAIN", &[("MUG", "A", 5)]).await.unwrap();
    inventory.reserve("ali/1", &[("MUG", 2)]).await.unwrap();
    inventory.allocate(&["ali/1"]).await;
    inventory.pick("ali/1", &[("MUG", "A", 2)]).await.unwrap();
    assert_eq!(inventory.stock("MUG").await.on_hand, 5);
    inventory.ship("ali/1").await.unwrap();
    assert_eq!(inventory.stock("MUG").await.on_hand, 3);
    let back = proto::TakeBackRequest {
        warehouse: "MAIN".into(),
        order_id: "ali".into(),
        shipment_id: "S1".into(),
        lines: places(&[("MUG", "B", 1)]),
        reference: "R1".into(),
    };
    for _ in 0..2 {
        inventory.client().take_back(inventory.ask(back.clone())).await.unwrap();
    }
    adjust(&inventory, "A", -1).await.unwrap();
    let page = |page_size, page_token, order_id: &str| {
        inventory.ask(proto::ListMovementsRequest {
            sku: "MUG".into(),
            page_size,
            page_token,
            order_id: order_id.into(),
            ..Default::default()
        })
    };
    let mut client = inventory.client();
    let first = client.list_movements(page(3, String::new(), "")).await.unwrap().into_inner();
    let rest = client.list_movements(page(9, first.next_page_token, "")).await.unwrap();
    let all: Vec<_> = first.movements.into_iter().chain(rest.into_inner().movements).collect();
    let told: Vec<_> = all.iter().map(|it| (it.kind.as_str(), it.units)).collect();
    assert_eq!(
        told,
        [
            ("adjusted", -1),
            ("taken_back", 1),
            ("shipped", 2),
            ("picked", 2),
            ("allocated", 2),
            ("reserved", 2),
            ("received", 5),
        ]
    );
    assert_eq!(all.first().unwrap().reason.as_deref(), Some("damaged"));
    let of_ali = client.list_movements(page(9, String::new(), "ali")).await.unwrap();
    assert_eq!(of_ali.into_inner().movements.len(), 5);
}

#[tokio::test]
async fn a_delivery_of_a_thousand_lines_fits_one_commit() {
    let inventory = stocked().await;
    let lines: Vec<_> = (0..1000_u32).map(|nth| ("MUG", "A", nth + 1)).collect();
    let change = inventory.receive("MAIN", &lines).await.unwrap();
    assert_eq!(change.items.first().unwrap().on_hand, 500_500);
}
