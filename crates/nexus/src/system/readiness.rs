//! Whether everything has caught up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use nexus_es::EventLog;
use nexus_gateway::Readiness;
use nexus_runtime::Running;
use serde_json::{Map, Value, json};

const POLL: Duration = Duration::from_millis(5);

pub(crate) struct Caught {
    pub(crate) running: Vec<Running>,
}

impl Caught {
    async fn behind(&self) -> Vec<&'static str> {
        let mut behind = Vec::new();
        for one in &self.running {
            if !one.views.caught_up().await.unwrap_or(false) {
                behind.push(one.service);
            }
        }
        behind
    }

    pub(crate) async fn wait(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let behind = self.behind().await;
            if behind.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("the views of {} did not catch up", behind.join(", "));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Readiness as `/readyz` tells it.
pub(crate) struct Told {
    caught: Arc<Caught>,
    log: Arc<dyn EventLog>,
}

impl Told {
    pub(crate) fn new(caught: Arc<Caught>, log: Arc<dyn EventLog>) -> Arc<Self> {
        Arc::new(Self { caught, log })
    }
}

#[async_trait::async_trait]
impl Readiness for Told {
    async fn report(&self) -> (bool, Value) {
        let behind = self.caught.behind().await;
        let mut views = Map::new();
        for one in &self.caught.running {
            views.insert(one.service.to_owned(), json!(one.views.positions().to_string()));
        }
        let ready = behind.is_empty();
        let durability = self.log.durability();
        let report = json!({
            "ready": ready,
            "behind": behind,
            "durability": durability.name,
            "strict": durability.strict,
            "views": views,
        });
        (ready, report)
    }
}
