//! The process itself: how long it has run, how much memory it holds.

use std::time::Instant;

use opentelemetry::metrics::Meter;

use super::names;

pub(super) fn observe(meter: &Meter) {
    let began = Instant::now();
    meter
        .f64_observable_gauge(names::UPTIME)
        .with_unit("s")
        .with_description("since this process began to measure")
        .with_callback(move |observer| observer.observe(began.elapsed().as_secs_f64(), &[]))
        .build();
    meter
        .u64_observable_gauge(names::MEMORY)
        .with_unit("By")
        .with_description("memory of this process that is in use")
        .with_callback(|observer| {
            if let Some(bytes) = resident_bytes() {
                observer.observe(bytes, &[]);
            }
        })
        .build();
}

/// What the system says that this process holds; nothing where it does not say so.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}
