//! Orders on their way, one after the other, as long as there is killing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use nexus_tests::harness::shop::{LAMP, MUG, SCARF, Shop};
use nexus_tests::harness::{Life, Wish};
use serde_json::Value;

/// What the lives leave behind for the checks.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) timelines: RefCell<BTreeMap<String, Vec<Value>>>,
    pub(crate) lives: Cell<u32>,
    pub(crate) problems: RefCell<Vec<String>>,
}

/// One life after the other, at least one, until it is over or there were enough.
pub(crate) async fn live_on(shop: &Shop, seen: &Seen, over: &Cell<bool>, most: u32) {
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
