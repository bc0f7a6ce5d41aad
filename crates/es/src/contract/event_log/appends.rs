//! What appending promises.

use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;

use crate::commit::MAX_COMMIT_BYTES;
use crate::ids::{Position, Version};
use crate::log::{Append, AppendError, Appended, EventLog};

use super::super::{Rig, Seen, ensure, failed};
use super::steps::{Log, acked, commit, commit_of, history, load, order, read, same, settle, tail};

type LogRig = Rig<dyn EventLog>;

pub(super) async fn acknowledged_commits_outlive_a_reopen(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    let mut appended = history(&rig.port, &ali, 20).await?;
    let log = (rig.reopen)().await;
    same(&appended, &load(&log, &ali, Version::NONE).await?)?;
    let version = appended.last().map_or(Version::NONE, |(_, place)| place.version);
    let next = commit(&ali, version);
    appended.push((next.clone(), acked(&log, &next).await?));
    let log = (rig.reopen)().await;
    same(&appended, &load(&log, &ali, Version::NONE).await?)?;
    let mut tail = tail(&log, "order", Position::START).await?;
    same(&appended, &read(rig.patience, &mut *tail, appended.len(), 100).await?)
}

/// Appends all at once, in tasks of their own.
async fn at_once(
    log: &Log,
    appends: &[Append],
) -> Result<Vec<(Append, Result<Appended, AppendError>)>, String> {
    let mut tasks = JoinSet::new();
    for append in appends.iter().cloned() {
        let log = log.clone();
        tasks.spawn(async move {
            let answer = settle(&log, &append).await;
            (append, answer)
        });
    }
    let mut answers = Vec::with_capacity(appends.len());
    while let Some(answer) = tasks.join_next().await {
        answers.push(answer.map_err(failed("append in a task"))?);
    }
    Ok(answers)
}

pub(super) async fn one_of_concurrent_writers_wins(rig: &LogRig) -> Seen {
    let mona = order("mona")?;
    let mut version = Version::NONE;
    let mut won = Vec::new();
    for _ in 0..10 {
        let rivals: Vec<_> = (0..16).map(|_| commit(&mona, version)).collect();
        let mut winners = Vec::new();
        for (append, answer) in at_once(&rig.port, &rivals).await? {
            match answer {
                Ok(place) => winners.push((append, place)),
                Err(AppendError::Conflict) => {}
                Err(error) => return Err(failed("append")(error)),
            }
        }
        let [winner] = winners.as_slice() else {
            return Err(format!("{} of 16 writers on {version:?} won", winners.len()));
        };
        version = winner.1.version;
        won.push(winner.clone());
    }
    same(&won, &load(&rig.port, &mona, Version::NONE).await?)
}

async fn conflicts(log: &Log, append: &Append) -> Seen {
    match settle(log, append).await {
        Err(AppendError::Conflict) => Ok(()),
        answer => Err(format!("appending on {:?} answered {answer:?}", append.expected)),
    }
}

pub(super) async fn a_conflict_stores_nothing(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    let appended = history(&rig.port, &ali, 3).await?;
    let stale = appended.first().map_or(Version::NONE, |(_, place)| place.version);
    for _ in 0..3 {
        // Whatever it answers, here it counts what is stored.
        settle(&rig.port, &commit(&ali, stale)).await.ok();
    }
    let stored = load(&rig.port, &ali, Version::NONE).await?;
    same(&appended, &stored)?;
    let last = commit(&order("mona")?, Version::NONE);
    let place = acked(&rig.port, &last).await?;
    let mut tail = tail(&rig.port, "order", Position::START).await?;
    let all: Vec<_> = appended.into_iter().chain([(last, place)]).collect();
    same(&all, &read(rig.patience, &mut *tail, all.len(), 100).await?)
}

pub(super) async fn any_other_version_conflicts(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    conflicts(&rig.port, &commit(&ali, Version(1_000_000))).await?;
    let appended = history(&rig.port, &ali, 3).await?;
    let versions: Vec<_> = appended.iter().map(|(_, place)| place.version).collect();
    let [first, second, last] = versions.as_slice() else {
        return Err(format!("three appends answered {} places", versions.len()));
    };
    for version in [Version::NONE, *first, *second, Version(last.0 + 1)] {
        conflicts(&rig.port, &commit(&ali, version)).await?;
    }
    conflicts(&rig.port, &commit(&order("mona")?, *last)).await
}

pub(super) async fn a_resent_commit_is_stored_once(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    let first = commit(&ali, Version::NONE);
    let answers = at_once(&rig.port, &vec![first.clone(); 8]).await?;
    let mut places = Vec::new();
    for (_, answer) in answers {
        places.push(answer.map_err(failed("append one commit eight times at once"))?);
    }
    let Some(place) = places.first().copied() else { return Err("no answer".to_owned()) };
    ensure(places.iter().all(|other| *other == place), || format!("two places: {places:?}"))?;
    let second = commit(&ali, place.version);
    let second_place = acked(&rig.port, &second).await?;
    for (append, place) in [(&first, place), (&second, second_place)] {
        let again = acked(&rig.port, append).await?;
        ensure(again == place, || format!("stored at {place:?}, resent to {again:?}"))?;
    }
    // The id alone does not make it the same commit: other bytes are somebody else's decision.
    let changed = Append { bytes: commit(&ali, Version::NONE).bytes, ..first.clone() };
    conflicts(&rig.port, &changed).await?;
    let log = (rig.reopen)().await;
    let again = acked(&log, &first).await?;
    ensure(again == place, || format!("stored at {place:?}, resent after reopen to {again:?}"))?;
    let all = [(first, place), (second, second_place)];
    same(&all, &load(&log, &ali, Version::NONE).await?)
}

pub(super) async fn an_unknown_answer_is_settled_by_resending(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    let mut version = Version::NONE;
    let mut appended = Vec::new();
    for round in 0_u64..30 {
        let append = commit(&ali, version);
        // The caller gives up waiting, sooner or later: whether it is stored is not known.
        let lost = rig.port.append(append.clone());
        let patience = Duration::from_micros(round * 40);
        let heard = if round % 3 == 0 {
            lost.now_or_never()
        } else {
            tokio::time::timeout(patience, lost).await.ok()
        };
        if let Some(Err(error)) = heard
            && !matches!(error, AppendError::Unknown(_))
        {
            return Err(failed("append")(error));
        }
        let place = acked(&rig.port, &append).await?;
        version = place.version;
        appended.push((append, place));
    }
    same(&appended, &load(&rig.port, &ali, Version::NONE).await?)?;
    let mut tail = tail(&rig.port, "order", Position::START).await?;
    same(&appended, &read(rig.patience, &mut *tail, appended.len(), 100).await?)
}

pub(super) async fn the_size_limit_is_exact(rig: &LogRig) -> Seen {
    let ali = order("ali")?;
    match settle(&rig.port, &commit_of(&ali, Version::NONE, MAX_COMMIT_BYTES + 1)).await {
        Err(AppendError::TooLarge { .. }) => {}
        answer => return Err(format!("one byte over the limit answered {answer:?}")),
    }
    let largest = commit_of(&ali, Version::NONE, MAX_COMMIT_BYTES);
    let place = acked(&rig.port, &largest).await?;
    same(&[(largest, place)], &load(&rig.port, &ali, Version::NONE).await?)
}

pub(super) async fn many_aggregates_append_side_by_side(rig: &LogRig) -> Seen {
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let log = rig.port.clone();
        tasks.spawn(async move {
            let aggregate = order(&format!("order-{number}"))?;
            let appended = history(&log, &aggregate, 5).await?;
            same(&appended, &load(&log, &aggregate, Version::NONE).await?)?;
            Ok::<_, String>(appended)
        });
    }
    let mut all = Vec::new();
    while let Some(appended) = tasks.join_next().await {
        all.extend(appended.map_err(failed("append in a task"))??);
    }
    all.sort_by_key(|(_, place)| place.position);
    let mut tail = tail(&rig.port, "order", Position::START).await?;
    same(&all, &read(rig.patience, &mut *tail, all.len(), 128).await?)
}
