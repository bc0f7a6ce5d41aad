//! What timers promise.

use std::sync::Arc;

use futures::FutureExt;

use crate::ports::{Timer, Timers};

use super::{Promise, Rig, Seen, ensure, failed};

pub(super) const PROMISES: &[Promise<dyn Timers>] = &[
    ("a timer is never due early", |rig| never_early(rig).boxed()),
    ("a timer stays due until it is cancelled or replaced", |rig| stays_due(rig).boxed()),
    ("a process and key have one timer", |rig| setting_again_replaces(rig).boxed()),
    ("a cancelled timer is gone", |rig| a_cancelled_timer_is_gone(rig).boxed()),
    ("a settled timer is gone, or due at its next time", |rig| settling_ends_or_moves(rig).boxed()),
    ("a timer that was set anew is not settled", |rig| what_was_set_anew_stands(rig).boxed()),
    ("due timers come oldest first, at most as many as asked", |rig| oldest_first(rig).boxed()),
    ("processes are apart", |rig| processes_are_apart(rig).boxed()),
    ("the next due time is that of the first timer", |rig| the_next_one_is_known(rig).boxed()),
    ("a timer outlives a reopen", |rig| a_timer_outlives_a_reopen(rig).boxed()),
];

/// Far in the past of any wall clock, for adapters that look at one.
const NOON: i64 = 1_700_000_000_000;

fn timer(process: &str, key: &str, due_at_ms: i64) -> Timer {
    let payload = format!("{process} {key} {due_at_ms} \0\u{fffd}").into_bytes();
    Timer { process: process.to_owned(), key: key.to_owned(), due_at_ms, payload }
}

async fn set(port: &Arc<dyn Timers>, timer: &Timer) -> Seen {
    port.set(timer.clone()).await.map_err(failed("set a timer"))
}

async fn due(port: &Arc<dyn Timers>, at_ms: i64, max: usize, expected: &[&Timer]) -> Seen {
    let due = port.due("confirm", at_ms, max).await.map_err(failed("ask for due timers"))?;
    ensure(due.iter().eq(expected.iter().copied()), || {
        format!("due at {at_ms} should be {expected:?}, and is {due:?}")
    })
}

async fn next_due(port: &Arc<dyn Timers>, expected: Option<i64>) -> Seen {
    let next = port.next_due("confirm").await.map_err(failed("ask for the next due time"))?;
    ensure(next == expected, || format!("next due should be {expected:?}, and is {next:?}"))
}

async fn cancel(port: &Arc<dyn Timers>, process: &str, key: &str) -> Seen {
    port.cancel(process, key).await.map_err(failed("cancel a timer"))
}

async fn never_early(rig: &Rig<dyn Timers>) -> Seen {
    due(&rig.port, i64::MAX, 10, &[]).await?;
    let ali = timer("confirm", "ali", NOON);
    set(&rig.port, &ali).await?;
    due(&rig.port, NOON - 1, 10, &[]).await?;
    due(&rig.port, NOON, 10, &[&ali]).await?;
    due(&rig.port, NOON + 1, 10, &[&ali]).await
}

async fn stays_due(rig: &Rig<dyn Timers>) -> Seen {
    let ali = timer("confirm", "ali", NOON);
    set(&rig.port, &ali).await?;
    for _ in 0..3 {
        due(&rig.port, NOON, 10, &[&ali]).await?;
    }
    let later = timer("confirm", "ali", NOON + 5);
    set(&rig.port, &later).await?;
    due(&rig.port, NOON, 10, &[]).await
}

async fn setting_again_replaces(rig: &Rig<dyn Timers>) -> Seen {
    for due_at_ms in [NOON, NOON + 9, NOON + 2, NOON + 4] {
        set(&rig.port, &timer("confirm", "ali", due_at_ms)).await?;
    }
    due(&rig.port, NOON + 3, 10, &[]).await?;
    due(&rig.port, NOON + 9, 10, &[&timer("confirm", "ali", NOON + 4)]).await?;
    next_due(&rig.port, Some(NOON + 4)).await
}

async fn a_cancelled_timer_is_gone(rig: &Rig<dyn Timers>) -> Seen {
    cancel(&rig.port, "confirm", "nobody").await?;
    let (ali, mona) = (timer("confirm", "ali", NOON), timer("confirm", "mona", NOON));
    set(&rig.port, &ali).await?;
    set(&rig.port, &mona).await?;
    cancel(&rig.port, "confirm", "ali").await?;
    cancel(&rig.port, "confirm", "ali").await?;
    due(&rig.port, NOON, 10, &[&mona]).await?;
    due(&(rig.reopen)().await, NOON, 10, &[&mona]).await
}

async fn settle(port: &Arc<dyn Timers>, fired: &Timer, next: Option<i64>) -> Seen {
    port.settle(fired, next).await.map_err(failed("settle a timer"))
}

async fn settling_ends_or_moves(rig: &Rig<dyn Timers>) -> Seen {
    let (ali, mona) = (timer("confirm", "ali", NOON), timer("confirm", "mona", NOON));
    set(&rig.port, &ali).await?;
    set(&rig.port, &mona).await?;
    set(&rig.port, &timer("cancel", "mona", NOON)).await?;
    settle(&rig.port, &ali, None).await?;
    settle(&rig.port, &mona, Some(NOON + 2)).await?;
    let moved = Timer { due_at_ms: NOON + 2, ..mona };
    due(&rig.port, NOON + 1, 10, &[]).await?;
    due(&rig.port, NOON + 2, 10, &[&moved]).await?;
    due(&(rig.reopen)().await, NOON + 2, 10, &[&moved]).await
}

async fn what_was_set_anew_stands(rig: &Rig<dyn Timers>) -> Seen {
    let fired = timer("confirm", "ali", NOON);
    settle(&rig.port, &fired, Some(NOON + 1)).await?;
    next_due(&rig.port, None).await?;
    for next in [None, Some(NOON + 1)] {
        let later = timer("confirm", "ali", NOON + 9);
        set(&rig.port, &fired).await?;
        set(&rig.port, &later).await?;
        settle(&rig.port, &fired, next).await?;
        due(&rig.port, NOON + 9, 10, &[&later]).await?;
    }
    Ok(())
}

async fn oldest_first(rig: &Rig<dyn Timers>) -> Seen {
    let [third, first, fourth, second] = [
        timer("confirm", "c", NOON + 3),
        timer("confirm", "z", NOON + 1),
        timer("confirm", "a", NOON + 4),
        timer("confirm", "b", NOON + 2),
    ];
    for timer in [&third, &first, &fourth, &second] {
        set(&rig.port, timer).await?;
    }
    due(&rig.port, NOON + 3, 10, &[&first, &second, &third]).await?;
    due(&rig.port, NOON + 9, 2, &[&first, &second]).await?;
    due(&rig.port, NOON + 9, 10, &[&first, &second, &third, &fourth]).await
}

async fn processes_are_apart(rig: &Rig<dyn Timers>) -> Seen {
    let ali = timer("confirm", "ali", NOON);
    set(&rig.port, &ali).await?;
    set(&rig.port, &timer("cancel", "ali", NOON - 1)).await?;
    due(&rig.port, NOON, 10, &[&ali]).await?;
    next_due(&rig.port, Some(NOON)).await?;
    cancel(&rig.port, "cancel", "ali").await?;
    due(&rig.port, NOON, 10, &[&ali]).await
}

async fn the_next_one_is_known(rig: &Rig<dyn Timers>) -> Seen {
    next_due(&rig.port, None).await?;
    set(&rig.port, &timer("confirm", "ali", NOON + 2)).await?;
    next_due(&rig.port, Some(NOON + 2)).await?;
    set(&rig.port, &timer("confirm", "mona", NOON + 1)).await?;
    next_due(&rig.port, Some(NOON + 1)).await?;
    cancel(&rig.port, "confirm", "mona").await?;
    next_due(&rig.port, Some(NOON + 2)).await
}

async fn a_timer_outlives_a_reopen(rig: &Rig<dyn Timers>) -> Seen {
    let ali = timer("confirm", "ali", NOON);
    set(&rig.port, &ali).await?;
    let port = (rig.reopen)().await;
    due(&port, NOON, 10, &[&ali]).await?;
    next_due(&port, Some(NOON)).await
}
