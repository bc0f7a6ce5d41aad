//! How fast messages may go: waits after a no, and accounts that rest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nexus_es::new_id;
use nexus_runtime::Ports;

use crate::channel::Verdict;
use crate::config::Config;
use crate::domain::message::MAX_ATTEMPTS;

/// What follows from a no for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// When to try again; never, when there is none.
    pub(crate) retry_at_ms: Option<i64>,
    /// At most so many attempts in all; no limit, when there is none.
    pub(crate) limit: Option<u32>,
}

/// What `verdict` on `attempt` means.
pub(crate) fn again(
    verdict: Verdict,
    attempt: u32,
    now_ms: i64,
    ports: &Ports,
    config: &Config,
) -> Again {
    let after = |wait: Duration| Some(now_ms.saturating_add(millis(ports.scaled(wait))));
    let growing = jittered(doubled(config.back_off_min, attempt, config.back_off_max));
    match verdict {
        Verdict::Retry { attempts } => Again { retry_at_ms: after(growing), limit: Some(attempts) },
        // Not the message's fault: it waits until its age makes it old news.
        Verdict::SlowDown => Again { retry_at_ms: after(growing), limit: None },
        Verdict::StopChannel | Verdict::StopTemplate => {
            Again { retry_at_ms: after(config.stopped), limit: None }
        }
        Verdict::Pair => {
            let wait = Duration::from_secs(4_u64.saturating_pow(attempt.min(MAX_ATTEMPTS)));
            Again { retry_at_ms: after(wait), limit: Some(MAX_ATTEMPTS) }
        }
        Verdict::Final => Again { retry_at_ms: None, limit: None },
    }
}

/// Milliseconds of a wait.
pub(crate) fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

fn doubled(min: Duration, attempt: u32, max: Duration) -> Duration {
    min.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(max)
}

/// Up to a quarter less, so that many do not come back at once.
fn jittered(wait: Duration) -> Duration {
    let spread = f64::from(new_id().as_bytes().last().copied().unwrap_or_default()) / 255.0;
    wait.mul_f64(1.0 - spread / 4.0)
}

/// Accounts that rest: no message goes out from them before a time. Kept in memory only: after a
/// restart one message tries, and the channel says it again.
#[derive(Default)]
pub(crate) struct Rests(Mutex<HashMap<String, Rest>>);

#[derive(Clone, Copy)]
struct Rest {
    /// New secrets end a rest.
    rotations: i64,
    until_ms: i64,
}

impl Rests {
    /// Lets `account` rest.
    pub(crate) fn rest(&self, account: &str, rotations: i64, until_ms: i64) {
        let rest = Rest { rotations, until_ms };
        self.lock().insert(account.to_owned(), rest);
    }

    /// Until when `account` rests, if it does.
    pub(crate) fn until(&self, account: &str, rotations: i64, now_ms: i64) -> Option<i64> {
        let rest = self.lock().get(account).copied()?;
        (rest.rotations == rotations && rest.until_ms > now_ms).then_some(rest.until_ms)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_longest() {
        let (min, max) = (Duration::from_secs(2), Duration::from_secs(300));
        let waits: Vec<_> = [1, 2, 3, 8, 40].map(|n| doubled(min, n, max).as_secs()).into();
        assert_eq!(waits, [2, 4, 8, 256, 300]);
    }

    #[test]
    fn an_account_rests_until_its_time_or_until_it_has_new_secrets() {
        let rests = Rests::default();
        rests.rest("acc", 0, 100);
        assert_eq!(rests.until("acc", 0, 99), Some(100));
        assert_eq!(rests.until("acc", 0, 100), None);
        assert_eq!(rests.until("acc", 1, 99), None);
        assert_eq!(rests.until("other", 0, 0), None);
    }
}
