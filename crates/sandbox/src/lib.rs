//! A courier that answers like Bosta and a channel that answers like WhatsApp Cloud: real HTTP
//! servers with a clock that can run fast and faults that can be switched on.
//! *Invariant:* what was answered stands on disk; a killed sandbox goes on where it was.

mod agenda;
mod bosta;
mod clock;
mod failure;
mod fault;
pub mod label;
mod outbox;
mod random;
mod server;
mod store;
mod whatsapp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use failure::Error;

/// Where the sandbox keeps its files, where it listens, and how fast its clock runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Made if missing; one file for the courier, one for the channel.
    pub data_dir: PathBuf,
    /// Port 0 picks a free one.
    pub courier_listen: SocketAddr,
    /// Port 0 picks a free one.
    pub whatsapp_listen: SocketAddr,
    /// Every wait is divided by this; 1 delivers a parcel within a minute.
    pub speed: f64,
}

/// The running servers. Dropping it ends them too, without waiting for answers in flight.
#[derive(Debug)]
pub struct Sandbox {
    courier: SocketAddr,
    whatsapp: SocketAddr,
    tasks: TaskTracker,
    cancel: CancellationToken,
    _cancel_on_drop: DropGuard,
}

impl Sandbox {
    /// Base URL of the courier, without `/api/v2`.
    #[must_use]
    pub fn courier_url(&self) -> String {
        format!("http://{}", self.courier)
    }

    /// Base URL of the channel, without a Graph version.
    #[must_use]
    pub fn whatsapp_url(&self) -> String {
        format!("http://{}", self.whatsapp)
    }

    /// Stops taking calls, lets those in flight end, and returns. Pending updates go on at the next
    /// start.
    pub async fn stop(self) {
        self.cancel.cancel();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("sandbox stopped with answers still in flight");
        }
    }
}

const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens the files and starts both servers; both listen when this returns.
///
/// # Errors
/// When the speed is not a positive number, a file cannot be opened or an address is taken.
pub async fn start(config: Config) -> Result<Sandbox, Error> {
    let clock = clock::Clock::new(config.speed)?;
    tokio::fs::create_dir_all(&config.data_dir)
        .await
        .map_err(|source| Error::Folder { path: config.data_dir.clone(), source })?;
    let http = outbox::client()?;
    let tasks = TaskTracker::new();
    let cancel = CancellationToken::new();
    // Whatever fails below, the tasks begun before it end with this guard.
    let cancel_on_drop = cancel.clone().drop_guard();

    let courier = server::bind(config.courier_listen).await?;
    let whatsapp = server::bind(config.whatsapp_listen).await?;
    let courier_address = server::address(&courier)?;
    let whatsapp_address = server::address(&whatsapp)?;

    let own_url = format!("http://{courier_address}");
    let bosta =
        bosta::open(&config.data_dir.join("bosta.db"), clock, http.clone(), own_url).await?;
    bosta.run(&tasks, &cancel);
    tasks.spawn(server::serve(courier, bosta.router(&tasks), cancel.clone()));

    let channel = whatsapp::open(&config.data_dir.join("whatsapp.db"), clock, http).await?;
    channel.run(&tasks, &cancel);
    tasks.spawn(server::serve(whatsapp, channel.router(&tasks), cancel.clone()));

    tasks.close();
    Ok(Sandbox {
        courier: courier_address,
        whatsapp: whatsapp_address,
        tasks,
        cancel,
        _cancel_on_drop: cancel_on_drop,
    })
}
