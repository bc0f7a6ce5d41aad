//! The log itself: numbers, ids, whole commits, the chain of hashes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use nexus_es::commit::Stored;
use nexus_es::{AggregateId, Position};
use nexus_proto::common::v1 as proto;
use prost::Message;

use crate::facts::{Id, Place, id_of};
use crate::report::{Invariant, Report};

type Hash = [u8; 32];

/// What is kept of each aggregate: its last commit, and whether the link before it is broken.
struct Last {
    aggregate: Arc<AggregateId>,
    number: u64,
    hash: Hash,
    position: Position,
    /// The commit before, when the last one does not name its hash.
    suspect: Option<Position>,
}

#[derive(Default)]
pub(crate) struct Chain {
    last: HashMap<AggregateId, Last>,
    events: HashSet<Id>,
}

impl Chain {
    /// Checks one stored commit; answers it when it can be read.
    pub(crate) fn hear(
        &mut self,
        stored: &Stored,
        report: &mut Report,
    ) -> Option<(Place, proto::Commit)> {
        let aggregate = self
            .last
            .get(&stored.aggregate)
            .map_or_else(|| Arc::new(stored.aggregate.clone()), |last| Arc::clone(&last.aggregate));
        let place = Place { aggregate, position: stored.position };
        report.count(Invariant::I5);
        let commit = match whole(stored) {
            Ok(commit) => Some(commit),
            Err(what) => {
                report.violated(Invariant::I5, &place, what);
                None
            }
        };
        self.link(stored, commit.as_ref(), &place, report);
        let commit = commit?;
        for event in commit.entries.iter().flat_map(|entry| &entry.events) {
            let Some(id) = id_of(&event.event_id) else { continue };
            let fresh = self.events.insert(id);
            report.expect(Invariant::I3, fresh, &place, || {
                format!("the event id {} comes a second time", hex::encode(&event.event_id))
            });
        }
        Some((place, commit))
    }

    /// True when the event stands in what was read.
    pub(crate) fn has(&self, event: Id) -> bool {
        self.events.contains(&event)
    }

    /// What only the end of the logs shows.
    pub(crate) fn end(&self, report: &mut Report) {
        for last in self.last.values() {
            // Nothing follows that could tell which of the two was changed.
            if let Some(position) = last.suspect {
                changed(&last.aggregate, position, report);
            }
        }
    }

    fn link(
        &mut self,
        stored: &Stored,
        commit: Option<&proto::Commit>,
        place: &Place,
        report: &mut Report,
    ) {
        let before = self.last.remove(&stored.aggregate);
        let expected = before.as_ref().map_or(1, |last| last.number.saturating_add(1));
        let number = commit.map_or(expected, |commit| commit.number);
        report.expect(Invariant::I3, number == expected, place, || {
            format!("commit number {number} follows on {}, not {expected}", expected - 1)
        });
        let mut suspect = None;
        if let Some(commit) = commit
            && number == expected
        {
            report.count(Invariant::I6);
            suspect = judge(before.as_ref(), commit, place, report);
        } else if let Some(last) = &before
            && let Some(position) = last.suspect
        {
            changed(&place.aggregate, position, report);
        }
        let (aggregate, position) = (Arc::clone(&place.aggregate), stored.position);
        let last = Last { aggregate, number, hash: sha256(&stored.bytes), position, suspect };
        self.last.insert(stored.aggregate.clone(), last);
    }
}

/// Compares the hash that `commit` names with the commit before it. A broken link alone means that
/// the commit before was changed; two in a row, that the one between them was: its own bytes and
/// the hash that it names.
fn judge(
    before: Option<&Last>,
    commit: &proto::Commit,
    place: &Place,
    report: &mut Report,
) -> Option<Position> {
    let Some(last) = before else {
        if !commit.previous_sha256.is_empty() {
            let what = "the first commit names a commit before it: what stood there was removed";
            report.violated(Invariant::I6, place, what);
        }
        return None;
    };
    let intact = commit.previous_sha256 == last.hash;
    match (last.suspect, intact) {
        (None, true) => None,
        (None, false) => Some(last.position),
        (Some(suspect), true) => {
            changed(&place.aggregate, suspect, report);
            None
        }
        (Some(_), false) => {
            changed(&place.aggregate, last.position, report);
            None
        }
    }
}

fn changed(aggregate: &Arc<AggregateId>, position: Position, report: &mut Report) {
    let place = Place { aggregate: Arc::clone(aggregate), position };
    let what = "the commit is not the one that was stored: the next one names another hash";
    report.violated(Invariant::I6, &place, what);
}

fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    hash
}

/// The commit, if nothing of it is missing.
fn whole(stored: &Stored) -> Result<proto::Commit, String> {
    let commit = proto::Commit::decode(&*stored.bytes)
        .map_err(|error| format!("the bytes are not a commit: {error}"))?;
    let AggregateId { service, category, id } = &stored.aggregate;
    if (&commit.service, &commit.aggregate, &commit.id) != (service, category, id) {
        return Err(format!(
            "it says that it belongs to {}/{}-{}",
            commit.service, commit.aggregate, commit.id
        ));
    }
    if id_of(&commit.commit_id).is_none() {
        return Err("its id is not a UUID".to_owned());
    }
    if commit.number == 0 {
        return Err("it has no number".to_owned());
    }
    if commit.entries.is_empty() {
        return Err("it holds no entry".to_owned());
    }
    for entry in &commit.entries {
        if entry.cause.as_ref().is_none_or(|cause| cause.actor.is_none()) {
            return Err("an entry does not say who caused it".to_owned());
        }
        if entry.events.is_empty() {
            return Err("an entry holds no event".to_owned());
        }
        for event in &entry.events {
            whole_event(event, category)?;
        }
    }
    Ok(commit)
}

fn whole_event(event: &proto::Event, category: &str) -> Result<(), String> {
    if id_of(&event.event_id).is_none() {
        return Err(format!("the id of {} is not a UUID", event.r#type));
    }
    if event.schema == 0 {
        return Err(format!("{} has no schema number", event.r#type));
    }
    match event.r#type.split_once('.') {
        Some((of, name)) if of == category && !name.is_empty() => Ok(()),
        _ => Err(format!("an event of type \"{}\" is not one of {category}", event.r#type)),
    }
}
