//! Words on a terminal: plain text, and colour where a person reads it.

use std::io::IsTerminal;
use std::time::Duration;

/// How text is shown.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    colour: bool,
}

impl Screen {
    pub(crate) fn of_this_terminal() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && std::io::stdout().is_terminal() }
    }

    fn painted(self, code: u8, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.painted(1, text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.painted(2, text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.painted(32, text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.painted(31, text)
    }

    pub(crate) fn event(self, text: &str) -> String {
        self.painted(36, text)
    }

    /// Rows under their headings. The last column is as wide as it likes.
    pub(crate) fn table(self, headings: &[&str], rows: &[Vec<String>]) -> String {
        let heads: Vec<String> = headings.iter().map(|head| (*head).to_owned()).collect();
        let width = |column: usize| {
            let cells = rows.iter().chain([&heads]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        let mut lines = vec![self.dim(&line(&heads))];
        lines.extend(rows.iter().map(line));
        lines.join("\n")
    }
}

/// How long something took, for people.
pub(crate) fn took(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_has_no_colour_where_nobody_reads_it() {
        let rows = vec![
            vec!["TEE-BLK-M".to_owned(), "20".to_owned(), "a".to_owned()],
            vec!["قميص".to_owned(), "7".to_owned(), String::new()],
        ];
        let table = Screen { colour: false }.table(&["sku", "on hand", "note"], &rows);
        assert_eq!(table, "  sku        on hand  note\n  TEE-BLK-M  20       a\n  قميص       7");
    }

    #[test]
    fn times_are_told_in_their_unit() {
        assert_eq!(took(Duration::from_millis(12)), "12 ms");
        assert_eq!(took(Duration::from_millis(1_240)), "1.24 s");
    }

    #[test]
    fn colour_is_put_around_the_text_only() {
        assert_eq!(Screen { colour: true }.good("yes"), "\x1b[32myes\x1b[0m");
    }
}
