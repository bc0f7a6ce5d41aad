//! The raw probe that every figure is a ratio to, L1: 512-byte overwrites of a preallocated file,
//! each followed by fdatasync, on the same disk in the same minute.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;

const BLOCK: usize = 512;
const FILE_BLOCKS: u64 = 64 * 1024;
const LENGTH: Duration = Duration::from_secs(2);

/// What the disk does by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
}

/// Measures the disk under `dir` for two seconds.
pub(crate) fn measure(dir: &Path) -> anyhow::Result<Probe> {
    let path = dir.join("probe");
    let run = || -> anyhow::Result<Probe> {
        let mut file = File::options().create(true).truncate(true).write(true).open(&path)?;
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..FILE_BLOCKS * 512 / (1024 * 1024) {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        let mut latencies = Histogram::<u64>::new(3)?;
        let block = [0xA5; BLOCK];
        let began = Instant::now();
        let mut written = 0_u32;
        while began.elapsed() < LENGTH {
            let one = Instant::now();
            let offset = u64::from(written) % FILE_BLOCKS * 512;
            file.write_all_at(&block, offset)?;
            file.sync_data()?;
            latencies.record(u64::try_from(one.elapsed().as_micros())?)?;
            written += 1;
        }
        let per_second = f64::from(written) / began.elapsed().as_secs_f64();
        Ok(Probe { per_second, p50_ms: super::report::ms(latencies.value_at_quantile(0.5)) })
    };
    let measured = run().with_context(|| format!("cannot probe the disk at {}", dir.display()));
    drop(std::fs::remove_file(&path));
    measured
}
