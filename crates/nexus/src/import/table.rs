//! A CSV file with one thing a row: read, held against what is there, sent, and answered row by
//! row.
//! *Invariant:* what is there already and says the same is not sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::AT_ONCE;
use super::progress::Progress;
use super::report::{Outcome, Report, Row};
use crate::cli::ImportFileArgs;
use crate::client::{Answer, CallError, Client};

/// A kind of file.
pub(crate) trait Table {
    /// What the rows are, in the plural.
    fn what(&self) -> &'static str;
    /// Columns that may stand in the header, and whether they must.
    fn columns(&self) -> &'static [(&'static str, bool)];
    /// What a row asks for, or a reason and a sentence why it asks for nothing.
    fn entry(&self, fields: &Fields<'_>) -> Result<Entry, (&'static str, String)>;
    /// What is there already, by the names of entries.
    async fn known(
        &self,
        client: &Client,
        entries: &[Entry],
    ) -> Result<BTreeMap<String, Value>, CallError>;
}

/// What a row asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) row: u64,
    /// Names the thing within the file and among what is known.
    pub(crate) name: String,
    /// What makes it.
    pub(crate) path: String,
    pub(crate) body: Value,
    /// What of the body can be found again in what is known.
    pub(crate) says: Value,
    /// What changes it when it is there and says something else.
    pub(crate) change: Change,
    /// False when the same thing may stand in several rows.
    pub(crate) once: bool,
    /// For calls that count once however often they are made; others get a key of this run.
    pub(crate) key: Option<String>,
}

/// How an entry that is there already is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Like making it.
    Again,
    /// With a PATCH.
    Patch { path: String, body: Value },
}

/// The fields of one row by column.
pub(crate) struct Fields<'a> {
    columns: &'a [String],
    record: &'a csv::StringRecord,
    pub(crate) row: u64,
}

impl Fields<'_> {
    /// A field without spaces at its ends; empty when there is no such column.
    pub(crate) fn get(&self, column: &str) -> &str {
        let place = self.columns.iter().position(|name| name == column);
        place.and_then(|place| self.record.get(place)).unwrap_or_default().trim()
    }

    /// A field that must not be empty.
    pub(crate) fn required(&self, column: &str) -> Result<&str, (&'static str, String)> {
        match self.get(column) {
            "" => Err(("MISSING", format!("{column} is empty"))),
            text => Ok(text),
        }
    }

    /// A whole number; `None` for an empty field.
    pub(crate) fn units(&self, column: &str) -> Result<Option<u32>, (&'static str, String)> {
        match self.get(column) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                ("BAD_NUMBER", format!("{column} \"{text}\" is no whole number from 0"))
            }),
        }
    }
}

pub(crate) async fn run(args: &ImportFileArgs, table: &impl Table) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let file = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read(&args.file)
        .with_context(|| format!("cannot read {}", args.file.display()))?;
    let entries = read(&text, &file, table, &mut report)?;
    let sent = if args.dry_run {
        let planned =
            entries.iter().map(|one| Row::new(&file, one.row, &one.name, Outcome::Planned));
        report.extend(planned);
        Ok(())
    } else {
        match super::reach(&args.reach).await {
            Ok(client) => send(&client, &file, table, entries, &mut report).await,
            Err(code) => return Ok(code),
        }
    };
    let path = report.write(&args.reach.data)?;
    for ((outcome, reason), count) in report.counts() {
        println!("{count:>8}  {outcome} {reason}");
    }
    for row in report.refused().take(5) {
        println!("  {}:{} {}: {}", row.file, row.row, row.record, row.detail);
    }
    println!("report: {}", path.display());
    sent.context("the import stopped: run it again, it goes on from here")?;
    Ok(if report.any_refused() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads all rows; those that ask for nothing are refused.
fn read(
    text: &[u8],
    file: &str,
    table: &impl Table,
    report: &mut Report,
) -> anyhow::Result<Vec<Entry>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let columns: Vec<String> =
        reader.headers()?.iter().map(|name| name.trim().to_lowercase()).collect();
    check(&columns, table)?;
    let (mut entries, mut seen) = (Vec::new(), BTreeSet::new());
    for record in reader.into_records() {
        let record = record.with_context(|| format!("cannot read {file}"))?;
        let row = record.position().map(csv::Position::line).unwrap_or_default();
        let fields = Fields { columns: &columns, record: &record, row };
        let mut refuse = |name: &str, reason, sentence: String| {
            report.add(Row::new(file, row, name, Outcome::Refused).because(reason, sentence));
        };
        if record.len() != columns.len() {
            let sentence = format!("{} fields where {} are named", record.len(), columns.len());
            refuse(record.get(0).unwrap_or_default(), "UNREADABLE", sentence);
            continue;
        }
        match table.entry(&fields) {
            Err((reason, sentence)) => {
                refuse(record.get(0).unwrap_or_default(), reason, sentence);
            }
            Ok(entry) if entry.once && !seen.insert(entry.name.clone()) => {
                refuse(&entry.name, "TWICE", "this stands in an earlier row".to_owned());
            }
            Ok(entry) => entries.push(entry),
        }
    }
    Ok(entries)
}

fn check(columns: &[String], table: &impl Table) -> anyhow::Result<()> {
    let known = table.columns();
    let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    for column in columns {
        if !known.iter().any(|(name, _)| name == column) {
            bail!("there is no column \"{column}\" for {}: {}", table.what(), names());
        }
    }
    for (name, required) in known {
        if *required && !columns.iter().any(|column| column == name) {
            bail!("{} need a column \"{name}\"; the first line names the columns", table.what());
        }
    }
    Ok(())
}

async fn send(
    client: &Client,
    file: &str,
    table: &impl Table,
    entries: Vec<Entry>,
    report: &mut Report,
) -> Result<(), CallError> {
    let known = table.known(client, &entries).await?;
    let run = nexus_es::new_id().to_string();
    let mut progress = Progress::new(table.what(), entries.len());
    let call = |entry: Entry| one(client, &known, &run, entry);
    let mut answers = stream::iter(entries).map(call).buffer_unordered(AT_ONCE);
    while let Some(answered) = answers.next().await {
        let (entry, outcome) = answered?;
        report.add(match outcome {
            Ok(outcome) => Row::new(file, entry.row, &entry.name, outcome),
            Err((reason, sentence)) => {
                let row = Row::new(file, entry.row, &entry.name, Outcome::Refused);
                row.because(&reason, sentence)
            }
        });
        progress.step();
    }
    progress.end();
    Ok(())
}

type Told = Result<Outcome, (String, String)>;

async fn one(
    client: &Client,
    known: &BTreeMap<String, Value>,
    run: &str,
    entry: Entry,
) -> Result<(Entry, Told), CallError> {
    let key = entry.key.clone().unwrap_or_else(|| format!("import-{run}-{}", entry.row));
    let made = async || client.post(&entry.path, &key, &entry.body).await;
    let (answer, outcome) = match known.get(&entry.name) {
        Some(there) if says(there, &entry.says) => return Ok((entry, Ok(Outcome::Existing))),
        Some(_) => match &entry.change {
            Change::Again => (made().await, Outcome::Updated),
            Change::Patch { path, body } => {
                (client.patch(path, &key, body).await, Outcome::Updated)
            }
        },
        None => (made().await, Outcome::Created),
    };
    let told = match answer {
        Ok(Answer { replayed: true, .. }) => Ok(Outcome::Existing),
        Ok(_) => Ok(outcome),
        Err(error) => {
            let problem = error.refusal()?;
            Err((problem.reason.clone(), problem.sentence()))
        }
    };
    Ok((entry, told))
}

/// Whether what is there says all that is wanted; what an answer leaves out is its type's zero.
fn says(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| says(there.get(name).unwrap_or(&Value::Null), wanted)),
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(a, b)| says(a, b))
        }
        (Value::String(there), Value::String(wanted)) => there == wanted || padded(there, wanted),
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (Value::Null, Value::String(wanted)) => wanted.is_empty(),
        (Value::Null, Value::Bool(wanted)) => !wanted,
        (Value::Null, Value::Number(wanted)) => wanted.as_u64() == Some(0),
        (there, wanted) => there == wanted,
    }
}

/// Barcodes are kept with leading zeros.
fn padded(there: &str, wanted: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(there)
        && digits(wanted)
        && there.trim_start_matches('0') == wanted.trim_start_matches('0')
}

#[cfg(test)]
mod tests;
