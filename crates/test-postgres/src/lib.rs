//! PostgreSQL for tests, from the binaries of this machine.
//! *Invariant:* a server ends with the process that started it, however that ends, and leaves
//! nothing behind.
//!
//! `cargo xtask test` starts one server for all tests; a test that is run without it starts one for
//! its own process.

mod programs;
mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use server::Server;

/// The variable that names the folder with the socket of a server that runs.
pub const RUNNING: &str = "NEXUS_TEST_POSTGRES";

/// The variable that says `postgres` when services under test keep their views there.
pub const VIEWS: &str = "NEXUS_TEST_VIEWS";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not installed.
    #[error(
        "tests of views need PostgreSQL 15 or newer and found no initdb and postgres: install \
         Debian's postgresql (`cargo xtask test` does where it may), or put its bin folder on PATH"
    )]
    Missing,
    /// A root user may not run it, and no other is there.
    #[error("PostgreSQL does not run as root, and there is no user postgres or nobody")]
    OnlyRoot,
    /// A program of it failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which one.
        program: String,
        /// What it said.
        said: String,
    },
    /// The machine did not do as asked.
    #[error("cannot start PostgreSQL")]
    Machine(#[from] io::Error),
}

/// Where a test keeps the views of a service: in a folder, or in PostgreSQL when [`VIEWS`] says so.
pub struct Place {
    folder: tempfile::TempDir,
    database: Option<TestDatabase>,
}

impl Place {
    /// A new, empty one.
    ///
    /// # Errors
    /// [`StartError`] when there is no server and none can be started.
    pub fn new() -> Result<Self, StartError> {
        match std::env::var_os(VIEWS) {
            Some(said) if said == "postgres" => Self::in_postgres(),
            _ => Self::in_folder(),
        }
    }

    /// A folder, whatever is said.
    ///
    /// # Errors
    /// [`StartError`] when none can be made.
    pub fn in_folder() -> Result<Self, StartError> {
        Ok(Self { folder: tempfile::tempdir()?, database: None })
    }

    /// A database, whatever is said.
    ///
    /// # Errors
    /// [`StartError`] when there is no server and none can be started.
    pub fn in_postgres() -> Result<Self, StartError> {
        Ok(Self { folder: tempfile::tempdir()?, database: Some(TestDatabase::create()?) })
    }

    /// A new one of the other kind.
    ///
    /// # Errors
    /// [`StartError`] when there is no server and none can be started.
    pub fn other(&self) -> Result<Self, StartError> {
        if self.database.is_some() { Self::in_folder() } else { Self::in_postgres() }
    }

    /// What `NEXUS_<SERVICE>_DATABASE` says for it.
    #[must_use]
    pub fn setting(&self) -> String {
        match &self.database {
            Some(database) => database.url(),
            None => self.folder.path().display().to_string(),
        }
    }

    /// The folder, when views are kept in it.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.database.is_none().then(|| self.folder.path())
    }
}

/// An empty database of its own; it goes with this value.
pub struct TestDatabase {
    name: String,
    socket: PathBuf,
    /// The server of this process, unless there is one for all.
    server: Option<Arc<Server>>,
}

impl TestDatabase {
    /// A new one, on the server that runs for all tests or on one of this process.
    ///
    /// # Errors
    /// [`StartError`] when there is no server and none can be started.
    pub fn create() -> Result<Self, StartError> {
        if let Some(socket) = running() {
            let name = create_in(&socket)?;
            return Ok(Self { name, socket, server: None });
        }
        Self::on(own_server()?)
    }

    /// A new one on this server.
    ///
    /// # Errors
    /// [`StartError`] when it cannot be made.
    pub fn on(server: Arc<Server>) -> Result<Self, StartError> {
        let socket = server.socket().to_owned();
        Ok(Self { name: create_in(&socket)?, socket, server: Some(server) })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { name, socket, .. } = self;
        format!("postgres://{}@localhost/{name}?host={}", server::OWNER, socket.display())
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A server of this process goes whole.
        if self.server.is_none() {
            let client = client("dropdb", &self.socket);
            drop(client.map(|mut client| client.arg("--force").arg(&self.name).output()));
        }
    }
}

fn running() -> Option<PathBuf> {
    std::env::var_os(RUNNING).map(PathBuf::from)
}

/// One server serves all tests that run in this process at the same time.
fn own_server() -> Result<Arc<Server>, StartError> {
    static OWN: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = own.upgrade() {
        return Ok(server);
    }
    let server = Arc::new(Server::start()?);
    *own = Arc::downgrade(&server);
    Ok(server)
}

fn create_in(socket: &Path) -> Result<String, StartError> {
    // The folder's name is nobody else's while it is there.
    let unique = tempfile::Builder::new().prefix("t").rand_bytes(12).tempdir()?;
    let name = unique.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut client = client("createdb", socket)?;
    programs::run(client.arg(&name))?;
    Ok(name)
}

fn client(program: &str, socket: &Path) -> Result<Command, StartError> {
    let mut client = Command::new(programs::folder()?.join(program));
    client.arg("--host").arg(socket).args(["--username", server::OWNER]);
    Ok(client)
}
