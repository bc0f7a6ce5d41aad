//! Which replica decides about a warehouse's stock: one owns the ledger by lease, the others
//! forward. So the owner groups the commands of all in one queue, and nobody meets a conflict.
//! *Invariant:* owning saves work and decides nothing: what is right is the expected version's to
//! say, so that two who both believe to own a ledger cost a retry and no unit.
//!
//! A process without replicas has no owners, and no lease is ever asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nexus_es::Handler;
use nexus_es::new_id;
use nexus_es::ports::{Leases, PortError};
use nexus_es::tasks::Tasks;
use nexus_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use nexus_runtime::channels::{Client, MAX_MESSAGE};
use nexus_runtime::{Channels, Ports};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::stock_ledger::StockLedger;

/// With [`WATCH`] in between, another replica goes on within five seconds.
const LEASE: Duration = Duration::from_secs(4);
const RENEW: Duration = Duration::from_millis(1_200);
const WATCH: Duration = Duration::from_millis(500);
/// How long the first call for a ledger waits until it is known whose it is.
const FIRST: Duration = Duration::from_millis(500);
/// A ledger that nobody asked for in this time is given up.
const IDLE: Duration = Duration::from_secs(60);
/// After an owner could not be reached, it is left alone so long.
const RESPITE: Duration = Duration::from_secs(1);

/// What one replica knows of who owns which ledger.
pub(crate) struct Owners {
    leases: Arc<dyn Leases>,
    tasks: Tasks,
    channels: Channels,
    ledgers: Handler<StockLedger>,
    /// Where this replica is called, and a name that no other start of it has.
    own: String,
    wards: Mutex<HashMap<String, Ward>>,
}

/// A ledger that is being watched.
struct Ward {
    standing: watch::Receiver<Standing>,
    used: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Standing {
    /// Not known yet.
    Asking,
    /// This replica owns it.
    Here,
    /// Nobody does, as far as is known.
    Nobody,
    There(Arc<Owner>),
}

/// Another replica that owns a ledger.
pub(crate) struct Owner {
    name: String,
    client: Client,
    /// Until when it is not asked again.
    resting: Mutex<Option<Instant>>,
}

/// Who decides about a ledger, as this replica sees it.
pub(crate) enum Decides {
    /// This replica, as its owner or because it has no others.
    We,
    /// This replica, which does not own it: another one may have appended since.
    WeUnowned,
    They(Arc<Owner>),
}

impl Owner {
    pub(crate) fn client(&self) -> InventoryServiceClient<Client> {
        InventoryServiceClient::new(self.client.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// It could not be reached: for a while it is not asked.
    pub(crate) fn rest(&self) {
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + RESPITE);
    }

    fn is_resting(&self) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.is_some_and(|until| until > Instant::now())
    }
}

impl Owners {
    /// None where no other replica can call this one.
    pub(crate) fn of(ports: &Ports, ledgers: Handler<StockLedger>) -> Option<Arc<Self>> {
        let address = ports.channels.replica_address()?;
        Some(Arc::new(Self {
            leases: Arc::clone(&ports.leases),
            tasks: ports.processes.clone(),
            channels: ports.channels.clone(),
            ledgers,
            own: format!("{address}#{}", new_id()),
            wards: Mutex::default(),
        }))
    }

    /// Who decides about the ledger of `code`. The first question begins to watch it.
    pub(crate) async fn who_decides(self: &Arc<Self>, code: &str) -> Decides {
        let mut standing = self.watched(code);
        let known = standing.wait_for(|standing| !matches!(standing, Standing::Asking));
        let known = match tokio::time::timeout(FIRST, known).await {
            Ok(Ok(known)) => known.clone(),
            _ => Standing::Nobody,
        };
        match known {
            Standing::Here => Decides::We,
            Standing::There(owner) if !owner.is_resting() => Decides::They(owner),
            Standing::There(_) | Standing::Nobody | Standing::Asking => Decides::WeUnowned,
        }
    }

    fn watched(self: &Arc<Self>, code: &str) -> watch::Receiver<Standing> {
        let mut wards = self.wards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ward) = wards.get(code) {
            ward.used.store(true, Ordering::Relaxed);
            return ward.standing.clone();
        }
        let (sender, standing) = watch::channel(Standing::Asking);
        let used = Arc::new(AtomicBool::new(true));
        let ward = Ward { standing: standing.clone(), used: Arc::clone(&used) };
        wards.insert(code.to_owned(), ward);
        let (owners, code) = (Arc::clone(self), code.to_owned());
        self.tasks.spawn("owner of a ledger", async move {
            owners.keep(&code, &sender, &used).await;
            let mut wards = owners.wards.lock().unwrap_or_else(PoisonError::into_inner);
            wards.remove(&code);
        });
        standing
    }

    /// Takes the lease where it is free, renews it where it is ours, and watches it where it is
    /// another's, until nobody asks for the ledger any more.
    async fn keep(&self, code: &str, standing: &watch::Sender<Standing>, used: &AtomicBool) {
        let name = format!("stock_ledger.{code}");
        let stop = self.tasks.stopping();
        let mut asked_for = Instant::now();
        let mut ours_until = None;
        loop {
            let began = Instant::now();
            let found = match self.look(&name).await {
                Ok(found) => found,
                Err(error) => {
                    let still = ours_until.is_some_and(|until| Instant::now() < until);
                    tracing::debug!("the lease of the stock of {code} is not known: {error}");
                    if still { Found::Ours } else { Found::Nobodys }
                }
            };
            match &found {
                Found::Ours if ours_until.is_none() => self.read_up(code).await,
                Found::Ours | Found::Nobodys | Found::Of(_) => {}
            }
            ours_until = matches!(found, Found::Ours).then_some(began + LEASE);
            let pause = if ours_until.is_some() { RENEW } else { WATCH };
            self.tell(code, standing, found);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            if used.swap(false, Ordering::Relaxed) {
                asked_for = Instant::now();
            } else if asked_for.elapsed() > IDLE {
                break;
            }
        }
        if let Err(error) = self.leases.release(&name, &self.own).await {
            tracing::debug!("the lease of the stock of {code} runs out by itself: {error}");
        }
    }

    async fn look(&self, name: &str) -> Result<Found, PortError> {
        if self.leases.acquire(name, &self.own, LEASE).await?.is_some() {
            return Ok(Found::Ours);
        }
        let holder = self.leases.holder(name).await?;
        Ok(holder.map_or(Found::Nobodys, Found::Of))
    }

    /// Takes in what other replicas appended: cheaper than to learn of it by a conflict.
    pub(crate) async fn read_up(&self, code: &str) {
        if let Err(error) = self.ledgers.read(code, |_| ()).await {
            tracing::debug!("the stock of {code} cannot be read now: {error}");
        }
    }

    fn tell(&self, code: &str, standing: &watch::Sender<Standing>, found: Found) {
        standing.send_if_modified(|known| {
            let next = match (found, &*known) {
                (Found::Ours, Standing::Here) | (Found::Nobodys, Standing::Nobody) => return false,
                (Found::Of(name), Standing::There(owner)) if owner.name == name => return false,
                (Found::Ours, _) => {
                    tracing::info!("the stock of {code} is decided here");
                    Standing::Here
                }
                (Found::Of(name), _) => self.owner(code, name),
                (Found::Nobodys, _) => Standing::Nobody,
            };
            *known = next;
            true
        });
    }

    fn owner(&self, code: &str, name: String) -> Standing {
        let address = name.split('#').next().unwrap_or_default();
        match self.channels.to_replica(address) {
            Ok(client) => {
                tracing::info!("the stock of {code} is decided at {address}");
                Standing::There(Arc::new(Owner { client, resting: Mutex::default(), name }))
            }
            Err(error) => {
                tracing::warn!("the owner of the stock of {code} cannot be called: {error}");
                Standing::Nobody
            }
        }
    }
}

/// Whose lease it is.
enum Found {
    Ours,
    Nobodys,
    Of(String),
}
