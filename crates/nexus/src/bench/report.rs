//! One line of figures, for people or as JSON.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::probe::Probe;

/// Probes that differ more make a run void (method rule M4).
const MAX_DRIFT: f64 = 0.20;

/// What one run measured.
pub(crate) struct Report {
    pub(crate) workload: String,
    pub(crate) durability: String,
    /// What the probes measured.
    pub(crate) yardstick: String,
    pub(crate) before: Probe,
    pub(crate) after: Probe,
    pub(crate) rate_per_s: f64,
    /// Where a unit is more than a commit.
    pub(crate) commits_per_s: Option<f64>,
    pub(crate) latencies: Histogram<u64>,
    pub(crate) lags: Option<Histogram<u64>>,
    /// Where the syncs are known.
    pub(crate) commits_per_fsync: Option<f64>,
    /// Processor time of this process for one unit, generator included.
    pub(crate) cpu_us_per_unit: f64,
    /// What else is worth saying.
    pub(crate) more: Vec<Row>,
    /// Why the run counts for nothing, if it does.
    pub(crate) void: Option<String>,
}

/// A figure: its name in JSON and for people, who are spared some.
pub(crate) struct Row {
    key: &'static str,
    label: String,
    text: String,
    value: Value,
}

impl Row {
    pub(crate) fn new(key: &'static str, label: &str, text: String, value: Value) -> Self {
        Self { key, label: label.to_owned(), text, value }
    }

    /// Only in JSON.
    pub(crate) fn silent(key: &'static str, value: Value) -> Self {
        Self { key, label: String::new(), text: String::new(), value }
    }
}

/// Figures of any kind.
pub(crate) struct Sheet {
    pub(crate) workload: String,
    pub(crate) durability: String,
    pub(crate) rows: Vec<Row>,
    /// Why the run counts for nothing, if it does.
    pub(crate) void: Option<String>,
}

/// Microseconds as milliseconds.
#[expect(clippy::as_conversions, reason = "a histogram's microseconds are far below 2^52")]
pub(crate) fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Why a run between these two probes counts for nothing, if it does.
pub(crate) fn drifted(before: f64, after: f64) -> Option<String> {
    let drift = (before - after).abs() / before.max(after);
    (drift > MAX_DRIFT).then(|| format!("the raw probes differ by {:.0} %", drift * 100.0))
}

impl Sheet {
    /// Prints it.
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let mut line = Map::new();
            line.insert("workload".to_owned(), json!(self.workload));
            line.insert("durability".to_owned(), json!(self.durability));
            let rows = self.rows.iter().map(|row| (row.key.to_owned(), row.value.clone()));
            line.extend(rows);
            line.insert("valid".to_owned(), json!(self.void.is_none()));
            line.insert("void".to_owned(), json!(self.void));
            println!("{}", Value::Object(line));
            return;
        }
        println!("{}  ({})", self.workload, self.durability);
        for row in self.rows.iter().filter(|row| !row.label.is_empty()) {
            println!("  {:<20}{}", row.label, row.text);
        }
        match &self.void {
            None => println!("  valid"),
            Some(why) => println!("  VOID: {why}"),
        }
    }
}

impl Report {
    /// What the probe does, in the middle of the run.
    pub(crate) fn unit(&self) -> f64 {
        f64::midpoint(self.before.per_second, self.after.per_second)
    }

    /// Prints the line.
    pub(crate) fn print(self, as_json: bool) {
        self.sheet().print(as_json);
    }

    fn sheet(self) -> Sheet {
        let (rate, ratio) = (self.rate_per_s, self.rate_per_s / self.unit());
        let (before, after) = (self.before.per_second, self.after.per_second);
        let p50 = ms(self.latencies.value_at_quantile(0.5));
        let p99 = ms(self.latencies.value_at_quantile(0.99));
        let rss = resident_mib();
        let times = format!("{rate:.0} /s = {ratio:.2} x {}", self.yardstick);
        let probes = format!("{before:.0} /s, {after:.0} /s, p50 {:.3} ms", self.before.p50_ms);
        let mut rows = vec![
            Row::new("rate_per_s", "rate", times, json!(rate)),
            Row::silent("ratio", json!(ratio)),
            Row::silent("probe", json!(self.yardstick)),
            Row::new(
                "probe_per_s",
                "before, after",
                probes,
                json!({"before": before, "after": after}),
            ),
            Row::silent("probe_p50_ms", json!(self.before.p50_ms)),
        ];
        if let Some(commits) = self.commits_per_s {
            let text =
                format!("{commits:.0} /s = {:.2} x {}", commits / self.unit(), self.yardstick);
            rows.push(Row::new("commits_per_s", "commits", text, json!(commits)));
        }
        let text = format!("{p50:.3} ms, {p99:.3} ms");
        rows.push(Row::new("p50_ms", "p50, p99", text, json!(p50)));
        rows.push(Row::silent("p99_ms", json!(p99)));
        if let Some(lags) = &self.lags {
            let lag = ms(lags.value_at_quantile(0.99));
            rows.push(Row::new("lag_p99_ms", "lag p99", format!("{lag:.1} ms"), json!(lag)));
        }
        let grouped = self.commits_per_fsync;
        let text = grouped.map_or_else(|| "not known".to_owned(), |it| format!("{it:.2}"));
        rows.push(Row::new("commits_per_fsync", "commits per fsync", text, json!(grouped)));
        let cpu = self.cpu_us_per_unit;
        rows.push(Row::new("cpu_us_per_unit", "CPU a unit", format!("{cpu:.0} us"), json!(cpu)));
        rows.push(Row::new("rss_mib", "resident", format!("{rss:.0} MiB"), json!(rss)));
        rows.extend(self.more);
        let void = self.void.or_else(|| drifted(before, after));
        Sheet { workload: self.workload, durability: self.durability, rows, void }
    }
}

/// Memory of this process, in MiB.
pub(crate) fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

/// Processor time that this process has used, in microseconds: user and system, in ticks of 10 ms.
pub(crate) fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th behind it.
    let behind = stat.rsplit_once(')').map(|(_, behind)| behind).unwrap_or_default();
    let ticks = behind.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10_000.0
}
