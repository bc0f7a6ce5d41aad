//! Where the line bends: failed attempts, returns, cancellation, a courier that says no.

use nexus_tests::checks;
use nexus_tests::harness::evidence::{Ledger, Told, received};
use nexus_tests::harness::shop::{CAIRO, MUG};
use nexus_tests::harness::{Life, Look, Nexus, Options, Shop, Wish};
use serde_json::json;

/// Slow enough that a client who polls sees every status.
const SPEED: f64 = 6.0;

#[tokio::test]
async fn a_failed_attempt_shows_as_exception_until_the_next_step_forward() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(SPEED), 10).await?;
    nexus.sandbox()?.courier_fault(&json!({"fault": "exception", "times": 1})).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    life.walk().await?;
    let end: Vec<_> = life.statuses.iter().skip(5).map(String::as_str).collect();
    assert_eq!(end, ["shipped", "exception", "shipped", "delivered"]);
    let shipment = shop.rest.get(&format!("/v1/shipments/{}", life.shipments.concat())).await?;
    assert_eq!(shipment.number("delivery_attempts"), 1, "{shipment}");
    assert!(!shipment.text("exception_reason").is_empty(), "{shipment}");
    nexus.verify().await
}

#[tokio::test]
async fn a_return_to_origin_is_never_a_delivery() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(SPEED), 10).await?;
    nexus.sandbox()?.courier_fault(&json!({"fault": "rto", "times": 1})).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    life.confirm().await?;
    life.pick().await?;
    life.pack().await?;
    life.ship().await?;
    life.print().await?;
    life.hand_over().await?;
    life.until_status("returned").await?;
    let end: Vec<_> = life.statuses.iter().skip(5).map(String::as_str).collect();
    assert_eq!(end, ["shipped", "exception", "returning", "returned"]);
    let milestones: Vec<_> =
        life.messages().await?.iter().map(|one| one.text("milestone").to_owned()).collect();
    assert!(!milestones.contains(&"delivered".to_owned()), "{milestones:?}");
    nexus.verify().await
}

#[tokio::test]
async fn cancelling_a_confirmed_order_gives_back_exactly_what_it_held() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::default(), 10).await?;
    let kept = Life::confirmed(&shop, Wish::of(1, &[(MUG, 3)])).await?;
    let given_up = Life::confirmed(&shop, Wish::of(2, &[(MUG, 4)])).await?;
    assert_eq!(shop.stock(MUG.sku, CAIRO).await?.available, 3);
    let path = format!("/v1/orders/{}:cancel", given_up.order_id);
    let order = shop.rest.post(&path, &json!({"reason": "changed their mind"})).await?;
    assert!(order.is("settled"), "{order}");
    let order = given_up.order().await?;
    assert_eq!((order.text("status"), order.text("lifecycle")), ("cancelled", "cancelled"));
    let stock = shop.stock(MUG.sku, CAIRO).await?;
    assert_eq!((stock.on_hand, stock.reserved, stock.available), (10, 3, 7));
    let again = shop.rest.command(&path, &json!({"reason": "once more"})).await?;
    assert!(matches!(again.status, 200 | 409), "{}", again.body);
    assert_eq!(shop.stock(MUG.sku, CAIRO).await?.available, 7);
    let lists = json!({"order_ids": [given_up.order_id]});
    assert_eq!(shop.rest.command("/v1/pick-lists", &lists).await?.status, 409);
    assert_eq!(kept.order().await?.text("status"), "confirmed");
    nexus.verify().await
}

#[tokio::test]
async fn a_lost_answer_of_the_courier_leads_to_no_second_awb() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(20.0), 10).await?;
    let sandbox = nexus.sandbox()?;
    for fault in ["lost_answer", "server_error", "rate_limited"] {
        sandbox.courier_fault(&json!({"fault": fault, "times": 1})).await?;
    }
    sandbox.courier_fault(&json!({"fault": "lost_answer", "on": "label", "times": 1})).await?;
    let patient = Shop { rest: shop.rest.patient(std::time::Duration::from_secs(60)), ..shop };
    for number in 1..=3 {
        let mut life = Life::begin(&patient, Wish::of(number, &[(MUG, 1)])).await?;
        life.walk().await?;
    }
    let told = Told::by(&patient.rest).await?;
    let ledger = Ledger::of(&sandbox).await?;
    assert_eq!(ledger.deliveries.len(), 3);
    checks::none(&checks::check_i22(&told, &ledger))?;
    checks::none(&checks::check_stock(&received(&patient.rest.history.all()), &told))?;
    nexus.verify().await
}

#[tokio::test]
async fn a_wrong_api_key_is_told_with_what_to_do_and_mended_by_a_new_one() -> anyhow::Result<()> {
    let (_nexus, mut shop) = Nexus::with_shop(Options::at_speed(20.0), 10).await?;
    let rest = shop.rest.clone();
    let account = json!({"courier": "bosta", "name": "Typo", "mode": "sandbox",
                         "credentials": {"api_key": "bad-key-1234"}});
    let account = rest.post("/v1/courier-accounts", &account).await?;
    assert_eq!(account.text("credentials_last4"), "1234");
    shop.courier_account = account.text("courier_account_id").to_owned();
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    life.confirm().await?;
    life.pick().await?;
    life.pack().await?;
    let body = json!({"order_id": life.order_id, "courier_account_id": shop.courier_account});
    let made = rest.post("/v1/shipments", &body).await?;
    let shipment = made.at("shipments/0");
    assert_eq!(shipment.text("status"), "awb_failed", "{made}");
    let hint = shipment.text("awb_problem/hint");
    assert!(hint.contains("API key") && hint.contains("Settings"), "{shipment}");

    let account = format!("/v1/courier-accounts/{}", shop.courier_account);
    let keys = json!({"credentials": {"api_key": "good-key-5678"}});
    rest.post(&format!("{account}:rotate-credentials"), &keys).await?;
    let tested = rest.post(&format!("{account}:test-connection"), &json!({})).await?;
    assert!(tested.is("ok"), "{tested}");
    let id = shipment.text("shipment_id");
    let again = rest.post(&format!("/v1/shipments/{id}:create-awb-bosta"), &json!({})).await?;
    assert_eq!(again.text("status"), "awb_live", "{again}");
    assert_eq!(again.at("awb_problem"), &serde_json::Value::Null);
    Ok(())
}
