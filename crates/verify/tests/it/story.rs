//! Commits written by hand, chained as a log chains them.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use nexus_es::memory::MemoryLog;
use nexus_es::{AggregateId, Append, EventLog, Version};
use nexus_proto::common::v1 as proto;
use nexus_verify::{Invariant, Report, SERVICES, verify_log};
use prost::Message;
use uuid::Uuid;

/// One commit, before it is stored.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) aggregate: AggregateId,
    pub(crate) commit: proto::Commit,
    /// Stored in place of the encoded commit, after it is known what the next one shall name.
    pub(crate) instead: Option<Vec<u8>>,
}

/// All commits in the order in which they are stored.
#[derive(Clone, Default)]
pub(crate) struct Story {
    pub(crate) written: Vec<Written>,
    events: u128,
    now_ms: i64,
}

/// The ids of events and commits are numbers, so that tests can name them.
pub(crate) fn id(number: u128) -> Vec<u8> {
    Uuid::from_u128(number).as_bytes().to_vec()
}

impl Story {
    /// Appends one event as a commit of its own; answers the event's number.
    pub(crate) fn add(&mut self, aggregate: &str, kind: &str, payload: &impl Message) -> u128 {
        self.add_caused(aggregate, kind, payload, None)
    }

    pub(crate) fn add_caused(
        &mut self,
        aggregate: &str,
        kind: &str,
        payload: &impl Message,
        causation: Option<u128>,
    ) -> u128 {
        self.events += 1;
        self.now_ms += 1000;
        let event = proto::Event {
            event_id: id(self.events),
            r#type: kind.to_owned(),
            schema: 1,
            payload: payload.encode_to_vec(),
        };
        let cause = proto::Cause {
            occurred_at_ms: 1_790_000_000_000 + self.now_ms,
            command_id: id(self.events),
            story: "o1".to_owned(),
            causation_id: causation.map(id).unwrap_or_default(),
            actor: Some(proto::Actor {
                kind: proto::actor::Kind::Service.into(),
                id: "test".to_owned(),
                ..proto::Actor::default()
            }),
            ..proto::Cause::default()
        };
        let (service, rest) = aggregate.split_once('/').unwrap();
        let (category, of) = rest.split_once('-').unwrap();
        let aggregate = AggregateId::new(service, category, of).unwrap();
        let commit = proto::Commit {
            commit_id: id(self.events << 64),
            service: service.to_owned(),
            aggregate: category.to_owned(),
            id: of.to_owned(),
            entries: vec![proto::Entry { cause: Some(cause), events: vec![event] }],
            ..proto::Commit::default()
        };
        self.written.push(Written { aggregate, commit, instead: None });
        self.events
    }

    /// Lets time pass.
    pub(crate) fn wait_ms(&mut self, ms: i64) {
        self.now_ms += ms;
    }

    /// The nth commit with an event of this type, from 0.
    pub(crate) fn kind(&mut self, kind: &str, nth: usize) -> &mut Written {
        let of_kind = |written: &&mut Written| written.commit.entries[0].events[0].r#type == kind;
        self.written.iter_mut().filter(of_kind).nth(nth).unwrap()
    }

    /// Takes all commits with an event of this type out.
    pub(crate) fn without(mut self, kind: &str) -> Self {
        self.written.retain(|written| written.commit.entries[0].events[0].r#type != kind);
        self
    }

    /// Numbers, chains and stores it.
    pub(crate) async fn stored(&self) -> MemoryLog {
        let log = MemoryLog::default();
        self.store_in(&log).await;
        log
    }

    pub(crate) async fn store_in(&self, log: &dyn EventLog) {
        let mut heads: HashMap<AggregateId, (u64, Vec<u8>, Version)> = HashMap::new();
        for written in &self.written {
            let head = heads.entry(written.aggregate.clone()).or_default();
            let mut commit = written.commit.clone();
            // A number that is set is meant.
            if commit.number == 0 {
                commit.number = head.0 + 1;
            }
            commit.previous_sha256.clone_from(&head.1);
            let bytes = commit.encode_to_vec();
            let (number, hash) = (commit.number, digest(&SHA256, &bytes).as_ref().to_vec());
            let append = Append {
                aggregate: written.aggregate.clone(),
                expected: head.2,
                commit_id: Uuid::from_slice(&commit.commit_id).unwrap(),
                bytes: Bytes::from(written.instead.clone().unwrap_or(bytes)),
                traceparent: String::new(),
            };
            let appended = log.append(append).await.unwrap();
            *head = (number, hash, appended.version);
        }
    }

    pub(crate) async fn verified(&self) -> Report {
        let log = Arc::new(self.stored().await);
        verify_log(log, &SERVICES).await.unwrap()
    }

    /// Expects that exactly this invariant is found broken; answers the line about it.
    pub(crate) async fn breaks(&self, invariant: Invariant) -> String {
        let report = self.verified().await;
        let broken: Vec<_> =
            report.checks().filter(|check| check.first.is_some()).map(|check| check.id).collect();
        assert_eq!(broken, [invariant.id()], "{report}");
        report.get(invariant).unwrap().to_string()
    }
}

impl Written {
    pub(crate) fn event(&mut self) -> &mut proto::Event {
        &mut self.commit.entries[0].events[0]
    }

    /// Changes the payload of its only event.
    pub(crate) fn change<T: Message + Default>(&mut self, change: impl FnOnce(&mut T)) {
        let event = self.event();
        let mut payload = T::decode(event.payload.as_slice()).unwrap();
        change(&mut payload);
        event.payload = payload.encode_to_vec();
    }
}
