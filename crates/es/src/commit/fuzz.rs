//! Bytes that were never stored, and commits of all shapes.

use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 _.:-]{0,12}|\\PC{0,6}"
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn cause() -> impl Strategy<Value = Cause> {
    let times = (any::<i64>(), 1..i64::MAX);
    let ids = (id(), bytes(), text(), prop::option::of(id()));
    let kinds = prop::sample::select(vec![ActorKind::Service, ActorKind::Courier]);
    let actor = (kinds, text(), prop::collection::vec(text(), 0..3), text());
    (times, ids, actor, text()).prop_map(|(times, ids, actor, traceparent)| Cause {
        occurred_at_ms: times.0,
        learned_at_ms: times.1,
        command_id: ids.0,
        request_hash: ids.1,
        story: ids.2,
        causation_id: ids.3,
        actor: Actor { kind: actor.0, id: actor.1, roles: actor.2, warehouse: actor.3 },
        traceparent,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let event = (id(), text(), any::<u32>(), bytes())
        .prop_map(|(id, event_type, schema, bytes)| (id, Payload { event_type, schema, bytes }));
    (cause(), prop::collection::vec(event, 0..4))
        .prop_map(|(cause, events)| Entry { cause, events })
}

fn commit() -> impl Strategy<Value = Commit> {
    let aggregate = ("[a-z]{1,8}", "[a-z_]{1,8}", "[a-zA-Z0-9-]{1,12}");
    let entries = prop::collection::vec(entry(), 0..4);
    (id(), aggregate, 1..u64::MAX, bytes(), entries).prop_map(
        |(commit_id, (service, category, id), number, previous_sha256, entries)| Commit {
            commit_id,
            aggregate: AggregateId { service, category, id },
            number,
            previous_sha256,
            entries,
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_bring_the_decoder_down(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(commit) = Commit::decode(&bytes) {
            prop_assert_eq!(Commit::decode(&commit.encode()).unwrap(), commit);
        }
    }

    #[test]
    fn what_was_encoded_is_decoded(commit in commit()) {
        prop_assert_eq!(Commit::decode(&commit.encode()).unwrap(), commit);
    }

    /// A disk that turns, cuts or repeats bytes makes an error or another commit, nothing worse.
    #[test]
    fn a_damaged_commit_is_told_or_read(
        commit in commit(),
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..9),
        lost in 0_usize..9,
    ) {
        let mut bytes = commit.encode().to_vec();
        let from = at.index(bytes.len());
        let to = from.saturating_add(lost).min(bytes.len());
        bytes.splice(from..to, with);
        match Commit::decode(&bytes) {
            Ok(read) => prop_assert_eq!(Commit::decode(&read.encode()).unwrap(), read),
            Err(told) => prop_assert!(!told.to_string().is_empty()),
        }
    }
}
