//! Placeholders for statements of many rows, which spare the database a round trip each.

/// Rows in one statement at most.
pub(super) const ROWS: usize = 100;

/// `($1, $2), ($3, $4)` for two rows of two columns.
pub(super) fn values(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let marks = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", marks.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// A number for a BIGINT column.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number out of a page token; a token that was tampered with leads to an empty page.
pub(super) fn from_token(text: Option<&String>) -> i64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_on_through_the_rows() {
        assert_eq!(values(2, 2), "($1, $2), ($3, $4)");
    }
}
