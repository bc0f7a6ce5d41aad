//! Confirming holds the stock or says what is short; cancelling gives back exactly that.

use std::time::Duration;

use nexus_order::Config;
use nexus_proto::order::v1 as proto;
use tonic::Code;

use crate::support::{DEADLINE, World, call, is_replayed, keyed, line, reason, world, world_with};

async fn cancel(world: &World, order_id: &str) -> Result<proto::Order, tonic::Status> {
    let order_id = order_id.to_owned();
    let ask = proto::CancelOrderRequest { order_id, reason: "changed her mind".to_owned() };
    world.client().cancel_order(call(ask)).await.map(tonic::Response::into_inner)
}

async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !there().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_confirmed_order_has_its_stock_held_and_its_fulfilments_open() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let order =
        world.create(vec![line("MUG-RED", 2), line("POSTAGE", 1), line("MUG-RED", 3)]).await;
    let confirmed = world.confirm(&order.number).await;
    assert_eq!((confirmed.status.as_str(), confirmed.settled), ("confirmed", Some(true)));
    assert_eq!(confirmed.allocation[0].warehouse, "CAIRO");
    assert_eq!(confirmed.allocation[0].lines.len(), 2);
    assert_eq!(confirmed.fulfillments.len(), 1);
    assert_eq!(world.inventory.free("CAIRO", "MUG-RED"), 5);
    assert_eq!(world.inventory.holders(), [format!("CAIRO {}/1", order.order_id)]);
    let ask = proto::GetOrderForFulfillmentRequest { order_id: order.order_id.clone() };
    let question = world.channels.question(ask, "fulfillment", &order.order_id);
    let told = world.client().get_order_for_fulfillment(question).await.unwrap().into_inner();
    assert_eq!((told.attempt, told.status.as_str()), (1, "confirmed"));
    let again = world.confirm(&order.order_id).await;
    assert_eq!((again.status.as_str(), again.settled), ("confirmed", Some(true)));
    assert_eq!(world.inventory.free("CAIRO", "MUG-RED"), 5);
}

#[tokio::test]
async fn a_repeated_confirm_answers_what_the_first_one_did() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let order = world.create(vec![line("MUG-RED", 2)]).await;
    let ask = proto::ConfirmOrderRequest { order_id: order.order_id.clone() };
    let first = world.client().confirm_order(keyed(ask.clone(), "once")).await.unwrap();
    let again = world.client().confirm_order(keyed(ask, "once")).await.unwrap();
    assert!(!is_replayed(&first) && is_replayed(&again));
    let (first, again) = (first.into_inner(), again.into_inner());
    assert_eq!((again.status, again.settled), (first.status, first.settled));
    assert_eq!(again.allocation, first.allocation);
}

#[tokio::test]
async fn a_key_used_for_one_order_is_refused_for_another() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let mona = world.create(vec![line("MUG-RED", 2)]).await.order_id;
    let omar = world.create(vec![line("MUG-RED", 2)]).await.order_id;
    let confirm = async |order_id: &str| {
        let ask = proto::ConfirmOrderRequest { order_id: order_id.to_owned() };
        world.client().confirm_order(keyed(ask, "once")).await
    };
    let note = async |order_id: &str| {
        let (order_id, text) = (order_id.to_owned(), "ring twice".to_owned());
        let ask = proto::AddNoteRequest { order_id, text, visibility: String::new() };
        world.client().add_note(keyed(ask, "once")).await
    };
    confirm(&mona).await.unwrap();
    let refused = confirm(&omar).await.unwrap_err();
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.get(&omar).await.lifecycle, "pending");
    assert!(is_replayed(&confirm(&mona).await.unwrap()));
    // The key's scope is the rpc: a note is another one, and its own second order is refused too.
    note(&omar).await.unwrap();
    assert_eq!(reason(&note(&mona).await.unwrap_err()), "IDEMPOTENCY_KEY_REUSED");
    world.is_rebuilt_the_same().await;
    assert_eq!(reason(&confirm(&omar).await.unwrap_err()), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_short_order_stays_pending_says_how_short_and_confirms_when_stock_came() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 1);
    let order = world.create(vec![line("MUG-RED", 2)]).await;
    let short = world.confirm(&order.order_id).await;
    assert_eq!((short.status.as_str(), short.settled), ("pending", Some(true)));
    let refusal = short.refusal.unwrap();
    assert_eq!(refusal.reason, "STOCK_SHORT");
    let line = &refusal.lines[0];
    assert_eq!((line.sku.as_str(), line.asked, line.available), ("MUG-RED", 2, 1));
    assert!(world.inventory.holders().is_empty());
    world.inventory.put("CAIRO", "MUG-RED", 2);
    let confirmed = world.confirm(&order.order_id).await;
    assert_eq!((confirmed.status.as_str(), confirmed.refusal), ("confirmed", None));
    assert_eq!(world.inventory.holders(), [format!("CAIRO {}/2", order.order_id)]);
}

#[tokio::test]
async fn one_warehouse_that_refuses_gives_everything_back() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 5);
    world.inventory.put("GIZA", "MUG-BLUE", 5);
    world.inventory.freeze_plans();
    world.inventory.put("GIZA", "MUG-BLUE", 0);
    let order = world.create(vec![line("MUG-RED", 2), line("MUG-BLUE", 1)]).await;
    let short = world.confirm(&order.order_id).await;
    assert_eq!((short.status.as_str(), short.settled), ("pending", Some(true)));
    let refusal = short.refusal.unwrap();
    assert_eq!((refusal.lines[0].sku.as_str(), refusal.lines[0].available), ("MUG-BLUE", 0));
    assert!(world.inventory.holders().is_empty());
    assert_eq!(world.inventory.free("CAIRO", "MUG-RED"), 5);
}

#[tokio::test]
async fn another_warehouse_serves_when_the_planned_one_refuses() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 5);
    world.inventory.put("GIZA", "MUG-RED", 5);
    world.inventory.freeze_plans();
    world.inventory.put("CAIRO", "MUG-RED", 0);
    let order = world.confirmed(vec![line("MUG-RED", 2)]).await;
    assert_eq!(order.allocation[0].warehouse, "GIZA");
}

#[tokio::test]
async fn two_orders_never_get_the_same_last_unit() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 3);
    world.inventory.freeze_plans();
    let rush = (0..10).map(|_| async {
        let order = world.create(vec![line("MUG-RED", 1)]).await;
        world.confirm(&order.order_id).await.status
    });
    let statuses = futures::future::join_all(rush).await;
    assert_eq!(statuses.iter().filter(|status| *status == "confirmed").count(), 3);
    assert_eq!(world.inventory.holders().len(), 3);
}

#[tokio::test]
async fn a_confirm_goes_on_when_inventory_is_back() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 3);
    let order = world.create(vec![line("MUG-RED", 1)]).await;
    world.inventory.go_down(true);
    let waiting = world.confirm(&order.order_id).await;
    assert_eq!((waiting.status.as_str(), waiting.settled), ("pending", Some(false)));
    assert_eq!(waiting.lifecycle, "confirming");
    world.inventory.go_down(false);
    world.shows(&order.order_id, "", "confirmed").await;
}

/// Confirms an order of `lines` whose first reserve is stored without an answer; `meanwhile` things
/// change before inventory is back.
async fn confirm_with_a_lost_answer(
    world: &World,
    lines: Vec<proto::NewOrderLine>,
    meanwhile: impl FnOnce(),
) -> proto::Order {
    let order_id = world.create(lines).await.order_id;
    world.inventory.lose_next_answer();
    let back = async {
        until("held", async || !world.inventory.holders().is_empty()).await;
        meanwhile();
        world.inventory.go_down(false);
    };
    tokio::join!(world.confirm(&order_id), back);
    until("ended", async || world.get(&order_id).await.lifecycle != "confirming").await;
    world.get(&order_id).await
}

#[tokio::test]
async fn the_last_units_are_not_missing_because_the_answer_that_held_them_was_lost() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 3);
    world.inventory.put("GIZA", "MUG-RED", 5);
    let order = confirm_with_a_lost_answer(&world, vec![line("MUG-RED", 5)], || ()).await;
    assert_eq!((order.status.as_str(), order.refusal), ("confirmed", None));
    assert_eq!(world.inventory.holders(), [format!("GIZA {}/1", order.order_id)]);
    assert_eq!(world.inventory.free("GIZA", "MUG-RED"), 0);
}

#[tokio::test]
async fn what_a_lost_answer_held_by_another_plan_is_given_back_and_planned_anew() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 2);
    world.inventory.put("CAIRO", "MUG-BLUE", 1);
    let lines = vec![line("MUG-RED", 2), line("MUG-BLUE", 1)];
    let order = confirm_with_a_lost_answer(&world, lines, || {
        for (warehouse, sku) in [("CAIRO", "MUG-RED"), ("GIZA", "MUG-BLUE"), ("TANTA", "MUG-RED")] {
            world.inventory.put(warehouse, sku, 2);
        }
        world.inventory.freeze_plans();
    })
    .await;
    assert_eq!((order.status.as_str(), order.refusal), ("confirmed", None));
    let name = format!("{}/1", order.order_id);
    assert_eq!(world.inventory.holders(), [format!("GIZA {name}"), format!("TANTA {name}")]);
}

#[tokio::test]
async fn a_confirm_without_an_answer_is_refused_at_its_deadline_and_holds_nothing() {
    let world = world_with(Config { confirm_deadline_ms: 300, ..Config::default() }).await;
    world.inventory.put("CAIRO", "MUG-RED", 3);
    let order = world.create(vec![line("MUG-RED", 1)]).await;
    world.inventory.go_down(true);
    let refused = world.confirm(&order.order_id).await;
    assert_eq!((refused.status.as_str(), refused.settled), ("pending", Some(true)));
    assert_eq!(refused.refusal.unwrap().reason, "TIMED_OUT");
    world.inventory.go_down(false);
    until("a second try confirms", async || {
        world.confirm(&order.order_id).await.status == "confirmed"
    })
    .await;
}

#[tokio::test]
async fn cancelling_gives_back_exactly_what_was_held() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let kept = world.confirmed(vec![line("MUG-RED", 4)]).await;
    let gone = world.confirmed(vec![line("MUG-RED", 3)]).await;
    let cancelled = cancel(&world, &gone.order_id).await.unwrap();
    assert_eq!((cancelled.status.as_str(), cancelled.settled), ("cancelled", Some(true)));
    assert_eq!(world.inventory.free("CAIRO", "MUG-RED"), 6);
    assert_eq!(world.inventory.holders(), [format!("CAIRO {}/1", kept.order_id)]);
    let again = cancel(&world, &gone.order_id).await.unwrap();
    assert_eq!(again.status, "cancelled");
    let ask = proto::ConfirmOrderRequest { order_id: gone.order_id };
    let refused = world.client().confirm_order(call(ask)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "NOT_CONFIRMABLE")
    );
    let pending = world.create(vec![line("MUG-RED", 1)]).await;
    assert_eq!(cancel(&world, &pending.order_id).await.unwrap().status, "cancelled");
}

#[tokio::test]
async fn a_cancel_while_confirming_wins_and_leaves_nothing_held() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let order = world.create(vec![line("MUG-RED", 4)]).await;
    world.inventory.go_down(true);
    let mut client = world.client();
    let ask = proto::ConfirmOrderRequest { order_id: order.order_id.clone() };
    let confirming = client.confirm_order(call(ask));
    let cancelling = async {
        until("confirming", async || world.get(&order.order_id).await.lifecycle == "confirming")
            .await;
        let asked = cancel(&world, &order.order_id);
        let back = async {
            until("asked", async || world.get(&order.order_id).await.lifecycle == "cancel_pending")
                .await;
            world.inventory.go_down(false);
        };
        tokio::join!(asked, back).0.unwrap()
    };
    let (_, cancelled) = tokio::join!(confirming, cancelling);
    assert_eq!(cancelled.status, "cancelled");
    assert!(world.inventory.holders().is_empty());
    assert_eq!(world.inventory.free("CAIRO", "MUG-RED"), 10);
}

#[tokio::test]
async fn an_order_on_hold_is_not_confirmed_until_it_is_released() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let order_id = world.create(vec![line("MUG-RED", 4)]).await.order_id;
    let hold = proto::HoldOrderRequest {
        order_id: order_id.clone(),
        name: "fraud".to_owned(),
        reason: "call first".to_owned(),
        until: String::new(),
    };
    let held = world.client().hold_order(call(hold)).await.unwrap().into_inner();
    assert_eq!((held.status.as_str(), held.holds.len()), ("on_hold", 1));
    let ask = proto::ConfirmOrderRequest { order_id: order_id.clone() };
    let refused = world.client().confirm_order(call(ask)).await.unwrap_err();
    assert_eq!(reason(&refused), "ON_HOLD");
    let release =
        proto::ReleaseOrderRequest { order_id: order_id.clone(), name: "fraud".to_owned() };
    let released = world.client().release_order(call(release)).await.unwrap().into_inner();
    assert_eq!(released.status, "pending");
    assert_eq!(world.confirm(&order_id).await.status, "confirmed");
}

#[tokio::test]
async fn a_hold_lapses_when_its_time_is_over() {
    let world = world().await;
    let order_id = world.create(vec![line("MUG-RED", 4)]).await.order_id;
    let hold = proto::HoldOrderRequest {
        order_id: order_id.clone(),
        name: "call first".to_owned(),
        reason: "no answer".to_owned(),
        until: nexus_runtime::time::rfc3339(nexus_es::clock::now_ms() + 400),
    };
    let held = world.client().hold_order(call(hold)).await.unwrap().into_inner();
    assert_eq!(held.status, "on_hold");
    until("the hold lapses", async || world.get(&order_id).await.status == "pending").await;
}

#[tokio::test]
async fn create_and_confirm_take_little_time() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 1_000);
    let began = std::time::Instant::now();
    let rush = (0..50).map(|_| world.confirmed(vec![line("MUG-RED", 1)]));
    futures::future::join_all(rush).await;
    // A debug build on a busy machine; what it must not do is wait for a timer somewhere.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
