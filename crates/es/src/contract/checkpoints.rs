//! What checkpoints promise.

use std::sync::Arc;

use futures::FutureExt;

use crate::ids::Position;
use crate::ports::Checkpoints;

use super::{Promise, Rig, Seen, ensure, failed};

pub(super) const PROMISES: &[Promise<dyn Checkpoints>] = &[
    ("the last saved position is loaded", |rig| the_last_one_counts(rig).boxed()),
    ("processes and services are apart", |rig| each_pair_has_its_own(rig).boxed()),
    ("a position outlives a reopen", |rig| a_position_outlives_a_reopen(rig).boxed()),
];

async fn save(port: &Arc<dyn Checkpoints>, process: &str, service: &str, position: u64) -> Seen {
    let saved = port.save(process, service, Position(position)).await;
    saved.map_err(failed("save a checkpoint"))
}

async fn stands_at(
    port: &Arc<dyn Checkpoints>,
    process: &str,
    service: &str,
    position: u64,
) -> Seen {
    let loaded = port.load(process, service).await.map_err(failed("load a checkpoint"))?;
    ensure(loaded == Position(position), || {
        format!("{process} should stand at {position} of {service}, and stands at {loaded}")
    })
}

async fn the_last_one_counts(rig: &Rig<dyn Checkpoints>) -> Seen {
    stands_at(&rig.port, "confirm", "order", 0).await?;
    // A smaller one is kept too, and so is the largest that a log can reach.
    for position in [7, 900, 3, 0, 9_007_199_254_740_993, 4] {
        save(&rig.port, "confirm", "order", position).await?;
        stands_at(&rig.port, "confirm", "order", position).await?;
    }
    Ok(())
}

async fn each_pair_has_its_own(rig: &Rig<dyn Checkpoints>) -> Seen {
    let pairs = [("a", "b-c"), ("a-b", "c"), ("confirm", "order"), ("confirm", "inventory")];
    for ((process, service), position) in pairs.into_iter().zip(1..) {
        save(&rig.port, process, service, position).await?;
    }
    for ((process, service), position) in pairs.into_iter().zip(1..) {
        stands_at(&rig.port, process, service, position).await?;
    }
    stands_at(&rig.port, "order", "confirm", 0).await
}

async fn a_position_outlives_a_reopen(rig: &Rig<dyn Checkpoints>) -> Seen {
    save(&rig.port, "confirm", "order", 41).await?;
    save(&rig.port, "confirm", "order", 42).await?;
    stands_at(&(rig.reopen)().await, "confirm", "order", 42).await
}
