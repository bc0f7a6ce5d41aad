//! What was read here. A server that falls may take its last commits back; until they have come
//! from the log again, readers wait.
//! *Invariant:* nobody reads what is older than what this process has read from there before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::AnyConnection;
use tokio::sync::watch;

use super::read_positions;
use crate::heard::Positions;

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How far a database was read, shared by all that read from it.
#[derive(Clone, Default)]
pub(in crate::views) struct Shown(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    most: Positions,
    now: Option<watch::Receiver<Positions>>,
    fell: Option<Instant>,
}

impl Shown {
    /// From now on all that these positions say counts as read.
    pub(in crate::views) fn follow(&self, positions: watch::Receiver<Positions>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now = Some(positions);
    }

    /// The most that was ever read. Ask it before positions are set back, so that it is kept.
    pub(in crate::views) fn most(&self) -> Positions {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = &state.now {
            let now = now.borrow().clone();
            state.most = std::mem::take(&mut state.most).merged(&now);
        }
        state.most.clone()
    }

    /// The server may have fallen: connections from before are broken.
    pub(in crate::views) fn fell(&self) {
        self.most();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fell = Some(Instant::now());
    }

    /// Whether the server may have fallen since a connection was used that is idle for so long.
    pub(super) fn fell_within(&self, idle: Duration) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.fell.is_some_and(|fell| fell.elapsed() <= idle)
    }

    /// Waits until a new connection sees all of that. One that is older than the fall is broken.
    pub(super) async fn wait_on(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        loop {
            let most = self.most();
            let there = read_positions(&mut *connection).await?;
            let holds = |(service, position)| there.0.get(service).is_some_and(|at| at >= position);
            if most.0.iter().filter(|(_, position)| position.0 > 0).all(holds) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
