//! Replicas of one service on one database: one feeds a generation, the others follow what it
//! wrote, and take its place when it goes.
//! *Invariant:* whoever begins to feed reads the checkpoint after it has the lock; what a replica
//! says it has read is what stands in the database.

use std::sync::Weak;
use std::time::Duration;

use sqlx::Connection;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::database::{self, Generation, Seen};
use super::{Feed, Pool, ViewError, Views};
use crate::heard::Positions;

/// How often a follower reads the checkpoint while somebody waits for it, and while nobody does.
const AWAITED: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_millis(250);
/// How often it asks whether the place of the feeder is free, a feeder whether its connection
/// lives, and both whether a newer generation is there.
const GLANCE: Duration = Duration::from_secs(1);
/// What nobody feeds is dropped after so many glances: followers have left it by then.
const CLEAN_EVERY: u32 = 5;
const END: Duration = Duration::from_secs(5);

/// Feeds or follows one generation as long as it is read.
pub(super) async fn keep(feed: Feed, generation: Generation, positions: watch::Sender<Positions>) {
    let mut held = Some(generation.clone()).filter(|it| database::lost(it).is_some());
    let mut away = false;
    while !feed.stop.is_cancelled() {
        let taken = match held.take() {
            Some(held) => Ok(Some(held)),
            None => database::take(&generation).await,
        };
        match taken {
            Ok(Some(held)) => {
                away = false;
                if let Err(error) = lead(&feed, &held, &positions).await {
                    let service = feed.service;
                    warn!(service, "views of {service} cannot be fed now: {error}");
                    held.writer.close().await;
                    tokio::time::sleep(QUIET).await;
                }
            }
            Ok(None) => {
                away = false;
                follow(&feed, &generation, &positions, GLANCE).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    let service = feed.service;
                    warn!(service, "the view database of {service} is away: {error}");
                }
                follow(&feed, &generation, &positions, QUIET).await;
            }
        }
    }
}

/// Feeds the generation until the connection that may write ends.
async fn lead(
    feed: &Feed,
    held: &Generation,
    positions: &watch::Sender<Positions>,
) -> Result<(), ViewError> {
    let Some(lost) = database::lost(held) else { return Ok(()) };
    // A server that fell takes its last commits back: what was said of them no longer holds.
    held.note_fall();
    feed.waiters.recent.clear();
    positions.send_replace(feed.from(held.positions().await?));
    let service = feed.service;
    info!(service, "views of {service} are fed by this replica");
    let stop = feed.stop.child_token();
    let runner = feed.runner(held.clone(), positions.clone(), stop.clone());
    let run = runner.run();
    tokio::pin!(run);
    loop {
        tokio::select! {
            () = &mut run => break,
            () = lost.cancelled() => break,
            () = tokio::time::sleep(GLANCE) => {
                if !lives(&held.writer).await {
                    break;
                }
            }
        }
    }
    stop.cancel();
    // Ends what waits for a connection; whoever is at work in a batch is given time.
    let closing = async { tokio::join!(&mut run, held.writer.close()) };
    drop(tokio::time::timeout(END, closing).await);
    Ok(())
}

/// False when the connection that may write has ended. One that is at work is not asked; one that
/// broke at work is not there any more.
async fn lives(writer: &Pool) -> bool {
    match writer.try_acquire() {
        Some(mut connection) => connection.ping().await.is_ok(),
        None => !writer.is_empty(),
    }
}

/// Reads what another replica wrote, until it is time to ask for its place.
async fn follow(
    feed: &Feed,
    generation: &Generation,
    positions: &watch::Sender<Positions>,
    time: Duration,
) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let awaited = feed.waiters.awaited();
        let pause = if *awaited.borrow() { AWAITED } else { QUIET };
        tokio::select! {
            () = feed.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = begins(awaited, pause == QUIET) => {}
        }
        let Ok(found) = generation.positions().await else { continue };
        let found = feed.from(found);
        if *positions.borrow() == found {
            continue;
        }
        // First, so that whoever waited for the position meets no row from before it.
        generation.note_shown();
        feed.waiters.recent.clear();
        positions.send_replace(found);
        feed.waiters.wake_all();
    }
}

/// Ends when somebody begins to wait, if that matters.
async fn begins(mut awaited: watch::Receiver<bool>, matters: bool) {
    if !matters || awaited.wait_for(|awaited| *awaited).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Goes over to a newer generation that another replica built, and drops what nobody feeds.
pub(super) async fn watch(views: Weak<Views>, stop: CancellationToken) {
    let mut glances = 0_u32;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GLANCE) => {}
        }
        let Some(views) = views.upgrade() else { return };
        glances = glances.wrapping_add(1);
        // A rebuild of our own takes its place by itself.
        let Ok(_no_rebuild) = views.rebuilding.try_lock() else { continue };
        let looked = look(&views, glances.is_multiple_of(CLEAN_EVERY)).await;
        if let Err(error) = looked {
            let service = views.service();
            warn!(service, "the view database of {service} cannot be looked through: {error}");
        }
    }
}

async fn look(views: &Views, clean: bool) -> Result<(), ViewError> {
    let live = views.live();
    match database::look(&views.config, &live.generation).await? {
        Seen::Newest if clean => database::clean(&views.config, &live.generation).await,
        Seen::Newest => Ok(()),
        Seen::Newer(generation) => views.go_over(generation, true).await,
        Seen::Gone => {
            let generation = Generation::open_newest(&views.config).await?;
            views.go_over(generation, false).await
        }
    }
}
