//! What reading promises.

use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;

use crate::commit::MAX_COMMIT_BYTES;
use crate::ids::{AggregateId, MAX_ID_BYTES, Position, Version};
use crate::log::{Append, Appended, EventLog, Tail};

use super::super::{Rig, Seen, ensure, failed};
use super::steps::{Log, acked, commit, commit_of, history, load, of, order, read, same, tail};

type LogRig = Rig<dyn EventLog>;

/// Writers at work, each with what it appended.
type Crowd = JoinSet<Result<Vec<(Append, Appended)>, String>>;

pub(super) async fn commits_come_back_whole(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    let mut version = Version::NONE;
    let mut appended = Vec::new();
    for size in [1, 2, 511, 512, 4_096, 4_097, 70_000, 65_536, 300_001, MAX_COMMIT_BYTES, 3] {
        let append = commit_of(&ali, version, size);
        let place = acked(&rig.port, &append).await?;
        version = place.version;
        appended.push((append, place));
    }
    same(&appended, &load(&rig.port, &ali, Version::NONE).await?)?;
    let mut live = tail(&rig.port, "order", Position::START).await?;
    same(&appended, &read(rig.patience, &mut *live, appended.len(), 4).await?)?;
    let log = (rig.reopen)().await;
    let mut later = tail(&log, "order", Position::START).await?;
    same(&appended, &read(rig.patience, &mut *later, appended.len(), 100).await?)
}

pub(super) async fn load_is_exact(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    let nobody = load(&rig.port, &ali, Version::NONE).await?;
    ensure(nobody.is_empty(), || format!("{} commits before the first", nobody.len()))?;
    let appended = history(&rig.port, &ali, 12).await?;
    history(&rig.port, &order("ali-2")?, 3).await?;
    loads_from_anywhere(&rig.port, &ali, &appended).await?;
    loads_from_anywhere(&(rig.reopen)().await, &ali, &appended).await
}

async fn loads_from_anywhere(
    log: &Log,
    aggregate: &AggregateId,
    appended: &[(Append, Appended)],
) -> Seen {
    let mut after = Version::NONE;
    for known in 0..=appended.len() {
        let rest = appended.get(known..).unwrap_or_default();
        same(rest, &load(log, aggregate, after).await?)
            .map_err(|seen| format!("after {known} commits: {seen}"))?;
        after = rest.first().map_or(after, |(_, place)| place.version);
    }
    Ok(())
}

pub(super) async fn versions_grow(rig: &LogRig) -> Seen {
    let appended = history(&rig.port, &order("ali")?, 30).await?;
    let mut before = Version::NONE;
    for (_, place) in appended {
        ensure(place.version > before, || format!("{:?} after {before:?}", place.version))?;
        before = place.version;
    }
    Ok(())
}

/// Appends `each` commits to each of `writers` aggregates, all at once, in tasks of their own.
fn crowd(log: &Log, writers: usize, each: usize) -> Crowd {
    let mut tasks = JoinSet::new();
    for number in 0..writers {
        let log = log.clone();
        tasks.spawn(async move {
            let service = if number % 4 == 3 { "inventory" } else { "order" };
            history(&log, &of(service, "crowd", &format!("{number}"))?, each).await
        });
    }
    tasks
}

/// All that a crowd appended to the service `order`, by position.
async fn of_crowd(mut tasks: Crowd) -> Result<Vec<(Append, Appended)>, String> {
    let mut all = Vec::new();
    while let Some(appended) = tasks.join_next().await {
        all.extend(appended.map_err(failed("append in a task"))??);
    }
    all.retain(|(append, _)| append.aggregate.service == "order");
    all.sort_by_key(|(_, place)| place.position);
    Ok(all)
}

pub(super) async fn a_tail_meets_every_commit_in_order(rig: &LogRig) -> Seen {
    let early = history(&rig.port, &order("early")?, 10).await?;
    // 24 writers, 18 of them to the tailed service; the tails run while they write.
    let count = early.len() + 18 * 20;
    let mut readers = JoinSet::new();
    for max in [1, 7, 1_000] {
        let mut tail = tail(&rig.port, "order", Position::START).await?;
        let patience = rig.patience;
        readers.spawn(async move { read(patience, &mut *tail, count, max).await });
    }
    let all = of_crowd(crowd(&rig.port, 24, 20)).await?;
    let all: Vec<_> = early.into_iter().chain(all).collect();
    let mut before = Position::START;
    for (_, place) in &all {
        ensure(place.position > before, || format!("{:?} after {before:?}", place.position))?;
        before = place.position;
    }
    while let Some(met) = readers.join_next().await {
        same(&all, &met.map_err(failed("read in a task"))??)?;
    }
    Ok(())
}

pub(super) async fn a_tail_starts_anywhere(rig: &LogRig) -> Seen {
    let all = of_crowd(crowd(&rig.port, 12, 10)).await?;
    tails_from_anywhere(&rig.port, rig.patience, &all).await?;
    tails_from_anywhere(&(rig.reopen)().await, rig.patience, &all).await
}

async fn tails_from_anywhere(log: &Log, patience: Duration, all: &[(Append, Appended)]) -> Seen {
    for known in (0..all.len()).step_by(13).chain([all.len() - 1]) {
        let after = known.checked_sub(1).and_then(|last| all.get(last));
        let after = after.map_or(Position::START, |(_, place)| place.position);
        let rest = all.get(known..).unwrap_or_default();
        let mut tail = tail(log, "order", after).await?;
        same(rest, &read(patience, &mut *tail, rest.len(), 11).await?)
            .map_err(|seen| format!("after {known} commits: {seen}"))?;
    }
    Ok(())
}

pub(super) async fn a_waiting_tail_wakes(rig: &LogRig) -> Seen {
    let mut tails = Vec::new();
    for _ in 0..3 {
        tails.push(tail(&rig.port, "order", Position::START).await?);
    }
    let ali = order("ali")?;
    let mut version = Version::NONE;
    for _ in 0..5 {
        for tail in &mut tails {
            ensure(waits(&mut **tail).await, || "a tail answered before the commit".to_owned())?;
        }
        let mut readers = JoinSet::new();
        for mut tail in tails.drain(..) {
            let patience = rig.patience;
            readers.spawn(async move {
                let met = read(patience, &mut *tail, 1, 10).await;
                (tail, met)
            });
        }
        let append = commit(&ali, version);
        let place = acked(&rig.port, &append).await?;
        version = place.version;
        while let Some(reader) = readers.join_next().await {
            let (tail, met) = reader.map_err(failed("read in a task"))?;
            same(&[(append.clone(), place)], &met?)?;
            tails.push(tail);
        }
    }
    Ok(())
}

/// Whether the tail has nothing to answer for a moment.
async fn waits(tail: &mut dyn Tail) -> bool {
    tokio::time::timeout(Duration::from_millis(20), tail.next(10)).await.is_err()
}

pub(super) async fn a_dropped_wait_loses_nothing(rig: &LogRig) -> Seen {
    let mut tail = tail(&rig.port, "order", Position::START).await?;
    let writers = crowd(&rig.port, 8, 10);
    let mut met = Vec::new();
    for round in 0_u64..2_000 {
        // Polled once, or for some microseconds, and dropped wherever it is.
        let next = tail.next(3);
        let some = if round % 2 == 0 {
            next.now_or_never()
        } else {
            tokio::time::timeout(Duration::from_micros(round % 300), next).await.ok()
        };
        met.extend(some.transpose().map_err(failed("read a tail"))?.unwrap_or_default());
        tokio::task::yield_now().await;
    }
    let all = of_crowd(writers).await?;
    let rest = all.len().saturating_sub(met.len());
    if rest > 0 {
        met.extend(read(rig.patience, &mut *tail, rest, 3).await?);
    }
    same(&all, &met)
}

pub(super) async fn services_are_separate(rig: &LogRig) -> Seen {
    // The same category and id: only the service tells them apart.
    let (here, there) = (of("order", "same", "ali")?, of("inventory", "same", "ali")?);
    let first = history(&rig.port, &here, 4).await?;
    let second = history(&rig.port, &there, 6).await?;
    for (aggregate, appended) in [(here, &first), (there, &second)] {
        same(appended, &load(&rig.port, &aggregate, Version::NONE).await?)?;
        let mut tail = tail(&rig.port, &aggregate.service, Position::START).await?;
        same(appended, &read(rig.patience, &mut *tail, appended.len(), 3).await?)?;
        ensure(waits(&mut *tail).await, || {
            format!("the tail of {} met a commit of the other service", aggregate.service)
        })?;
    }
    Ok(())
}

pub(super) async fn the_head_is_the_last_position(rig: &LogRig) -> Seen {
    for service in super::super::SERVICES {
        is_head(&rig.port, service, Position::START).await?;
    }
    let ali = order("ali")?;
    let mut last = (Version::NONE, Position::START);
    for _ in 0..10 {
        let place = acked(&rig.port, &commit(&ali, last.0)).await?;
        last = (place.version, place.position);
        is_head(&rig.port, "order", last.1).await?;
    }
    let stock = of("inventory", "stock_ledger", "cairo")?;
    let place = acked(&rig.port, &commit(&stock, Version::NONE)).await?;
    is_head(&rig.port, "order", last.1).await?;
    is_head(&rig.port, "inventory", place.position).await?;
    let log = (rig.reopen)().await;
    is_head(&log, "order", last.1).await?;
    is_head(&log, "inventory", place.position).await
}

async fn is_head(log: &Log, service: &str, expected: Position) -> Seen {
    let head = log.head(service).await.map_err(failed("ask for the head"))?;
    ensure(head == expected, || {
        format!("the last position of {service} is {expected}, the head {head}")
    })
}

pub(super) async fn ids_stay_apart(rig: &LogRig) -> Seen {
    let every = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~=+:";
    let long = "x".repeat(MAX_ID_BYTES);
    let names: [(&str, &str); 11] = [
        ("order", every),
        (every, "order"),
        ("order", &long),
        // Pairs that meet when names are joined, folded in case, or read as patterns.
        ("a", "b-c"),
        ("a-b", "c"),
        ("case", "Ali"),
        ("case", "ali"),
        ("under", "a_i"),
        ("under", "ali"),
        ("number", "007"),
        ("number", "7"),
    ];
    let mut all: Vec<(AggregateId, Vec<_>)> = Vec::new();
    for (category, id) in names {
        let aggregate = of("order", category, id)?;
        let appended = history(&rig.port, &aggregate, 2).await?;
        all.push((aggregate, appended));
    }
    for (aggregate, appended) in &all {
        same(appended, &load(&rig.port, aggregate, Version::NONE).await?)?;
    }
    let flat: Vec<_> = all.into_iter().flat_map(|(_, appended)| appended).collect();
    let mut tail = tail(&rig.port, "order", Position::START).await?;
    same(&flat, &read(rig.patience, &mut *tail, flat.len(), 100).await?)
}
