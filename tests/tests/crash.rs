//! Many orders at once, a courier and a channel that misbehave, and a process that is killed again
//! and again: nothing acknowledged is lost, nothing is done twice, everything begun ends.
//!
//! `NEXUS_CRASH_SEED` repeats a run's choices, `NEXUS_CRASH_KILLS` makes it longer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::join_all;
use nexus_tests::checks::{self, Violation};
use nexus_tests::harness::evidence::{Ledger, Told, received};
use nexus_tests::harness::random::{Random, fresh_seed};
use nexus_tests::harness::shop::{LAMP, MUG, SCARF, Shop};
use nexus_tests::harness::{History, Life, Look, Nexus, Options, Sandbox, Wish, wait};
use serde_json::{Value, json};

const KILLS: u64 = 20;
const WORKERS: u32 = 30;
const SPEED: f64 = 20.0;
/// How long it lives from ready to dead: so many answers, or so many milliseconds.
const ANSWERS: (u64, u64) = (1, 150);
const MOMENT: (u64, u64) = (30, 1_500);
const STOCK: u32 = 100_000;
/// Lives go on as long as there is killing; this only keeps a very fast machine from drowning.
const LIVES_A_KILL: u32 = 8;

const COURIER_FAULTS: [(&str, &str); 8] = [
    ("lost_answer", "create"),
    ("server_error", "create"),
    ("lost_answer", "search"),
    ("server_error", "read"),
    ("lost_answer", "label"),
    ("duplicate_webhook", ""),
    ("reorder_webhooks", ""),
    ("exception", ""),
];
const CHANNEL_FAULTS: [&str; 5] =
    ["lost_answer", "server_error", "rate_limit", "duplicate_receipts", "reorder_receipts"];

fn setting(name: &str) -> anyhow::Result<Option<u64>> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let value = value.to_string_lossy();
    value.parse().map(Some).with_context(|| format!("{name} must be a number, not {value}"))
}

/// What the lives leave behind for the checks.
#[derive(Default)]
struct Seen {
    timelines: RefCell<BTreeMap<String, Vec<Value>>>,
    lives: Cell<u32>,
    problems: RefCell<Vec<String>>,
}

#[tokio::test]
async fn whatever_moment_it_is_killed_at_nothing_acknowledged_is_lost_and_all_begun_ends()
-> anyhow::Result<()> {
    let seed = setting("NEXUS_CRASH_SEED")?.unwrap_or_else(fresh_seed);
    let kills = setting("NEXUS_CRASH_KILLS")?.unwrap_or(KILLS);
    println!("repeat with NEXUS_CRASH_SEED={seed} NEXUS_CRASH_KILLS={kills}");
    let mut random = Random::seeded(seed);
    let options = Options { keep_ports: true, ..Options::at_speed(SPEED) };
    let (mut nexus, shop) = Nexus::with_shop(options, STOCK).await?;
    let patience = Duration::from_secs(90 + 4 * kills);
    let shop = Shop { rest: shop.rest.patient(patience), ..shop };
    let seen = Seen::default();
    let over = Cell::new(false);
    let most = WORKERS + LIVES_A_KILL * u32::try_from(kills)?;

    let lives = join_all((0..WORKERS).map(|_| live_on(&shop, &seen, &over, most)));
    let killing = async {
        let killed = kill_again_and_again(&mut nexus, &shop.rest.history, &mut random, kills).await;
        over.set(true);
        killed
    };
    let (killed, _) = futures::join!(killing, lives);
    killed?;
    let problems = seen.problems.take();
    println!("{} lives, {} of them in vain", seen.lives.get(), problems.len());
    if !problems.is_empty() && std::env::var_os("NEXUS_TEST_KEEP").is_some() {
        println!("its files stay in {}", nexus.data().display());
    }
    ensure!(nexus.is_running(), "nexus ended by itself");
    ensure!(problems.is_empty(), "{}", problems.join("\n"));

    at_rest(&nexus, &shop).await?;
    let found = violations(&nexus, &shop, &seen.timelines.take()).await?;
    println!("{} tries of commands, {} violations", shop.rest.history.len(), found.len());
    checks::none(&found)?;
    nexus.verify().await
}

/// One life after the other, at least one, as long as there is killing.
async fn live_on(shop: &Shop, seen: &Seen, over: &Cell<bool>, most: u32) {
    loop {
        let number = seen.lives.get() + 1;
        seen.lives.set(number);
        if let Err(problem) = live(shop, seen, number).await {
            seen.problems.borrow_mut().push(format!("life {number}: {problem:#}"));
        }
        if over.get() || seen.lives.get() >= most {
            return;
        }
    }
}

async fn live(shop: &Shop, seen: &Seen, number: u32) -> anyhow::Result<()> {
    let lines = [(MUG, 1 + number % 3), (LAMP, 1), (SCARF, 2)];
    let kinds = usize::try_from(1 + number % 3)?;
    let lines = lines.get(..kinds).unwrap_or(&lines);
    let parcels = 1 + u32::from(number.is_multiple_of(5));
    let mut life = Life::begin(shop, Wish { parcels, ..Wish::of(number, lines) }).await?;
    life.confirm().await?;
    life.pick().await?;
    life.pack().await?;
    let timeline = life.timeline().await?;
    seen.timelines.borrow_mut().insert(life.order_id.clone(), timeline);
    life.ship().await?;
    life.print().await?;
    life.hand_over().await?;
    life.until_one_of(&["delivered", "returned"]).await
}

async fn kill_again_and_again(
    nexus: &mut Nexus,
    history: &History,
    random: &mut Random,
    kills: u64,
) -> anyhow::Result<()> {
    for kill in 1..=kills {
        arm(&nexus.sandbox()?, random, kill).await?;
        let answers = random.between(ANSWERS.0, ANSWERS.1);
        let at_latest = Duration::from_millis(random.between(MOMENT.0, MOMENT.1));
        // Either will do: so many more answers, or so much time in which only the courier speaks.
        let until = history.len() + usize::try_from(answers)?;
        let reached = wait::until("for answers", Duration::from_secs(60), async || {
            Ok((history.len() >= until).then_some(()))
        });
        drop(tokio::time::timeout(at_latest, reached).await);
        nexus.kill9()?;
        nexus.restart().await.with_context(|| format!("after kill {kill}"))?;
    }
    nexus.sandbox()?.end_faults().await
}

async fn arm(sandbox: &Sandbox, random: &mut Random, kill: u64) -> anyhow::Result<()> {
    for _ in 0..3 {
        let courier = random.one_of(&COURIER_FAULTS);
        let (fault, on) = courier.copied().unwrap_or(("lost_answer", "create"));
        let times = random.between(1, 4);
        let armed = match on {
            "" => json!({"fault": fault, "times": times}),
            on => json!({"fault": fault, "times": times, "on": on}),
        };
        sandbox.courier_fault(&armed).await?;
        let fault = random.one_of(&CHANNEL_FAULTS);
        sandbox.channel_fault(&json!({"fault": fault, "times": random.between(1, 3)})).await?;
    }
    if kill % 8 == 1 {
        sandbox.courier_fault(&json!({"fault": "rto"})).await?;
        sandbox.courier_fault(&json!({"fault": "rate_limited", "retry_after": 1})).await?;
    }
    Ok(())
}

/// Nothing moves any more: every webhook was taken, every message has its end.
async fn at_rest(nexus: &Nexus, shop: &Shop) -> anyhow::Result<()> {
    let sandbox = nexus.sandbox()?;
    wait::until("for the webhooks to be taken", Duration::from_secs(90), async || {
        let mut webhooks = sandbox.courier_webhooks().await?;
        webhooks.extend(sandbox.channel_webhooks().await?);
        Ok(webhooks.iter().all(|webhook| webhook.is("delivered")).then_some(()))
    })
    .await?;
    let returned = shop.rest.all("/v1/shipments?tracking_status=returned", "shipments").await?;
    let returned: BTreeSet<_> = returned.iter().map(|one| one.text("shipment_id")).collect();
    wait::until("for the messages to end", Duration::from_secs(90), async || {
        let messages = shop.rest.all("/v1/messages", "messages").await?;
        let went_back = |message: &Value| returned.contains(message.text("shipment_id"));
        let mut open = messages.iter().filter(|one| !has_ended(one, went_back(one), &messages));
        Ok(open.next().is_none().then_some(()))
    })
    .await
}

/// Read, failed, suppressed; or it stays unknown whether the channel took it: then it is listed as
/// such, and not sent again once the customer was told what came after it, or it came to nothing.
fn has_ended(message: &Value, went_back: bool, all: &[Value]) -> bool {
    let rank = |message: &Value| {
        let milestones = ["shipped", "out_for_delivery", "delivered"];
        milestones.iter().position(|milestone| *milestone == message.text("milestone"))
    };
    let told_since = || {
        all.iter().any(|other| {
            other.text("shipment_id") == message.text("shipment_id")
                && rank(other) > rank(message)
                && matches!(other.text("status"), "sent" | "delivered" | "read")
        })
    };
    match (message.text("status"), message.text("reason")) {
        ("read" | "failed" | "suppressed", _) | (_, "MAYBE_SENT_TWICE") => true,
        // After two answers that never came it is not sent a third time.
        ("requested", "SEND_UNKNOWN") => {
            went_back || message.number("attempts") >= 2 || told_since()
        }
        _ => false,
    }
}

async fn violations(
    nexus: &Nexus,
    shop: &Shop,
    earlier: &BTreeMap<String, Vec<Value>>,
) -> anyhow::Result<Vec<Violation>> {
    let sandbox = nexus.sandbox()?;
    let told = Told::by(&shop.rest).await?;
    let ledger = Ledger::of(&sandbox).await?;
    let parked = shop.rest.all("/v1/parked", "parked").await?;
    let history = shop.rest.history.all();
    let mut found = Vec::new();
    found.extend(checks::check_i1(&history, &told));
    found.extend(checks::check_i2(&history, &told));
    found.extend(checks::check_i4(earlier, &told.timelines));
    found.extend(checks::check_i7(&history));
    found.extend(checks::check_i9(&history));
    found.extend(checks::check_i10(&history));
    found.extend(checks::check_i11(&told));
    found.extend(checks::check_i15(&told, &parked, &ledger));
    found.extend(checks::check_i22(&told, &ledger));
    found.extend(checks::check_i24(&told, &ledger));
    found.extend(checks::check_i26(&told.messages, &ledger));
    found.extend(checks::check_stock(&received(&history), &told));
    found.extend(prints(&sandbox, shop, &told).await?);
    Ok(found)
}

async fn prints(sandbox: &Sandbox, shop: &Shop, told: &Told) -> anyhow::Result<Vec<Violation>> {
    let mut found = Vec::new();
    for shipment in told.shipments.iter().take(10) {
        let path = format!("/v1/shipments/{}:print-awb", shipment.text("shipment_id"));
        let before = sandbox.create_calls().await?;
        let mut labels = Vec::new();
        for _ in 0..2 {
            let answer = shop.rest.read(&path).await?;
            // One that was delivered before its label was fetched has none.
            ensure!(matches!(answer.status, 200 | 409), "{path}: {}", answer.body);
            labels.extend((answer.status == 200).then_some(answer.bytes));
        }
        found.extend(checks::check_i25(&labels, before, sandbox.create_calls().await?));
    }
    Ok(found)
}
