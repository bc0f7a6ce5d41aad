//! The API keys that open the door now: a copy in memory, fed by the gateway's own log.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::rand;
use nexus_es::log::EventLog;
use nexus_es::tasks::Tasks;
use nexus_es::{Actor, ActorKind, Aggregate, Decider, Heard, LogError, Position, clock};
use nexus_runtime::rpc::KeyCheck;
use tokio::sync::watch;
use tracing::warn;

use crate::domain::api_key::{ApiKey, Event, Issue};
use crate::wire::SERVICE;

/// Characters of a key that are kept to recognise it by.
const PREFIX: usize = 11;
const RETRY: Duration = Duration::from_millis(200);

/// All keys, by digest.
pub struct Keys {
    by_digest: RwLock<HashMap<Vec<u8>, Known>>,
    reached: watch::Sender<Position>,
}

struct Known {
    id: String,
    issue: Issue,
    revoked: bool,
}

/// A key that was just made; it is never seen again.
pub(crate) struct FreshKey {
    pub(crate) key: String,
    pub(crate) prefix: String,
    pub(crate) digest: Vec<u8>,
}

impl FreshKey {
    pub(crate) fn generate() -> Option<Self> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).ok()?;
        let key = format!("nx_{}", hex::encode(bytes));
        let prefix = key.chars().take(PREFIX).collect();
        let digest = nexus_es::commit::sha256(key.as_bytes());
        Some(Self { key, prefix, digest })
    }
}

impl Keys {
    /// Reads all keys and follows the log from then on.
    ///
    /// # Errors
    /// [`LogError`] when the log cannot be read.
    pub async fn start(log: Arc<dyn EventLog>, tasks: &Tasks) -> Result<Arc<Self>, LogError> {
        let (reached, _) = watch::channel(Position::START);
        let keys = Arc::new(Self { by_digest: RwLock::default(), reached });
        let head = log.head(SERVICE).await?;
        let (follower, stop) = (Arc::clone(&keys), tasks.stopping());
        tasks.spawn("api keys", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = follower.follow(log) => {}
            }
        });
        keys.reach(head).await;
        Ok(keys)
    }

    /// Waits until everything up to `position` counts.
    pub(crate) async fn reach(&self, position: Position) {
        // The sender is ours, so the wait ends only by reaching it.
        drop(self.reached.subscribe().wait_for(|reached| *reached >= position).await);
    }

    async fn follow(&self, log: Arc<dyn EventLog>) {
        loop {
            let from = *self.reached.borrow();
            let followed = async {
                let mut tail = log.tail(SERVICE, from).await?;
                loop {
                    for commit in tail.next(256).await? {
                        for heard in Heard::of(&commit).unwrap_or_default() {
                            self.hear(&heard);
                        }
                        self.reached.send_replace(commit.position);
                    }
                }
            };
            let ended: Result<(), LogError> = followed.await;
            if let Err(error) = ended {
                warn!("the key log broke off, following again: {error}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn hear(&self, heard: &Heard) {
        if heard.aggregate.category != ApiKey::CATEGORY {
            return;
        }
        let id = heard.aggregate.id.clone();
        let mut keys = self.by_digest.write().unwrap_or_else(PoisonError::into_inner);
        match ApiKey::decode(&heard.payload) {
            Ok(Event::Issued(issue)) => {
                keys.insert(issue.digest.clone(), Known { id, issue, revoked: false });
            }
            Ok(Event::Revoked { .. }) => {
                for known in keys.values_mut().filter(|known| known.id == id) {
                    known.revoked = true;
                }
            }
            // Fail closed: a key with an event of a newer writer opens nothing here.
            Err(error) => {
                warn!("an event of API key {id} cannot be read, the key is not taken: {error}");
                for known in keys.values_mut().filter(|known| known.id == id) {
                    known.revoked = true;
                }
            }
        }
    }
}

impl KeyCheck for Keys {
    fn check(&self, key: &str) -> Option<Actor> {
        let keys = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        // Looking up a digest leaks nothing of use: whoever can make one has the key.
        let known = keys.get(&nexus_es::commit::sha256(key.as_bytes()))?;
        let expired = known.issue.expires_at_ms.is_some_and(|end| end <= clock::now_ms());
        if known.revoked || expired {
            return None;
        }
        Some(Actor {
            kind: ActorKind::Key,
            id: known.id.clone(),
            roles: known.issue.roles.clone(),
            warehouse: String::new(),
        })
    }
}
