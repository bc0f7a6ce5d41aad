//! Times of the outer contract: RFC 3339, UTC, milliseconds.

use jiff::Timestamp;

/// Unix milliseconds as RFC 3339 in UTC, for example `2026-11-25T21:53:46.120Z`; empty when the
/// number is no time.
#[must_use]
pub fn rfc3339(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// Reads RFC 3339 with any offset as unix milliseconds.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_and_offsets_are_understood() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc3339("1970-01-01T02:00:00.120+02:00"), Some(120));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
