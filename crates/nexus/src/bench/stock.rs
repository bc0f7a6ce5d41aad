//! W4: many buyers for few units of one SKU, then for many SKUs of one warehouse, whose ledger is
//! one aggregate. *Invariant:* a run that sold a unit twice counts for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use nexus_es::new_id;
use nexus_proto::common::v1::SkuUnits;
use nexus_proto::inventory::v1 as inventory;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ground::Ground;
use super::report::{self, Report, Row, ms};
use super::shop::{self, Shop, WAREHOUSE, cause};

/// Raw publishes in flight beside it, where the log is on NATS.
const PROBED: usize = 64;
const HOT: &str = "HOT";
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the buyers of one phase.
struct Sale {
    reserved: u64,
    refused: u64,
    took: Duration,
    /// Of all answers, in microseconds.
    latencies: Histogram<u64>,
}

/// `buyers` want one of `units`; then as many want one of any SKU, of which there is enough.
pub(crate) async fn run(
    ground: &Ground,
    buyers: u64,
    units: u32,
    in_flight: usize,
) -> anyhow::Result<Report> {
    let shop = Arc::new(Shop::open(ground, 1.0).await?);
    stock_hot(&shop, units).await.context("cannot stock the hot SKU")?;
    let before = ground.measure(PROBED).await?;
    let hot = sell(&shop, buyers, in_flight, |_| HOT.to_owned()).await?;
    let left = left(&shop).await?;
    let stored = ground.stored().await?;
    let (commits, syncs) = shop.system.written();
    let cpu = report::cpu_us();
    let any = sell(&shop, buyers, in_flight, |n| shop::sku(shop::zipf(n) % shop::SKUS)).await?;
    let cpu_us_per_unit = (report::cpu_us() - cpu) / super::count(any.reserved.max(1));
    let (commits_now, syncs_now) = shop.system.written();
    let (commits, syncs) = (commits_now - commits, syncs_now - syncs);
    let stored = ground.stored().await? - stored;
    let after = ground.measure(PROBED).await?;
    let durability = shop.system.durability.clone();
    if let Some(shop) = Arc::into_inner(shop) {
        shop.system.stop().await;
    }
    let sold_right = hot.reserved == u64::from(units).min(buyers)
        && i64::try_from(hot.reserved)? + left == i64::from(units);
    let void = (!sold_right || any.refused > 0).then(|| {
        format!(
            "{} of {units} hot units were promised and {left} are left; {} were refused of what \
             there is enough of",
            hot.reserved, any.refused
        )
    });
    let per_second = |n: u64, took: Duration| super::count(n) / took.as_secs_f64();
    let answered = per_second(hot.reserved + hot.refused, hot.took);
    let hot_text = format!(
        "{} of {units} promised, {} refused, {left} left, {answered:.0} answers/s, p99 {:.1} ms",
        hot.reserved,
        hot.refused,
        ms(hot.latencies.value_at_quantile(0.99))
    );
    let grouped = super::count(any.reserved) / super::count(commits.max(1));
    let rows = vec![
        Row::new("hot_answers_per_s", "hot SKU", hot_text, json!(answered)),
        Row::new("per_commit", "promises a commit", format!("{grouped:.1}"), json!(grouped)),
    ];
    Ok(Report {
        workload: format!("stock (W4), {buyers} buyers, {in_flight} in flight, closed loop"),
        commits_per_fsync: ground.commits_per_fsync(&durability, commits, syncs, stored),
        durability,
        yardstick: ground.yardstick(PROBED),
        before,
        after,
        rate_per_s: per_second(any.reserved, any.took),
        commits_per_s: Some(per_second(commits, any.took)),
        latencies: any.latencies,
        lags: None,
        cpu_us_per_unit,
        more: rows,
        void,
    })
}

async fn stock_hot(shop: &Shop, units: u32) -> anyhow::Result<()> {
    let mut client = shop.channels.inventory();
    let product = inventory::RegisterProductRequest {
        sku: HOT.to_owned(),
        name: "What everybody wants".to_owned(),
        ..Default::default()
    };
    client.register_product(shop.channels.request(product, &cause())).await?;
    let line = inventory::ReceivedLine {
        sku: HOT.to_owned(),
        bin: shop::bin(0),
        units,
        ..Default::default()
    };
    let receipt = inventory::ReceiveStockRequest {
        warehouse: WAREHOUSE.to_owned(),
        receipt: "hot".to_owned(),
        lines: vec![line],
    };
    client.receive_stock(shop.channels.request(receipt, &cause())).await?;
    Ok(())
}

/// Lets `buyers` reserve one unit each, `in_flight` of them at once.
async fn sell(
    shop: &Arc<Shop>,
    buyers: u64,
    in_flight: usize,
    wanted: impl Fn(u64) -> String + Copy + Send + Sync + 'static,
) -> anyhow::Result<Sale> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut counters = JoinSet::new();
    for _ in 0..in_flight {
        let (shop, next) = (Arc::clone(shop), Arc::clone(&next));
        counters.spawn(async move {
            let (mut reserved, mut refused) = (0_u64, 0_u64);
            let mut latencies = Histogram::<u64>::new(3)?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= buyers {
                    return anyhow::Ok((reserved, refused, latencies));
                }
                let asked = Instant::now();
                if reserve(&shop, &wanted(n)).await? {
                    reserved += 1
                } else {
                    refused += 1
                }
                latencies.record(u64::try_from(asked.elapsed().as_micros())?)?;
            }
        });
    }
    let latencies = Histogram::<u64>::new(3)?;
    let mut sale = Sale { reserved: 0, refused: 0, took: Duration::ZERO, latencies };
    while let Some(counted) = counters.join_next().await {
        let (reserved, refused, latencies) = counted??;
        sale.reserved += reserved;
        sale.refused += refused;
        sale.latencies.add(latencies)?;
    }
    sale.took = began.elapsed();
    Ok(sale)
}

/// True: it is promised. False: there is none left.
async fn reserve(shop: &Shop, sku: &str) -> anyhow::Result<bool> {
    let order_id = new_id().to_string();
    let message = inventory::ReserveRequest {
        warehouse: WAREHOUSE.to_owned(),
        reservation: format!("{order_id}/1"),
        order_id,
        lines: vec![SkuUnits { sku: sku.to_owned(), units: 1 }],
    };
    let request = shop.channels.request(message, &cause());
    let answer = shop.channels.inventory().reserve(request).await?.into_inner();
    let short = answer.reason == "STOCK_SHORT";
    ensure!(answer.reserved || short, "a reservation answered {}", answer.reason);
    Ok(answer.reserved)
}

/// Units of the hot SKU that the view says are available, once it has read everything.
async fn left(shop: &Shop) -> anyhow::Result<i64> {
    let running = shop.system.running("inventory").context("no inventory service")?;
    let log = shop.system.log();
    let head = nexus_es::Positions::one("inventory", log.head("inventory").await?);
    running.views.wait_for(&head, PATIENCE).await?;
    let message = inventory::ListStockRequest { sku: HOT.to_owned(), ..Default::default() };
    let request = shop.channels.request(message, &cause());
    let items = shop.channels.inventory().list_stock(request).await?.into_inner().items;
    items.first().map(|item| i64::from(item.available)).context("the hot SKU is not listed")
}
