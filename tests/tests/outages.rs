//! What everything rests on goes away and comes back: callers are told soon, nothing is lost, and
//! all of it goes on by itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::join_all;
use nexus_tests::harness::production::{NATS, POSTGRES};
use nexus_tests::harness::seven::ROLES;
use nexus_tests::harness::shop::{LAMP, MUG, Shop};
use nexus_tests::harness::{Answer, Life, Look, Options, Production, Rest, Wish, wait};
use reqwest::Method;
use serde_json::json;

/// Slow enough that the courier has nothing to say before the parcel is handed over.
const SPEED: f64 = 5.0;
const STOCK: u32 = 100;
/// How soon callers are told that something is away, and go on after its return.
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(30);

async fn timed(asked: impl Future<Output = anyhow::Result<Answer>>) -> (u16, Duration) {
    let began = Instant::now();
    let status = asked.await.map_or(0, |answer| answer.status);
    (status, began.elapsed())
}

/// How long it takes until a command that was refused meanwhile is acknowledged.
async fn goes_on(rest: &Rest, path: &str, body: &serde_json::Value, key: &str) -> Duration {
    let began = Instant::now();
    let acked = wait::until("for a command to be acknowledged", LATER, async || {
        let answer = rest.try_once(Method::POST, path, body, key).await;
        Ok(answer.is_ok_and(|answer| answer.status < 300).then_some(()))
    });
    acked.await.map_or(LATER, |()| began.elapsed())
}

#[tokio::test]
async fn without_nats_commands_are_told_so_within_two_seconds_and_go_on_two_after_its_return()
-> anyhow::Result<()> {
    let mut production = Production::start(Options::at_speed(SPEED)).await?;
    let shop = Shop::open(production.nexus.rest()?, STOCK).await?;
    let rest = &shop.rest;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 3), (LAMP, 1)])).await?;
    life.confirm().await?;
    for round in 0..2 {
        let order = Wish::of(2 + round, &[(MUG, 1)]).body();
        production.kill(NATS).await?;
        let note = format!("/v1/orders/{}:add-note", life.order_id);
        let commands = [
            ("/v1/orders", order, format!("order-{round}")),
            (note.as_str(), json!({"text": "call before"}), format!("note-{round}")),
            ("/v1/pick-lists", json!({"order_ids": [life.order_id]}), format!("list-{round}")),
            ("/v1/warehouses", json!({"warehouse": "ALX1", "name": "Alex"}), "alex".to_owned()),
        ];
        for (path, body, key) in &commands {
            let (status, took) = timed(rest.try_once(Method::POST, path, body, key)).await;
            println!("without nats: POST {path} {status} after {took:?}");
            ensure!(status == 503 && took <= SOON, "POST {path}: {status} after {took:?}");
        }
        let (status, took) = timed(rest.send(Method::GET, "/v1/orders", None, None)).await;
        println!("without nats: GET /v1/orders {status} after {took:?}");
        ensure!(matches!(status, 200 | 503) && took <= SOON, "GET: {status} after {took:?}");
        production.start_again(NATS).await?;
        let Some((path, body, key)) = commands.first() else { continue };
        let took = goes_on(rest, path, body, key).await;
        println!("nats is back: POST {path} goes on after {took:?}");
        ensure!(took <= SOON, "POST {path} goes on {took:?} after the return of nats");
        production.all_ready(SOON).await?;
        // The processes go on too: an order is confirmed at once.
        let mut next = Life::begin(&shop, Wish::of(10 + round, &[(MUG, 1)])).await?;
        next.confirm().await?;
    }
    life.walk_on().await?;
    let orders = rest.all("/v1/orders", "orders").await?;
    // One key an order and round: what was refused was not done behind anybody's back.
    ensure!(orders.len() == 5, "{} orders", orders.len());
    ensure!(production.parked().await?.is_empty(), "{:?}", production.parked().await?);
    production.verify().await.map(drop)
}

/// Orders under way at once while nats-server is away.
const BUYERS: u32 = 8;
/// Long enough that whoever doubles a pause has a long one when the server returns.
const AWAY: Duration = Duration::from_secs(9);

/// Buys one order after the other until it is over, whatever is away meanwhile.
async fn buy_on(shop: &Shop, numbers: &Cell<u32>, over: &Cell<bool>) -> anyhow::Result<()> {
    while !over.get() {
        let number = numbers.get();
        numbers.set(number + 1);
        Life::begin(shop, Wish::of(number, &[(MUG, 1)])).await?.confirm().await?;
    }
    Ok(())
}

/// How long after the return of nats-server a command was acknowledged, and how long until an order
/// that was made then was reserved and had a fulfilment: views and processes of three roles.
async fn all_goes_on(shop: &Shop, round: u32) -> anyhow::Result<(Duration, Duration)> {
    let began = Instant::now();
    let mut life = Life::begin(shop, Wish::of(500_000 + round, &[(MUG, 1)])).await?;
    let acknowledged = began.elapsed();
    life.confirm().await?;
    Ok((acknowledged, began.elapsed()))
}

#[tokio::test]
async fn under_load_commands_views_and_processes_go_on_two_seconds_after_the_return_of_nats()
-> anyhow::Result<()> {
    let mut production = Production::start(Options::at_speed(SPEED)).await?;
    let shop = Shop::open(production.nexus.rest()?, STOCK * 100).await?;
    let shop = Shop { rest: shop.rest.patient(LATER), ..shop };
    let (numbers, over) = (Cell::new(1), Cell::new(false));
    let buying = join_all((0..BUYERS).map(|_| buy_on(&shop, &numbers, &over)));
    let outages = async {
        let mut slowest = (Duration::ZERO, Duration::ZERO);
        for round in 0..3 {
            production.kill(NATS).await?;
            drop(tokio::time::timeout(AWAY, std::future::pending::<()>()).await);
            production.start_again(NATS).await?;
            let (acknowledged, moved) = all_goes_on(&shop, round).await?;
            println!("nats is back: a command after {acknowledged:?}, all of it after {moved:?}");
            slowest = (slowest.0.max(acknowledged), slowest.1.max(moved));
        }
        over.set(true);
        anyhow::Ok(slowest)
    };
    let (slowest, bought) = futures::join!(outages, buying);
    let (acknowledged, moved) = slowest?;
    bought.into_iter().collect::<anyhow::Result<()>>()?;
    ensure!(acknowledged <= SOON, "a command was acknowledged {acknowledged:?} after its return");
    ensure!(moved <= SOON, "views and processes went on {moved:?} after its return");
    ensure!(production.parked().await?.is_empty(), "{:?}", production.parked().await?);
    production.verify().await.map(drop)
}

#[tokio::test]
async fn without_the_database_reads_are_told_so_within_two_seconds_and_go_on_two_after_its_return()
-> anyhow::Result<()> {
    let mut production = Production::start(Options::at_speed(SPEED)).await?;
    let shop = Shop::open(production.nexus.rest()?, STOCK).await?;
    let rest = &shop.rest;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 3), (LAMP, 1)])).await?;
    life.confirm().await?;
    let order = format!("/v1/orders/{}", life.order_id);
    for _ in 0..2 {
        production.kill(POSTGRES).await?;
        let timeline = format!("{order}/timeline");
        for path in ["/v1/orders", timeline.as_str(), "/v1/products", "/v1/stock", "/v1/messages"] {
            let (status, took) = timed(rest.send(Method::GET, path, None, None)).await;
            println!("without database: GET {path} {status} after {took:?}");
            ensure!(status == 503 && took <= SOON, "GET {path}: {status} after {took:?}");
        }
        production.start_again(POSTGRES).await?;
        let began = Instant::now();
        wait::until("for the order to be read", LATER, async || {
            let answer = rest.send(Method::GET, &order, None, None).await?;
            Ok((answer.status == 200).then_some(()))
        })
        .await?;
        println!("the database is back: GET {order} after {:?}", began.elapsed());
        ensure!(began.elapsed() <= SOON, "read {:?} after its return", began.elapsed());
        production.all_ready(LATER).await?;
    }
    life.walk_on().await?;
    ensure!(life.order().await?.text("status") == "delivered", "{}", life.order().await?);
    ensure!(production.parked().await?.is_empty(), "{:?}", production.parked().await?);
    production.verify().await.map(drop)
}

#[tokio::test]
async fn every_role_that_is_killed_starts_into_ready_without_help() -> anyhow::Result<()> {
    let mut production = Production::start(Options::at_speed(SPEED)).await?;
    let shop = Shop::open(production.nexus.rest()?, STOCK).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 3), (LAMP, 1)])).await?;
    life.confirm().await?;
    // All at once, servers too: whoever comes first waits.
    for part in ROLES.into_iter().chain([NATS, POSTGRES]) {
        production.kill(part).await?;
    }
    for part in ROLES.into_iter().chain([POSTGRES, NATS]) {
        production.start_again(part).await?;
    }
    production.all_ready(LATER).await?;
    // Whoever held a lease is dead, and it runs on for a moment.
    let shop = Shop { rest: shop.rest.patient(LATER), ..shop };
    let mut next = Life::begin(&shop, Wish::of(2, &[(MUG, 1)])).await?;
    next.walk().await?;
    life.until_status("confirmed").await?;
    production.verify().await.map(drop)
}
