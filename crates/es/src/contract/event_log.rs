//! What the event log promises.

mod appends;
mod reads;
mod steps;

use futures::FutureExt;

use crate::log::EventLog;

use super::Promise;

pub(super) const PROMISES: &[Promise<dyn EventLog>] = &[
    ("an acknowledged commit is there after a reopen", |rig| {
        appends::acknowledged_commits_outlive_a_reopen(rig).boxed()
    }),
    ("of concurrent writers on one version one wins", |rig| {
        appends::one_of_concurrent_writers_wins(rig).boxed()
    }),
    ("a conflict stores nothing", |rig| appends::a_conflict_stores_nothing(rig).boxed()),
    ("a version that the aggregate is not at conflicts", |rig| {
        appends::any_other_version_conflicts(rig).boxed()
    }),
    ("an identical commit answers its place and is stored once", |rig| {
        appends::a_resent_commit_is_stored_once(rig).boxed()
    }),
    ("an unknown answer is settled by resending", |rig| {
        appends::an_unknown_answer_is_settled_by_resending(rig).boxed()
    }),
    ("a commit over the limit is refused, one at the limit is not", |rig| {
        appends::the_size_limit_is_exact(rig).boxed()
    }),
    ("many aggregates append side by side", |rig| {
        appends::many_aggregates_append_side_by_side(rig).boxed()
    }),
    ("commits come back byte for byte", |rig| reads::commits_come_back_whole(rig).boxed()),
    ("load answers exactly what is after a version", |rig| reads::load_is_exact(rig).boxed()),
    ("versions grow", |rig| reads::versions_grow(rig).boxed()),
    ("positions grow, and a tail meets every commit once, in order", |rig| {
        reads::a_tail_meets_every_commit_in_order(rig).boxed()
    }),
    ("a tail starts right after any position", |rig| reads::a_tail_starts_anywhere(rig).boxed()),
    ("a tail waits for news and wakes", |rig| reads::a_waiting_tail_wakes(rig).boxed()),
    ("a dropped wait loses nothing", |rig| reads::a_dropped_wait_loses_nothing(rig).boxed()),
    ("the logs of two services are separate", |rig| reads::services_are_separate(rig).boxed()),
    ("the head is the last position", |rig| reads::the_head_is_the_last_position(rig).boxed()),
    ("ids may hold every allowed character", |rig| reads::ids_stay_apart(rig).boxed()),
];
