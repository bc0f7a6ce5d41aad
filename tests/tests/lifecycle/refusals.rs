//! What is refused, and that the refusal helps.

use nexus_tests::harness::shop::MUG;
use nexus_tests::harness::{Answer, Life, Look, Nexus, Options, Rest, Wish};
use reqwest::Method;
use serde_json::{Value, json};

fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.body.number("status"), i64::from(status));
    for field in ["type", "title", "detail", "reason", "trace_id"] {
        assert!(!answer.body.text(field).is_empty(), "{field} is missing: {}", answer.body);
    }
    let reason = answer.body.text("reason");
    assert!(reason.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
}

/// The present status, the wish and the way forward.
fn names_the_status(answer: &Answer, status: &str) {
    is_problem(answer, 409);
    assert_eq!(answer.body.text("metadata/status"), status, "{}", answer.body);
    assert!(!answer.body.text("metadata/wish").is_empty(), "{}", answer.body);
    // A way forward takes more words than a status.
    assert!(answer.body.text("detail").split_whitespace().count() >= 8, "{}", answer.body);
}

#[tokio::test]
async fn a_step_taken_too_early_is_a_409_that_names_status_wish_and_way_forward()
-> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let rest = &shop.rest;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 2)])).await?;
    let lists = json!({"order_ids": [life.order_id]});
    names_the_status(&rest.command("/v1/pick-lists", &lists).await?, "pending");
    let shipments = json!({"order_id": life.order_id, "courier_account_id": shop.courier_account});
    is_problem(&rest.command("/v1/shipments", &shipments).await?, 409);

    life.confirm().await?;
    let fulfillments = life.fulfillments().await?;
    let fulfillment =
        fulfillments.first().map(|one| one.text("fulfillment_id")).unwrap_or_default();
    let pack = format!("/v1/fulfillments/{fulfillment}:pack");
    let parcel = json!({"weight_grams": 900, "contents": [{"sku": MUG.sku, "units": 2}]});
    let parcels = json!({"parcels": [parcel]});
    names_the_status(&rest.command(&pack, &parcels).await?, "ready");

    life.list().await?;
    let complete = format!("/v1/pick-lists/{}:complete", life.pick_lists.concat());
    is_problem(&rest.command(&complete, &json!({})).await?, 409);
    names_the_status(&rest.command("/v1/pick-lists", &lists).await?, "listed");

    let before = life.timeline().await?.len();
    is_problem(&rest.command(&complete, &json!({})).await?, 409);
    assert_eq!(life.timeline().await?.len(), before, "a refusal must leave nothing");
    nexus.verify().await
}

#[tokio::test]
async fn parcels_that_hold_something_else_than_was_picked_are_refused() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 2)])).await?;
    life.confirm().await?;
    life.pick().await?;
    let fulfillments = life.fulfillments().await?;
    let fulfillment =
        fulfillments.first().map(|one| one.text("fulfillment_id")).unwrap_or_default();
    let pack = format!("/v1/fulfillments/{fulfillment}:pack");
    for units in [1, 3] {
        let parcel = json!({"weight_grams": 900, "contents": [{"sku": MUG.sku, "units": units}]});
        is_problem(&shop.rest.command(&pack, &json!({"parcels": [parcel]})).await?, 409);
    }
    let weightless = json!({"weight_grams": 0, "contents": [{"sku": MUG.sku, "units": 2}]});
    is_problem(&shop.rest.command(&pack, &json!({"parcels": [weightless]})).await?, 400);
    life.pack().await
}

#[tokio::test]
async fn all_that_is_wrong_with_a_body_is_told_at_once() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 5).await?;
    let body = json!({
        "contact": {"name": "", "phone": "not a phone"},
        "lines": [{"sku": MUG.sku, "units": 0, "unit_price": {"amount": "ten", "currency": "EGP"}}],
        "currency": "POUNDS",
        "payment": {"method": "barter"},
    });
    let answer = shop.rest.command("/v1/orders", &body).await?;
    is_problem(&answer, 400);
    let violations = answer.body.list("field_violations").iter();
    let fields: Vec<_> = violations.clone().map(|one| one.text("field")).collect();
    for field in ["contact.name", "contact.phone", "lines[0].units", "currency", "payment.method"] {
        assert!(fields.contains(&field), "{field} is not named in {fields:?}");
    }
    assert!(violations.clone().all(|one| !one.text("description").is_empty()));
    Ok(())
}

#[tokio::test]
async fn what_no_call_takes_is_refused_at_the_door() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 5).await?;
    let rest = &shop.rest;
    let mut unknown = Wish::of(1, &[(MUG, 1)]).body();
    unknown["colour"] = json!("red");
    let answer = rest.command("/v1/orders", &unknown).await?;
    is_problem(&answer, 400);
    assert!(answer.body.to_string().contains("colour"), "{}", answer.body);
    let mut deep = Wish::of(1, &[(MUG, 1)]).body();
    deep["lines"][0]["status"] = json!("delivered");
    is_problem(&rest.command("/v1/orders", &deep).await?, 400);

    let large = json!({"sku": "X", "name": "x".repeat(1_100_000)});
    is_problem(&rest.command("/v1/products", &large).await?, 413);
    is_problem(&rest.read("/v1/orders?page_token=nonsense").await?, 400);
    is_problem(&rest.read("/v1/orders?page_size=501").await?, 400);
    is_problem(&rest.read("/v1/orders?colour=red").await?, 400);
    is_problem(&rest.read("/v1/orders/none").await?, 404);
    is_problem(&rest.command("/v1/orders/none:confirm", &json!({})).await?, 404);
    is_problem(&rest.read("/v1/nowhere").await?, 404);
    is_problem(&rest.send(Method::DELETE, "/v1/orders", None, None).await?, 405);
    is_problem(&rest.with_key("nobody").read("/v1/orders").await?, 401);
    Ok(())
}

#[tokio::test]
async fn forty_buyers_of_ten_units_get_exactly_ten() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::default(), 10).await?;
    let mut orders = Vec::new();
    for buyer in 0..40 {
        orders.push(Life::begin(&shop, Wish::of(buyer, &[(MUG, 1)])).await?.order_id);
    }
    let buying = orders.iter().map(|order| confirm(&shop.rest, order));
    let answers = futures::future::try_join_all(buying).await?;
    let (won, lost): (Vec<_>, Vec<_>) =
        answers.iter().partition(|order| order.text("status") == "confirmed");
    assert_eq!((won.len(), lost.len()), (10, 30));
    for order in lost {
        assert_eq!(order.text("status"), "pending", "{order}");
        assert_eq!(order.text("refusal/reason"), "STOCK_SHORT", "{order}");
        assert_eq!(order.text("refusal/lines/0/sku"), MUG.sku);
        assert_eq!(order.number("refusal/lines/0/asked"), 1);
        assert_eq!(order.number("refusal/lines/0/available"), 0);
    }
    let stock = shop.stock(MUG.sku, nexus_tests::harness::shop::CAIRO).await?;
    assert_eq!((stock.on_hand, stock.reserved, stock.available), (10, 10, 0));
    nexus.verify().await
}

async fn confirm(rest: &Rest, order: &str) -> anyhow::Result<Value> {
    let path = format!("/v1/orders/{order}:confirm");
    let answer = rest.post(&path, &json!({})).await?;
    assert!(answer.is("settled"), "{answer}");
    Ok(answer)
}

#[tokio::test]
async fn an_order_is_found_by_everything_a_person_would_type() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let life = Life::confirmed(&shop, Wish::of(7, &[(MUG, 2)])).await?;
    let order = life.order().await?;
    let number = order.text("number");
    let digits = number.trim_start_matches(|c: char| !c.is_ascii_digit());
    for query in [number, "01000000007", "0020 100 000 0007", "mona farouk", MUG.sku, "web-7"] {
        let found = shop.rest.post("/v1/orders:search", &json!({"query": query})).await?;
        let ids: Vec<_> = found.list("orders").iter().map(|one| one.text("order_id")).collect();
        assert_eq!(ids, [life.order_id.as_str()], "searched for {query}");
    }
    for name in [number.to_owned(), digits.to_owned(), format!("%23{number}")] {
        let found = shop.rest.get(&format!("/v1/orders/{name}")).await?;
        assert_eq!(found.text("order_id"), life.order_id);
    }
    Ok(())
}
