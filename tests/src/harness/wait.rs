//! Waiting for a condition with a deadline.

use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::time::{MissedTickBehavior, interval, timeout};

const POLL: Duration = Duration::from_millis(40);

/// Asks `probe` again and again until it answers something.
///
/// # Errors
/// What `probe` failed with, or that the time is over, naming `what` was waited for.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut probe: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = async {
        loop {
            ticks.tick().await;
            if let Some(found) = probe().await.with_context(|| format!("while waiting {what}"))? {
                return Ok(found);
            }
        }
    };
    timeout(patience, asking)
        .await
        .unwrap_or_else(|_| Err(anyhow!("waited {} s {what}, in vain", patience.as_secs())))
}
