//! The row-by-row report of an import: a CSV file, and its counts on the screen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::csv_file::CsvFile;

const FILE: &str = "import-report.csv";
/// The refused rows of the file that was brought in, to be mended and brought in.
const REFUSED: &str = "import-refused.csv";
const HEADER: [&str; 10] =
    ["file", "row", "record", "outcome", "reason", "field", "detail", "advice", "id", "amount"];
/// Refused rows that are shown beside the counts.
const EXAMPLES: usize = 20;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It would be sent; nothing was.
    Planned,
    Created,
    /// It was there already; nothing was added.
    Existing,
    Updated,
    /// It is understood and not ours to enter: no order.
    SetAside,
    Refused,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Created => "created",
            Self::Existing => "existing",
            Self::Updated => "updated",
            Self::SetAside => "set_aside",
            Self::Refused => "refused",
        })
    }
}

/// One row of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Of which file.
    pub(crate) file: String,
    /// Line of the file, the header being 1.
    pub(crate) row: u64,
    /// What the row is about: an invoice, a SKU, a bin.
    pub(crate) record: String,
    pub(crate) outcome: Outcome,
    /// Stable, UPPER_SNAKE; empty for what went well.
    pub(crate) reason: String,
    /// The column that it is about; empty where it is the row.
    pub(crate) field: String,
    /// A sentence.
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) advice: String,
    /// The id that the API gave.
    pub(crate) id: String,
    /// What an order costs.
    pub(crate) amount: String,
}

impl Row {
    pub(crate) fn new(file: &str, row: u64, record: &str, outcome: Outcome) -> Self {
        Self {
            file: file.to_owned(),
            row,
            record: record.to_owned(),
            outcome,
            reason: String::new(),
            field: String::new(),
            detail: String::new(),
            advice: String::new(),
            id: String::new(),
            amount: String::new(),
        }
    }

    pub(crate) fn because(mut self, reason: &str, detail: impl Into<String>) -> Self {
        reason.clone_into(&mut self.reason);
        self.detail = detail.into();
        self
    }

    pub(crate) fn with_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }
}

/// All rows of one run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// Rows per outcome and reason.
    pub(crate) fn counts(&self) -> BTreeMap<(Outcome, &str), u64> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            *counts.entry((row.outcome, row.reason.as_str())).or_default() += 1;
        }
        counts
    }

    pub(crate) fn rows_of(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }

    pub(crate) fn any_refused(&self) -> bool {
        self.rows.iter().any(|row| row.outcome == Outcome::Refused)
    }

    /// The first rows that were refused for a reason, as examples.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.outcome == Outcome::Refused)
    }

    /// Lines of the file that were refused.
    pub(crate) fn refused_rows(&self) -> BTreeSet<u64> {
        self.refused().map(|row| row.row).collect()
    }

    /// Counts, the first refused rows, and where the rest is.
    pub(crate) fn tell(&self, path: &Path) {
        for ((outcome, reason), count) in self.counts() {
            println!("{count:>8}  {outcome} {reason}");
        }
        for row in self.refused().take(EXAMPLES) {
            let advice = if row.advice.is_empty() { "" } else { "; " };
            println!(
                "  {}:{} {}: {}{advice}{}",
                row.file, row.row, row.record, row.detail, row.advice
            );
        }
        let more = self.refused().count().saturating_sub(EXAMPLES);
        if more > 0 {
            println!("  and {more} more");
        }
        println!("report: {}", path.display());
    }

    /// Writes the refused rows of a file into a directory; answers their path, if there are any.
    pub(crate) fn write_refused(
        &self,
        file: &CsvFile,
        directory: &Path,
    ) -> anyhow::Result<Option<PathBuf>> {
        let (rows, path) = (self.refused_rows(), directory.join(REFUSED));
        if rows.is_empty() {
            // What an earlier run left would be taken for this one's.
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", path.display()))
                }
                _ => Ok(None),
            };
        }
        std::fs::write(&path, file.only(&rows)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(path))
    }

    /// Writes the report into a directory, in the order of the input; answers its path.
    pub(crate) fn write(&mut self, directory: &Path) -> anyhow::Result<PathBuf> {
        self.rows.sort_by(|a, b| (&a.file, a.row).cmp(&(&b.file, b.row)));
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join(FILE);
        let bytes = self.csv()?;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn csv(&self) -> anyhow::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(HEADER)?;
        for row in &self.rows {
            writer.write_record([
                &row.file,
                &row.row.to_string(),
                &row.record,
                &row.outcome.to_string(),
                &row.reason,
                &row.field,
                &row.detail,
                &row.advice,
                &row.id,
                &row.amount,
            ])?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Report {
        let mut report = Report::default();
        report.add(
            Row::new("lines.csv", 3, "536365/2", Outcome::Refused)
                .because("BAD_UNITS", "quantity \"six\" is no whole number"),
        );
        report.add(Row::new("lines.csv", 2, "536365", Outcome::Created).with_id("o-1"));
        report
    }

    #[test]
    fn the_report_is_csv_in_the_order_of_the_input() {
        let directory = tempfile::tempdir().unwrap();
        let path = example().write(directory.path()).unwrap();
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "file,row,record,outcome,reason,field,detail,advice,id,amount\n\
             lines.csv,2,536365,created,,,,,o-1,\n\
             lines.csv,3,536365/2,refused,BAD_UNITS,,\
             \"quantity \"\"six\"\" is no whole number\",,,\n"
        );
    }

    #[test]
    fn rows_are_counted_by_outcome_and_reason() {
        let report = example();
        assert!(report.any_refused());
        let counts = report.counts();
        assert_eq!(counts.get(&(Outcome::Refused, "BAD_UNITS")), Some(&1));
        assert_eq!(counts.get(&(Outcome::Created, "")), Some(&1));
    }
}
