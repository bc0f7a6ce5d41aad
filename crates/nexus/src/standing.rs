//! How a process stands: what it waits for, whether it has caught up, whether it is ending.
//! *Invariant:* ready is said only while every read model shows what the logs held a moment ago.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nexus_es::{EventLog, Positions};
use nexus_gateway::Readiness;
use nexus_runtime::Running;
use serde_json::{Map, Value, json};

/// How long a read model may take for what was in the logs when it was asked.
const LAG: Duration = Duration::from_millis(500);
const AT_START: Duration = Duration::from_secs(5);

/// How one process stands.
#[derive(Default)]
pub(crate) struct Standing {
    /// What it waits for before it can begin.
    waits_for: Mutex<Option<String>>,
    begun: OnceLock<Begun>,
    ending: std::sync::atomic::AtomicBool,
}

struct Begun {
    running: Vec<Running>,
    log: Arc<dyn EventLog>,
}

impl Standing {
    /// Says what is waited for, in the log when it is news.
    pub(crate) fn wait_for(&self, what: &str) {
        let mut waits_for = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
        if waits_for.as_deref() != Some(what) {
            tracing::warn!("waiting: {what}");
            *waits_for = Some(what.to_owned());
        }
    }

    pub(crate) fn begin(&self, running: Vec<Running>, log: Arc<dyn EventLog>) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // A process begins once.
        drop(self.begun.set(Begun { running, log }));
    }

    pub(crate) fn end(&self) {
        self.ending.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Waits until all read models have caught up, for as long as it takes, and says for whom.
    pub(crate) async fn caught_up(&self) {
        loop {
            let behind = self.behind(AT_START).await;
            match behind.first() {
                None => return,
                Some(_) => tracing::warn!("waiting: read models catch up: {}", behind.join("; ")),
            }
        }
    }

    /// The services whose read models are behind, and why.
    async fn behind(&self, patience: Duration) -> Vec<String> {
        let Some(Begun { running, log }) = self.begun.get() else {
            return vec!["not begun".to_owned()];
        };
        let asked = running.iter().map(|one| behind(one, &**log, patience));
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }
}

async fn behind(running: &Running, log: &dyn EventLog, patience: Duration) -> Option<String> {
    let mut wanted = Positions::default();
    for source in running.views.positions().0.keys() {
        match log.head(source).await {
            Ok(head) => wanted.advance(source, head),
            Err(error) => {
                // Whoever asks at once again would only make it worse.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return Some(format!("the log of {source} cannot be read: {error}"));
            }
        }
    }
    let waited = running.views.wait_for(&wanted, patience).await;
    waited.err().map(|_| {
        let at = running.views.positions();
        format!("the read models of {} are at {at}, the logs at {wanted}", running.service)
    })
}

#[async_trait::async_trait]
impl Readiness for Standing {
    async fn report(&self) -> (bool, Value) {
        let waits_for = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(begun) = self.begun.get() else {
            return (false, json!({"ready": false, "waits_for": waits_for}));
        };
        if self.ending.load(std::sync::atomic::Ordering::Relaxed) {
            return (false, json!({"ready": false, "waits_for": "its own end"}));
        }
        let behind = self.behind(LAG).await;
        let mut views = Map::new();
        for one in &begun.running {
            views.insert(one.service.to_owned(), json!(one.views.positions().to_string()));
        }
        let durability = begun.log.durability();
        let report = json!({
            "ready": behind.is_empty(),
            "behind": behind,
            "durability": durability.name,
            "strict": durability.strict,
            "views": views,
        });
        (behind.is_empty(), report)
    }
}
