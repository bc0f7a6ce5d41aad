//! All of Nexus is killed at once: `nexus up`, unless the environment names another layout.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::join_all;
use nexus_tests::checks;
use nexus_tests::harness::random::{Random, fresh_seed};
use nexus_tests::harness::shop::Shop;
use nexus_tests::harness::{History, Nexus, Options, wait};

use crate::faults::arm;
use crate::judge::{at_rest, violations};
use crate::lives::{Seen, live_on};
use crate::setting;

const KILLS: u64 = 20;
const WORKERS: u32 = 30;
const SPEED: f64 = 20.0;
/// How long it lives from ready to dead: so many answers, or so many milliseconds.
const ANSWERS: (u64, u64) = (1, 150);
const MOMENT: (u64, u64) = (30, 1_500);
const STOCK: u32 = 100_000;
/// Lives go on as long as there is killing; this only keeps a very fast machine from drowning.
const LIVES_A_KILL: u32 = 8;

#[tokio::test]
async fn whatever_moment_it_is_killed_at_nothing_acknowledged_is_lost_and_all_begun_ends()
-> anyhow::Result<()> {
    let seed = setting("NEXUS_TEST_SEED")?.unwrap_or_else(fresh_seed);
    let kills = setting("NEXUS_TEST_KILLS")?.unwrap_or(KILLS);
    println!("repeat with NEXUS_TEST_SEED={seed} NEXUS_TEST_KILLS={kills}");
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
