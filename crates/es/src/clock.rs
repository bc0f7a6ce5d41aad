//! The one reader of the wall clock outside `runtime`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds, now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock that the others ask")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
