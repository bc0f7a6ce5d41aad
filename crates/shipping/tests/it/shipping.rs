//! From a packed parcel to the courier's hands.

use nexus_proto::shipping::v1 as proto;
use nexus_runtime::status;
use tonic::Code;

use crate::fakes::egp;
use crate::world::{CALM, World, eventually, wish};

#[tokio::test(flavor = "multi_thread")]
async fn each_packed_parcel_gets_its_shipment_and_one_of_them_carries_the_cash() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let order_id = world.packed_order("1", 3);
    let request = proto::CreateShipmentsRequest {
        cod_parcel: Some("1-p2".to_owned()),
        ..wish(&order_id, &account)
    };
    let made = world.client().create_shipments(world.by(request)).await.unwrap().into_inner();
    assert_eq!(made.settled, Some(true));
    assert!(made.position.contains("order:7") && made.position.contains("shipping:"));
    let cash: Vec<_> = made.shipments.iter().map(|one| one.cod.clone()).collect();
    assert_eq!(cash, [egp("0.00"), egp("149.90"), egp("0.00")]);
    assert!(made.shipments.iter().all(|one| one.status == "awb_live"));
    let link = &made.shipments[0].public_tracking_url;
    let token = link.strip_prefix("https://shop.example/track/").unwrap();
    let ask = |token: &str| world.by(proto::GetPublicTrackingRequest { token: token.to_owned() });
    let page = world.client().get_public_tracking(ask(token)).await.unwrap().into_inner();
    assert_eq!((page.first_name.as_str(), page.city.as_str()), ("Mona", "Cairo"));
    let wrong = world.client().get_public_tracking(ask("guess")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::NotFound);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_asked_at_once_for_two_parts_of_an_order_put_the_cash_on_one_parcel() {
    let world = World::start(CALM).await;
    let (mut replica, _place) = world.replica().await;
    let account = world.account("bosta", "key").await.courier_account_id;
    for name in ["1", "2", "3", "4", "5"] {
        world.packed_order(name, 1);
        world.packed_besides(name);
        let part = |part: &str| {
            let request = proto::CreateShipmentsRequest {
                fulfillment_id: Some(format!("{part}-{name}")),
                order_id: None,
                ..wish("", &account)
            };
            world.by(request)
        };
        let mut client = world.client();
        let (here, there) =
            tokio::join!(client.create_shipments(part("f")), replica.create_shipments(part("g")));
        let mut shipments = here.unwrap().into_inner().shipments;
        shipments.extend(there.unwrap().into_inner().shipments);
        let mut cash: Vec<_> =
            shipments.iter().map(|one| one.cod.clone().unwrap().amount).collect();
        cash.sort();
        assert_eq!(cash, ["0.00", "149.90"]);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_answers_the_same_shipments_by_key_or_by_wish() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let order_id = world.packed_order("1", 2);
    let ids = |answer: &proto::CreateShipmentsResponse| -> Vec<_> {
        answer.shipments.iter().map(|one| (one.shipment_id.clone(), one.awb.clone())).collect()
    };
    let keyed = || world.keyed("k", wish("NX-1", &account));
    let first = world.client().create_shipments(keyed()).await.unwrap().into_inner();
    let again = world.client().create_shipments(keyed()).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(ids(again.get_ref()), ids(&first));
    let joined = world.ship(&order_id, &account).await.unwrap();
    assert_eq!(ids(&joined), ids(&first));
    assert_eq!(world.live_deliveries().await, 2);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_used_for_one_order_or_shipment_is_refused_for_another() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let orders = ["1", "2"].map(|name| world.packed_order(name, 1));
    let ship = async |order_id: &str, key: &str| {
        let asked = world.keyed(key, wish(order_id, &account));
        let made = world.client().create_shipments(asked).await?.into_inner();
        Ok::<_, tonic::Status>(made.shipments[0].shipment_id.clone())
    };
    let hand_over = async |shipment_id: &str| {
        let shipment_id = shipment_id.to_owned();
        let asked = proto::HandOverRequest { shipment_id, ..Default::default() };
        world.client().hand_over(world.keyed("k", asked)).await
    };
    let reused = Some("IDEMPOTENCY_KEY_REUSED".to_owned());
    let first = ship(&orders[0], "k").await.unwrap();
    assert_eq!(status::reason(&ship(&orders[1], "k").await.unwrap_err()), reused);
    let second = ship(&orders[1], "k2").await.unwrap();
    hand_over(&first).await.unwrap();
    assert_eq!(status::reason(&hand_over(&second).await.unwrap_err()), reused);
    hand_over(&first).await.unwrap();
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_packed_or_on_hold_or_cancelled_does_not_ship() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let order_id = world.packed_order("1", 1);
    let reason =
        async || status::reason(&world.ship(&order_id, &account).await.unwrap_err()).unwrap();
    let set = |change: fn(&mut nexus_proto::order::v1::OrderForFulfillment)| {
        change(world.orders.known.lock().unwrap().get_mut(&order_id).unwrap());
    };
    set(|order| order.on_hold = true);
    assert_eq!(reason().await, "ORDER_ON_HOLD");
    set(|order| {
        order.on_hold = false;
        "cancel_pending".clone_into(&mut order.lifecycle);
    });
    assert_eq!(reason().await, "ORDER_CANCELLED");
    "picked"
        .clone_into(&mut world.fulfillments.known.lock().unwrap().get_mut("f-1").unwrap().status);
    assert_eq!(reason().await, "NOTHING_PACKED");
    let unknown = world.ship(&order_id, "nobody").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(world.deliveries().await.is_empty());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_ships_the_goods_in_the_books_of_the_warehouse() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    *world.inventory.away.lock().unwrap() = 2;
    let shipment = world.shipped("1", &account).await;
    let id = shipment.shipment_id.as_str();
    let wrong = proto::HandOverRequest {
        shipment_id: id.to_owned(),
        tracking_number: Some("999".to_owned()),
    };
    let refused = world.client().hand_over(world.by(wrong)).await.unwrap_err();
    assert_eq!(status::reason(&refused).as_deref(), Some("WRONG_LABEL"));
    let gone = world.hand_over(id).await.unwrap();
    assert_eq!((gone.status.as_str(), gone.settled), ("handed_over", Some(true)));
    assert!(gone.handed_over_at.is_some());
    assert_eq!(world.hand_over(id).await.unwrap().handed_over_at, gone.handed_over_at);
    let ships = async || world.inventory.shipped.lock().unwrap().first().cloned();
    let ship = eventually(ships).await;
    assert_eq!((ship.warehouse.as_str(), ship.shipment_id.as_str()), ("CAI", id));
    assert_eq!(ship.reservation, format!("{}/1", shipment.order_id));
    assert_eq!((ship.lines[0].sku.as_str(), ship.lines[0].units), ("TSHIRT", 2));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_says_no_leaves_the_parcel_shipped_with_a_warning() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    *world.inventory.refusing.lock().unwrap() = true;
    let id = world.shipped("1", &account).await.shipment_id;
    world.hand_over(&id).await.unwrap();
    let shown = world.shipment_that(&id, |it| it.warning.is_some()).await;
    assert_eq!(shown.status, "handed_over");
    assert!(shown.warning.unwrap().contains("nothing is picked"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_courier_ships_under_the_number_that_was_typed() {
    let world = World::start(CALM).await;
    let account = world.account("manual", "").await.courier_account_id;
    let order_id = world.packed_order("1", 1);
    let missing = world.ship(&order_id, &account).await.unwrap_err();
    assert_eq!(missing.code(), Code::InvalidArgument);
    let typed = |number: &str| proto::CreateShipmentsRequest {
        tracking_number: Some(number.to_owned()),
        ..wish(&order_id, &account)
    };
    let made = world.client().create_shipments(world.by(typed("VAN-7"))).await.unwrap();
    let shipment = made.into_inner().shipments.remove(0);
    assert_eq!((shipment.status.as_str(), shipment.awb.as_str()), ("awb_live", "VAN-7"));
    let other = world.client().create_shipments(world.by(typed("VAN-8"))).await.unwrap_err();
    assert_eq!(status::reason(&other).as_deref(), Some("OTHER_AWB"));
    let id = shipment.shipment_id.as_str();
    assert_eq!(status::reason(&world.print(id).await.unwrap_err()).as_deref(), Some("NO_LABEL"));
    let bosta = proto::CreateAwbBostaRequest { shipment_id: id.to_owned() };
    let refused = world.client().create_awb_bosta(world.by(bosta)).await.unwrap_err();
    assert_eq!(status::reason(&refused).as_deref(), Some("NOT_BOSTA"));
    assert_eq!(world.hand_over(id).await.unwrap().status, "handed_over");
    world.close().await;
}
