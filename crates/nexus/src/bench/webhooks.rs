//! W3: a storm of courier updates: shuffled, some twice, some from long ago, some forged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use nexus_es::{Heard, Position, clock, derived_id};
use nexus_proto::order::v1::OrderPartProgressed;
use nexus_proto::shipping::v1 as shipping;
use prost::Message;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::ground::Ground;
use super::report::{self, Report, Row, ms};
use super::shop::{Shop, cause};

/// So slow that the sandbox tells nothing by itself while the storm lasts.
const SPEED: f64 = 0.02;
/// Lives at once while shipments are made.
const FILLING: usize = 24;
/// Raw publishes in flight beside it, where the log is on NATS.
const PROBED: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Label created, picked up, twice in transit, out for delivery.
const STATES: [i64; 5] = [20, 21, 24, 30, 41];
const LAST: &str = "out_for_delivery";
const LONG_AGO_MS: i64 = 3 * 24 * 3_600_000;

/// One request of the storm.
#[derive(Clone)]
struct Post {
    order_id: String,
    body: String,
    genuine: bool,
    /// The update that decides where its shipment ends.
    decides: bool,
}

/// Where updates go, and what proves that they are genuine.
struct Door {
    url: String,
    header: String,
    secret: String,
}

/// What became of the requests.
#[derive(Default)]
struct Answers {
    accepted: u64,
    rejected: u64,
    /// Genuine ones that were refused, forged ones that were not, and what did not answer.
    wrong: u64,
    first_wrong: Option<String>,
    /// When the update that decides was acknowledged, by order.
    acknowledged: HashMap<String, Instant>,
}

type Heards = Arc<Mutex<HashMap<String, Instant>>>;

/// Makes `shipments` shipments and posts five updates of each, `rate` posts a second.
pub(crate) async fn run(ground: &Ground, shipments: u32, rate: f64) -> anyhow::Result<Report> {
    let mut shop = Shop::open(ground, SPEED).await?;
    let door = open_account(&mut shop).await?;
    let shop = Arc::new(shop);
    let shipped = ship(&shop, shipments).await.context("cannot make the shipments")?;
    let posts = storm(&shipped);
    let forged = posts.iter().filter(|post| !post.genuine).count();
    let before = ground.measure(PROBED).await?;
    let heards = Heards::default();
    let watching = watch(&shop, &heards).await?;
    let stored = ground.stored().await?;
    let (commits, syncs) = shop.system.written();
    let (cpu, began) = (report::cpu_us(), Instant::now());
    let (answers, latencies) = post_all(&door, posts, rate).await?;
    let elapsed = began.elapsed().as_secs_f64();
    let missing = until_heard(&heards, shipped.len()).await;
    watching.abort();
    drop(watching.await);
    let (commits_now, syncs_now) = shop.system.written();
    let took = began.elapsed().as_secs_f64();
    let cpu_us_per_unit = (report::cpu_us() - cpu) / super::count(answers.accepted.max(1));
    let stored = ground.stored().await? - stored;
    let lags = lags(&answers, &heards)?;
    let after = ground.measure(PROBED).await?;
    let durability = shop.system.durability.clone();
    if let Some(shop) = Arc::into_inner(shop) {
        shop.system.stop().await;
    }
    let Answers { accepted, rejected, wrong, first_wrong, .. } = answers;
    let exact = wrong == 0 && rejected == u64::try_from(forged)?;
    let void = (!exact || missing > 0).then(|| {
        let first = first_wrong.map(|why| format!(", first: {why}")).unwrap_or_default();
        format!("{wrong} wrong answers, {missing} orders never heard of it{first}")
    });
    let text = format!("{rejected} of {forged} forged, {wrong} wrong");
    Ok(Report {
        workload: format!("webhooks (W3), {shipments} shipments, {rate:.0} posts/s offered"),
        commits_per_fsync: ground.commits_per_fsync(
            &durability,
            commits_now - commits,
            syncs_now - syncs,
            stored,
        ),
        durability,
        yardstick: ground.yardstick(PROBED),
        before,
        after,
        rate_per_s: super::count(accepted) / elapsed,
        commits_per_s: Some(super::count(commits_now - commits) / took),
        more: vec![Row::new("rejected", "rejected", text, json!(rejected)), worst(&lags)],
        latencies,
        lags: Some(lags),
        cpu_us_per_unit,
        void,
    })
}

fn worst(lags: &Histogram<u64>) -> Row {
    let (p50, max) = (ms(lags.value_at_quantile(0.5)), ms(lags.max()));
    Row::new("lag_p50_ms", "lag p50, max", format!("{p50:.1} ms, {max:.1} ms"), json!(p50))
}

/// An account of the run's own: only its creator learns the secret.
async fn open_account(shop: &mut Shop) -> anyhow::Result<Door> {
    let message = shipping::CreateCourierAccountRequest {
        courier: "bosta".to_owned(),
        name: "Bosta (measured)".to_owned(),
        mode: "sandbox".to_owned(),
        credentials: Some(shipping::CourierCredentials { api_key: "sandbox-key".to_owned() }),
        ..Default::default()
    };
    let request = shop.channels.request(message, &cause());
    let made = shop.channels.shipping().create_courier_account(request).await?.into_inner();
    shop.courier_account_id.clone_from(&made.courier_account_id);
    let secret = made.webhook_secret.context("the account has no webhook secret")?;
    Ok(Door { url: made.webhook_url, header: made.webhook_header, secret })
}

/// Order and tracking number of each shipment.
async fn ship(shop: &Arc<Shop>, shipments: u32) -> anyhow::Result<Vec<(String, String)>> {
    let mut lives = JoinSet::new();
    let mut shipped = Vec::new();
    for _ in 0..shipments {
        if lives.len() >= FILLING
            && let Some(lived) = lives.join_next().await
        {
            shipped.push(lived??);
        }
        let shop = Arc::clone(shop);
        lives.spawn(async move {
            let order_id = shop.create().await?;
            shop.confirm(&order_id).await?;
            let tracking = shop.dispatch(&order_id).await?.into_iter().next();
            anyhow::Ok((order_id, tracking.context("no shipment")?))
        });
    }
    while let Some(lived) = lives.join_next().await {
        shipped.push(lived??);
    }
    Ok(shipped)
}

/// Five updates a shipment; of these 20 % come twice; beside them 5 % are from long ago and 1 %
/// are forged. In an order that is the same for every run.
fn storm(shipped: &[(String, String)]) -> Vec<Post> {
    let now_ms = clock::now_ms();
    let mut posts = Vec::new();
    let mut place = 0_u64;
    for (order_id, tracking) in shipped {
        for (step, state) in (0_i64..).zip(STATES) {
            let post = |at_ms: i64, genuine: bool, decides: bool| Post {
                order_id: order_id.clone(),
                body: body(tracking, state, at_ms),
                genuine,
                decides,
            };
            let at_ms = now_ms + step;
            let genuine = post(at_ms, true, step == 4);
            place += 1;
            if place.is_multiple_of(5) {
                posts.push(Post { decides: false, ..genuine.clone() });
            }
            if place.is_multiple_of(20) {
                posts.push(post(at_ms - LONG_AGO_MS, true, false));
            }
            if place.is_multiple_of(100) {
                posts.push(post(at_ms, false, false));
            }
            posts.push(genuine);
        }
    }
    let mut shuffled: Vec<_> = (0_u64..).zip(posts).collect();
    shuffled.sort_by_key(|(n, _)| derived_id(&["storm", &n.to_string()]));
    shuffled.into_iter().map(|(_, post)| post).collect()
}

fn body(tracking: &str, state: i64, at_ms: i64) -> String {
    let delivery = json!({
        "_id": format!("measured-{tracking}"),
        "trackingNumber": tracking,
        "state": state,
        "type": "SEND",
        "timeStamp": at_ms,
        "numberOfAttempts": 0,
    });
    delivery.to_string()
}

/// Posts each at its time, whatever became of those before; latencies count from that time.
async fn post_all(
    door: &Door,
    posts: Vec<Post>,
    rate: f64,
) -> anyhow::Result<(Answers, Histogram<u64>)> {
    let client = nexus_runtime::http::client(TIMEOUT)?;
    let mut answers = Answers::default();
    let mut latencies = Histogram::<u64>::new(3)?;
    let mut flying = JoinSet::new();
    let began = Instant::now();
    for (n, post) in (0_u32..).zip(posts) {
        let intended = began + Duration::from_secs_f64(f64::from(n) / rate);
        tokio::time::sleep_until(intended).await;
        let secret = if post.genuine { door.secret.as_str() } else { "guessed" };
        let request = client
            .post(&door.url)
            .header(&door.header, secret)
            .header("content-type", "application/json")
            .body(post.body.clone());
        flying.spawn(async move {
            let answer = request.send().await.map(|answer| answer.status().as_u16());
            (post, intended, answer, Instant::now())
        });
        while let Some(landed) = flying.try_join_next() {
            answers.take(landed?, &mut latencies)?;
        }
    }
    while let Some(landed) = flying.join_next().await {
        answers.take(landed?, &mut latencies)?;
    }
    Ok((answers, latencies))
}

type Landed = (Post, Instant, Result<u16, reqwest::Error>, Instant);

impl Answers {
    fn take(
        &mut self,
        (post, intended, answer, at): Landed,
        latencies: &mut Histogram<u64>,
    ) -> anyhow::Result<()> {
        match answer {
            Ok(200) if post.genuine => {
                self.accepted += 1;
                latencies.record(u64::try_from((at - intended).as_micros())?)?;
                if post.decides {
                    self.acknowledged.insert(post.order_id, at);
                }
            }
            Ok(401) if !post.genuine => self.rejected += 1,
            other => {
                self.wrong += 1;
                self.first_wrong.get_or_insert_with(|| format!("{other:?}"));
            }
        }
        Ok(())
    }
}

/// Follows the order log from now on: when each order heard that it is out for delivery.
async fn watch(
    shop: &Arc<Shop>,
    heards: &Heards,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let (log, heards) = (shop.system.log(), Arc::clone(heards));
    let from = log.head("order").await?;
    let mut tail = log.tail("order", Position(from.0)).await?;
    Ok(tokio::task::spawn(async move {
        loop {
            for commit in tail.next(256).await? {
                for heard in Heard::of(&commit)? {
                    if heard.event_type() != "order.PartProgressed" {
                        continue;
                    }
                    let progressed = OrderPartProgressed::decode(heard.payload.bytes.as_slice())?;
                    if progressed.tracking_status == LAST {
                        let mut heards = heards.lock().unwrap_or_else(PoisonError::into_inner);
                        heards.insert(heard.aggregate.id.clone(), Instant::now());
                    }
                }
            }
        }
    }))
}

/// Waits until so many orders heard of their last update; answers how many did not.
async fn until_heard(heards: &Heards, orders: usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heard = heards.lock().unwrap_or_else(PoisonError::into_inner).len();
        if heard >= orders || Instant::now() > deadline {
            return orders - heard.min(orders);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// From the acknowledgement of the update that decides to the order's own event, in microseconds.
fn lags(answers: &Answers, heards: &Heards) -> anyhow::Result<Histogram<u64>> {
    let heards = heards.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lags = Histogram::<u64>::new(3)?;
    for (order_id, acknowledged) in &answers.acknowledged {
        if let Some(heard) = heards.get(order_id) {
            let lag = heard.saturating_duration_since(*acknowledged);
            lags.record(u64::try_from(lag.as_micros())?)?;
        }
    }
    Ok(lags)
}
