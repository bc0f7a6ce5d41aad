//! Very many lines, very small prices.

use nexus_tests::harness::shop::{ARTICLES, Article, LAMP, MUG, SCARF};
use nexus_tests::harness::{Life, Look, Nexus, Options, Wish};
use serde_json::json;

/// So many lines at the usual price are more than a courier collects in cash.
fn cheap(number: u32, lines: &[(Article, u32)]) -> Wish {
    Wish { price: "2.50", ..Wish::of(number, lines) }
}

#[tokio::test]
async fn an_order_of_1200_lines_is_delivered_and_one_of_2001_gets_a_reason() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::at_speed(10.0), 2_000).await?;
    let lines = |count: usize| -> Vec<_> {
        ARTICLES.iter().cycle().take(count).map(|article| (*article, 1)).collect()
    };
    let mut life = Life::begin(&shop, cheap(1, &lines(1_200))).await?;
    let order = life.order().await?;
    assert_eq!(order.list("lines").len(), 1_200);
    assert_eq!(order.text("totals/total/amount"), "3000.00");
    life.walk().await?;
    assert_eq!(life.statuses.last().map(String::as_str), Some("delivered"));

    let answer = shop.rest.command("/v1/orders", &cheap(2, &lines(2_001)).body()).await?;
    assert_eq!(answer.status, 400, "{}", answer.body);
    let violations = answer.body.list("field_violations");
    let about_lines = violations.iter().find(|one| one.text("field") == "lines");
    let said = about_lines.map(|one| one.text("description")).unwrap_or_default();
    assert!(said.replace(',', "").contains("2000"), "{}", answer.body);
    let fits = shop.rest.command("/v1/orders", &cheap(3, &lines(2_000)).body()).await?;
    assert_eq!(fits.status, 200, "{}", fits.body);
    nexus.verify().await
}

#[tokio::test]
async fn a_price_of_a_tenth_of_a_piastre_is_kept_and_its_line_rounded() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 100).await?;
    let mut body = Wish::of(1, &[(MUG, 4), (LAMP, 5), (SCARF, 15)]).body();
    for line in
        body.get_mut("lines").and_then(serde_json::Value::as_array_mut).into_iter().flatten()
    {
        line["unit_price"] = json!({"amount": "0.001", "currency": "EGP"});
    }
    let order = shop.rest.post("/v1/orders", &body).await?;
    let totals: Vec<_> =
        order.list("lines").iter().map(|line| line.text("line_total/amount")).collect();
    assert_eq!(totals, ["0.00", "0.01", "0.02"]);
    assert_eq!(order.text("totals/total/amount"), "0.03");
    assert_eq!(order.text("lines/0/unit_price/amount"), "0.001");

    body["lines"][0]["unit_price"]["amount"] = json!("0.00001");
    let answer = shop.rest.command("/v1/orders", &body).await?;
    assert_eq!(answer.status, 400);
    let violation = answer.body.text("field_violations/0/field");
    assert!(violation.starts_with("lines[0].unit_price"), "{}", answer.body);
    Ok(())
}
