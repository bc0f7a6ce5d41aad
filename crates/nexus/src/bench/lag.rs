//! How far views are behind the log while there is load: the time from "it is in the log" to "it
//! can be read", sampled by the clock of this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nexus_es::{EventLog, Positions};
use nexus_runtime::Running;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Sampler {
    over: CancellationToken,
    samples: JoinHandle<anyhow::Result<Histogram<u64>>>,
}

impl Sampler {
    /// Samples the lag of one service's views behind its own log until it is finished.
    pub(crate) fn start(running: Running, log: Arc<dyn EventLog>) -> Self {
        let over = CancellationToken::new();
        let samples = tokio::task::spawn(sample(running, log, over.clone()));
        Self { over, samples }
    }

    /// The samples, in microseconds.
    pub(crate) async fn finish(self) -> anyhow::Result<Histogram<u64>> {
        self.over.cancel();
        self.samples.await?
    }
}

async fn sample(
    running: Running,
    log: Arc<dyn EventLog>,
    over: CancellationToken,
) -> anyhow::Result<Histogram<u64>> {
    let mut lags = Histogram::<u64>::new(3)?;
    let mut every = tokio::time::interval(EVERY);
    while !over.is_cancelled() {
        every.tick().await;
        let head = Positions::one(running.service, log.head(running.service).await?);
        let began = Instant::now();
        running.views.wait_for(&head, PATIENCE).await?;
        lags.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    Ok(lags)
}
