//! Timers: never early, never lost, never in the way of others.

use super::*;

fn timer(key: &str, due_at_ms: i64, payload: &[u8]) -> Timer {
    Timer { process: "tell".to_owned(), key: key.to_owned(), due_at_ms, payload: payload.to_vec() }
}

#[tokio::test]
async fn a_due_timer_wakes_once_and_never_early() {
    let world = World::new().await;
    let now = crate::clock::now_ms();
    for (key, due_at_ms) in [("soon", now), ("later", now + 3_600_000)] {
        world.ground.timers.set(timer(key, due_at_ms, b"")).await.unwrap();
    }
    world.start();
    world.until("woken", async |w| w.target.seen() == ["woken soon"]).await;
    let settled =
        async |w: &World| w.ground.timers.next_due("tell").await.unwrap() == Some(now + 3_600_000);
    world.until("the fired one is gone", settled).await;
}

#[tokio::test]
async fn a_hopeless_timer_is_given_up_once_and_fires_no_more() {
    let world = World::new().await;
    let now = crate::clock::now_ms();
    world.ground.timers.set(timer("lost", now, HOPELESS)).await.unwrap();
    world.start();
    let gone = async |w: &World| w.ground.timers.next_due("tell").await.unwrap().is_none();
    world.until("it is gone", gone).await;
    world.ground.timers.set(timer("next", now, b"")).await.unwrap();
    world.until("the next one fires", async |w| w.target.seen().len() == 2).await;
    assert_eq!(world.target.seen(), ["woken lost", "woken next"]);
}

#[tokio::test]
async fn a_timer_whose_attempts_ran_out_is_set_minutes_later() {
    let world = World::new().await;
    let now = crate::clock::now_ms();
    world.ground.timers.set(timer("later", now, DOWN)).await.unwrap();
    world.start();
    let put_off = async |w: &World| {
        let next = w.ground.timers.next_due("tell").await.unwrap();
        next.is_some_and(|due_at_ms| due_at_ms > now + 60_000)
    };
    world.until("it is put off", put_off).await;
    assert_eq!(world.target.seen().len(), 3);
}

#[tokio::test]
async fn a_timer_that_is_set_anew_while_it_fires_stands() {
    let world = World::new().await;
    let now = crate::clock::now_ms();
    world.target.hold(Some("a"));
    world.ground.timers.set(timer("a", now, b"")).await.unwrap();
    world.start();
    world.until("it fires", async |w| w.target.held_up() == 1).await;
    world.ground.timers.set(timer("a", now + 3_600_000, b"")).await.unwrap();
    // Of the same key: it is told when the timer has been dealt with.
    world.append("a").await;
    world.target.hold(None);
    world.until("a is told", async |w| w.target.seen() == ["woken a", "a1"]).await;
    assert_eq!(world.ground.timers.next_due("tell").await.unwrap(), Some(now + 3_600_000));
}

#[tokio::test]
async fn many_timers_that_take_long_hold_up_no_other() {
    let mut world = World::new().await;
    world.ground.patience.concurrency = 1000;
    let now = crate::clock::now_ms();
    world.target.hold(Some("busy"));
    for n in 0..300 {
        world.ground.timers.set(timer(&format!("busy{n}"), now - 1, b"")).await.unwrap();
    }
    world.ground.timers.set(timer("free", now, b"")).await.unwrap();
    world.start();
    let woken = async |w: &World| w.target.seen().iter().any(|seen| seen == "woken free");
    world.until("the free one fires", woken).await;
}
