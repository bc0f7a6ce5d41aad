//! Production: any role, nats-server or PostgreSQL is killed at any moment and comes back a moment
//! later, while the others go on.
#![expect(clippy::print_stdout, reason = "tells whoever started it how to repeat it")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::join_all;
use nexus_tests::checks;
use nexus_tests::harness::production::{NATS, POSTGRES};
use nexus_tests::harness::random::{Random, fresh_seed};
use nexus_tests::harness::seven::ROLES;
use nexus_tests::harness::shop::Shop;
use nexus_tests::harness::{History, Options, Production, wait};
use tokio::time::timeout;

use crate::faults::arm;
use crate::judge::{at_rest, violations};
use crate::lives::{Seen, live_on};
use crate::setting;

const KILLS: u64 = 6;
const WORKERS: u32 = 16;
const SPEED: f64 = 40.0;
const STOCK: u32 = 100_000;
const LIVES_A_KILL: u32 = 4;
/// From one kill to the next: so many answers, or so many milliseconds.
const ANSWERS: (u64, u64) = (1, 80);
const MOMENT: (u64, u64) = (30, 1_500);
/// How long a victim is away, in milliseconds.
const AWAY: (u64, u64) = (30, 2_000);
/// In so many of ten cases the next kill comes whether or not the last victim is back.
const IN_A_ROW: u64 = 3;
/// Each role alike; the servers, on which all depend, more often.
const SERVERS: [&str; 5] = [NATS, NATS, NATS, POSTGRES, POSTGRES];
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What happened, for the report.
#[derive(Default)]
struct Tally {
    kills: BTreeMap<&'static str, u64>,
    faults: u64,
    slowest: BTreeMap<&'static str, Duration>,
}

impl Tally {
    fn took(&mut self, victim: &'static str, took: Duration) {
        let slowest = self.slowest.entry(victim).or_default();
        *slowest = took.max(*slowest);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: u64 = self.kills.values().sum();
        write!(f, "{kills} kills (")?;
        for (nth, (victim, times)) in self.kills.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}{victim} {times}")?;
            if let Some(slowest) = self.slowest.get(victim) {
                write!(f, " back in {:.1} s", slowest.as_secs_f64())?;
            }
        }
        write!(f, "), {} faults", self.faults)
    }
}

#[tokio::test]
async fn whichever_process_is_killed_the_others_go_on_and_nothing_acknowledged_is_lost()
-> anyhow::Result<()> {
    let seed = setting("NEXUS_TEST_SEED")?.unwrap_or_else(fresh_seed);
    let kills = setting("NEXUS_TEST_KILLS")?.unwrap_or(KILLS);
    println!("repeat with NEXUS_TEST_SEED={seed} NEXUS_TEST_KILLS={kills}");
    let bound = Duration::from_secs(300 + 15 * kills);
    timeout(bound, run(seed, kills)).await.context("the run does not end")?
}

async fn run(seed: u64, kills: u64) -> anyhow::Result<()> {
    let mut random = Random::seeded(seed);
    let mut production = Production::start(Options::at_speed(SPEED)).await?;
    let shop = Shop::open(production.nexus.rest()?, STOCK).await?;
    let began = Instant::now();
    let patience = Duration::from_secs(90 + 10 * kills);
    let shop = Shop { rest: shop.rest.patient(patience), ..shop };
    let (seen, over, mut tally) = (Seen::default(), Cell::new(false), Tally::default());
    let most = WORKERS + LIVES_A_KILL * u32::try_from(kills)?;

    let lives = join_all((0..WORKERS).map(|_| live_on(&shop, &seen, &over, most)));
    let killing = async {
        let history = &shop.rest.history;
        let killed = kill_again_and_again(&mut production, history, &mut random, kills, &mut tally);
        let killed = killed.await;
        over.set(true);
        killed
    };
    let (killed, _) = futures::join!(killing, lives);
    killed?;
    let problems = seen.problems.take();
    println!("{} lives, {} of them in vain; {tally}", seen.lives.get(), problems.len());
    if std::env::var_os("NEXUS_TEST_KEEP").is_some() {
        println!("its files stay in {}", production.nexus.data().display());
    }
    ensure!(production.nexus.is_running(), "a role ended by itself");
    ensure!(problems.is_empty(), "{}", problems.join("\n"));

    at_rest(&production.nexus, &shop).await?;
    let found = violations(&production.nexus, &shop, &seen.timelines.take()).await?;
    println!(
        "{tally}, {} orders, {} tries of commands, {} violations, {} s, seed {seed}",
        seen.lives.get(),
        shop.rest.history.len(),
        found.len(),
        began.elapsed().as_secs()
    );
    checks::none(&found)?;
    let verdict = production.verify().await?;
    println!("{verdict}");
    Ok(())
}

async fn kill_again_and_again(
    production: &mut Production,
    history: &History,
    random: &mut Random,
    kills: u64,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let victims = [ROLES.as_slice(), &SERVERS].concat();
    let sandbox = production.nexus.sandbox()?;
    for kill in 1..=kills {
        tally.faults += arm(&sandbox, random, kill).await?;
        moment(history, random).await?;
        let victim = random.one_of(&victims).copied().unwrap_or(NATS);
        let away = Duration::from_millis(random.between(AWAY.0, AWAY.1));
        let waits = random.between(0, 10) >= IN_A_ROW;
        production.kill(victim).await?;
        *tally.kills.entry(victim).or_default() += 1;
        elapse(away).await;
        production.start_again(victim).await.with_context(|| format!("{victim}, kill {kill}"))?;
        let (started, acked) = (Instant::now(), history.acked());
        if waits {
            let back = back(production, victim, history, acked).await;
            back.with_context(|| format!("after kill {kill}, of {victim}"))?;
            tally.took(victim, started.elapsed());
        }
        ensure!(production.nexus.is_running(), "after kill {kill}, of {victim}, a role ended");
    }
    production.all_ready(BACK_WITHIN).await?;
    sandbox.end_faults().await
}

/// A role is back when it says so; a server when all roles are, and a command is acknowledged.
async fn back(
    production: &mut Production,
    victim: &str,
    history: &History,
    acked: usize,
) -> anyhow::Result<()> {
    if victim != NATS && victim != POSTGRES {
        return production.ready(victim, BACK_WITHIN).await;
    }
    production.all_ready(BACK_WITHIN).await?;
    wait::until("for a command to be acknowledged", BACK_WITHIN, async || {
        Ok((history.acked() > acked).then_some(()))
    })
    .await
}

/// Either will do: so many more answers, or so much time in which only the courier speaks.
async fn moment(history: &History, random: &mut Random) -> anyhow::Result<()> {
    let until = history.len() + usize::try_from(random.between(ANSWERS.0, ANSWERS.1))?;
    let at_latest = Duration::from_millis(random.between(MOMENT.0, MOMENT.1));
    let enough = async || Ok((history.len() >= until).then_some(()));
    drop(timeout(at_latest, wait::until("for answers", BACK_WITHIN, enough)).await);
    Ok(())
}

/// Lets time pass in which the victim is away: that is what is tested.
async fn elapse(time: Duration) {
    drop(timeout(time, std::future::pending::<()>()).await);
}
