//! What a service is given to run on.

use std::sync::Arc;

use nexus_es::log::EventLog;
use nexus_es::ports::{Blobs, Checkpoints, Leases, Timers};
use nexus_es::process::{Ground, Patience};
use nexus_es::seal::Vault;
use nexus_es::tasks::Tasks;
use nexus_es::views::{Database, Views};

use crate::channels::Channels;
use crate::secrets::Secrets;
use crate::telemetry;

/// The adapters that the binary chose, and what services share.
#[derive(Clone)]
pub struct Ports {
    /// The event logs.
    pub log: Arc<dyn EventLog>,
    /// One active owner a name.
    pub leases: Arc<dyn Leases>,
    /// Where processes stand.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// Wake-ups.
    pub timers: Arc<dyn Timers>,
    /// Labels, manifests, snapshots.
    pub blobs: Arc<dyn Blobs>,
    /// Seals personal data and credentials.
    pub vault: Arc<Vault>,
    /// Background work that others read from: views. It ends last.
    pub tasks: Tasks,
    /// Processes. They end before what they act on.
    pub processes: Tasks,
    /// Where the views of the service are kept.
    pub database: Database,
    /// Calls to other services.
    pub channels: Channels,
    /// Keys by purpose.
    pub secrets: Arc<Secrets>,
    /// Divides every wait for sandboxes, look-ups and grace periods; 1 in production.
    pub speed: f64,
}

/// A service that runs.
#[derive(Clone)]
pub struct Running {
    /// Its name.
    pub service: &'static str,
    /// Its read models.
    pub views: Arc<Views>,
}

impl Ports {
    /// What processes of `service` run on.
    #[must_use]
    pub fn ground(&self, service: &'static str, views: &Arc<Views>) -> Ground {
        Ground {
            service,
            log: Arc::clone(&self.log),
            leases: Arc::clone(&self.leases),
            checkpoints: Arc::clone(&self.checkpoints),
            timers: Arc::clone(&self.timers),
            views: Arc::clone(views),
            tasks: self.processes.clone(),
            patience: Patience::default(),
            span: telemetry::process_span,
        }
    }

    /// `wait`, shortened by the speed.
    #[must_use]
    pub fn scaled(&self, wait: std::time::Duration) -> std::time::Duration {
        wait.div_f64(self.speed.max(0.001))
    }
}
