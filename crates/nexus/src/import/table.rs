//! A CSV file with one thing a row: read, held against what is there, sent, and answered row by
//! row.
//! *Invariant:* what is there already and says the same is not sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::AT_ONCE;
use super::csv_file::{Columns, CsvFile, Fields, Wrong};
use super::problem::wrong_of;
use super::progress::Progress;
use super::report::{Outcome, Report, Row};
use crate::cli::ImportFileArgs;
use crate::client::{Answer, CallError, Client, Problem};

/// What is there already, by the names of entries and of what they need.
pub(crate) type Known = BTreeMap<String, Value>;

/// A kind of file.
pub(crate) trait Table {
    /// What the rows are, in the plural.
    fn what(&self) -> &'static str;
    /// Columns that may stand in the header, and whether they must.
    fn columns(&self) -> Columns;
    /// What a row asks for; worth nothing where something was found wrong with its fields.
    fn entry(&self, fields: &mut Fields<'_>) -> Entry;
    /// Whether a row with a mistake keeps the others from being sent: where sending twice counts
    /// twice, a mended file must not find half of it there.
    fn all_or_nothing(&self) -> bool;
    /// What is there already.
    async fn known(&self, client: &Client, entries: &[Entry]) -> Result<Known, CallError>;
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
    /// What must be there before.
    pub(crate) needs: Vec<Need>,
}

/// Something that a row takes for granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Its name among what is known.
    pub(crate) name: String,
    /// The column that says so, and what it says.
    pub(crate) column: &'static str,
    pub(crate) said: String,
    /// What to do when it is not there.
    pub(crate) advice: &'static str,
}

/// How an entry that is there already is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Like making it.
    Again,
    /// With a PATCH.
    Patch { path: String, body: Value },
}

pub(crate) async fn run(args: &ImportFileArgs, table: &impl Table) -> anyhow::Result<ExitCode> {
    let file = CsvFile::read(&args.file, table.what(), table.columns())?;
    let mut report = Report::default();
    let entries = entries(&file, table, &mut report);
    let client = match super::reach_unless_dry(&args.reach, args.dry_run).await {
        Ok(client) => client,
        Err(code) => return Ok(code),
    };
    let (dry, name) = (args.dry_run, &file.name);
    let sent = match &client {
        Some(client) => bring(client, name, table, entries, dry, &mut report).await,
        None => {
            report.extend(entries.iter().map(|entry| planned(name, entry, &Known::new())));
            Ok(())
        }
    };
    super::end(&mut report, &file, &args.reach.data, sent)
}

/// All rows that ask for something; the others are refused.
pub(super) fn entries(file: &CsvFile, table: &impl Table, report: &mut Report) -> Vec<Entry> {
    report.extend(file.refused());
    let (mut entries, mut seen) = (Vec::new(), BTreeSet::new());
    for mut fields in file.rows() {
        let entry = table.entry(&mut fields);
        if fields.wrong.is_empty() && entry.once && !seen.insert(entry.name.clone()) {
            let detail = format!("{} stands in an earlier row", entry.name);
            fields.complain("TWICE", "", detail, "leave one of the two rows out");
        }
        if fields.wrong.is_empty() {
            entries.push(entry);
        } else {
            let (row, name) = (fields.row, fields.name());
            report.extend(fields.wrong.into_iter().map(|wrong| wrong.at(&file.name, row, name)));
        }
    }
    entries
}

/// Holds the entries against what is there, and sends what is new, unless it is a dry run.
async fn bring(
    client: &Client,
    file: &str,
    table: &impl Table,
    entries: Vec<Entry>,
    dry: bool,
    report: &mut Report,
) -> Result<(), CallError> {
    let known = table.known(client, &entries).await?;
    let mut ready = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.needs.iter().find(|need| !known.contains_key(&need.name)) {
            Some(need) => report.add(missing(need).at(file, entry.row, &entry.name)),
            None => ready.push(entry),
        }
    }
    if dry {
        report.extend(ready.iter().map(|entry| planned(file, entry, &known)));
        return Ok(());
    }
    if table.all_or_nothing() && report.any_refused() {
        report.extend(ready.iter().map(|entry| {
            let row = Row::new(file, entry.row, &entry.name, Outcome::Planned);
            row.because("WAITS", "not sent, since other rows are wrong: mend them first")
        }));
        println!("nothing was sent: {} count only once, so all rows must be right", table.what());
        return Ok(());
    }
    send(client, file, table.what(), &known, ready, report).await
}

fn missing(need: &Need) -> Wrong {
    let detail = format!("there is no {} \"{}\"", need.column, need.said);
    Wrong::new("UNKNOWN", need.column, detail, need.advice)
}

/// For a dry run: what would become of it.
fn planned(file: &str, entry: &Entry, known: &Known) -> Row {
    match known.get(&entry.name) {
        Some(there) if says(there, &entry.says) => {
            Row::new(file, entry.row, &entry.name, Outcome::Existing)
        }
        Some(_) => {
            let row = Row::new(file, entry.row, &entry.name, Outcome::Planned);
            row.because("UPDATE", "is there and says something else")
        }
        None => Row::new(file, entry.row, &entry.name, Outcome::Planned),
    }
}

async fn send(
    client: &Client,
    file: &str,
    what: &'static str,
    known: &Known,
    entries: Vec<Entry>,
    report: &mut Report,
) -> Result<(), CallError> {
    let run = nexus_es::new_id().to_string();
    let mut progress = Progress::new(what, entries.len());
    let call = |entry: Entry| one(client, known, &run, entry);
    let mut answers = stream::iter(entries).map(call).buffer_unordered(AT_ONCE);
    while let Some(answered) = answers.next().await {
        let (entry, outcome) = answered?;
        report.add(match outcome {
            Ok(outcome) => Row::new(file, entry.row, &entry.name, outcome),
            Err(problem) => wrong_of(&problem).at(file, entry.row, &entry.name),
        });
        progress.step();
    }
    progress.end();
    Ok(())
}

type Told = Result<Outcome, Problem>;

async fn one(
    client: &Client,
    known: &Known,
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
        Err(error) => Err(error.refusal()?),
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
