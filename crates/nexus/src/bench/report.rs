//! One line of figures, for people or as JSON.

use hdrhistogram::Histogram;
use serde_json::json;

use super::probe::Probe;

/// Probes that differ more make a run void (method rule M4).
const MAX_DRIFT: f64 = 0.20;

/// What one run measured.
pub(crate) struct Report {
    pub(crate) workload: String,
    pub(crate) durability: String,
    pub(crate) before: Probe,
    pub(crate) after: Probe,
    pub(crate) rate_per_s: f64,
    pub(crate) latencies: Histogram<u64>,
    pub(crate) lags: Option<Histogram<u64>>,
    pub(crate) commits_per_fsync: f64,
    /// Processor time of this process for one unit, generator included.
    pub(crate) cpu_us_per_unit: f64,
    /// Why the run counts for nothing, if it does.
    pub(crate) void: Option<String>,
}

/// Microseconds as milliseconds.
#[expect(clippy::as_conversions, reason = "a histogram's microseconds are far below 2^52")]
pub(crate) fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Report {
    fn l1(&self) -> f64 {
        f64::midpoint(self.before.per_second, self.after.per_second)
    }

    fn void(&self) -> Option<String> {
        let (a, b) = (self.before.per_second, self.after.per_second);
        let drift = (a - b).abs() / a.max(b);
        let drifted = drift > MAX_DRIFT;
        let why = format!("the raw probes differ by {:.0} %", drift * 100.0);
        self.void.clone().or_else(|| drifted.then_some(why))
    }

    /// Prints the line.
    pub(crate) fn print(&self, as_json: bool) {
        let ratio = self.rate_per_s / self.l1();
        let p50 = ms(self.latencies.value_at_quantile(0.5));
        let p99 = ms(self.latencies.value_at_quantile(0.99));
        let lag = self.lags.as_ref().map(|lags| ms(lags.value_at_quantile(0.99)));
        let rss = resident_mib();
        let void = self.void();
        if as_json {
            let line = json!({
                "workload": self.workload,
                "durability": self.durability,
                "l1_per_s": {"before": self.before.per_second, "after": self.after.per_second},
                "l1_p50_ms": self.before.p50_ms,
                "rate_per_s": self.rate_per_s,
                "ratio_to_l1": ratio,
                "p50_ms": p50,
                "p99_ms": p99,
                "lag_p99_ms": lag,
                "commits_per_fsync": self.commits_per_fsync,
                "cpu_us_per_unit": self.cpu_us_per_unit,
                "rss_mib": rss,
                "valid": void.is_none(),
                "void": void,
            });
            println!("{line}");
            return;
        }
        println!("{}  ({})", self.workload, self.durability);
        println!("  rate              {:.0} /s = {ratio:.2} x L1", self.rate_per_s);
        let (before, after) = (self.before.per_second, self.after.per_second);
        println!(
            "  L1 before, after  {before:.0} /s, {after:.0} /s, p50 {:.3} ms",
            self.before.p50_ms
        );
        println!("  p50, p99          {p50:.3} ms, {p99:.3} ms");
        if let Some(lag) = lag {
            println!("  lag p99           {lag:.1} ms");
        }
        println!("  commits per fsync {:.1}", self.commits_per_fsync);
        println!("  CPU a unit        {:.0} us", self.cpu_us_per_unit);
        println!("  resident          {rss:.0} MiB");
        match void {
            None => println!("  valid"),
            Some(why) => println!("  VOID: {why}"),
        }
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
