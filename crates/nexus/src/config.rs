//! The settings of a process: from a file, and from the environment, which wins.
//! *Invariant:* an unknown name or a wrong value stops the start, with a sentence that names it.

mod given;
mod listing;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nexus_es::views::Database;
use nexus_runtime::Role;
use nexus_runtime::config::{Known, Settings};
use nexus_runtime::tls::TlsFiles;

use crate::cli::ReadArgs;

pub(crate) use given::Given;
pub(crate) use values::{List, LogAt, Switch};

/// What a process is set up as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All roles, `nexus up`.
    All,
    /// One role.
    One(Role),
    /// The sandboxes.
    Sandbox,
}

impl Shape {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "nexus",
            Self::One(role) => role.name(),
            Self::Sandbox => "sandbox",
        }
    }

    /// The place in the default ports, so that all roles start on one machine as they are.
    const fn nth(self) -> u16 {
        match self {
            Self::All => 0,
            Self::One(Role::Order) => 1,
            Self::One(Role::Inventory) => 2,
            Self::One(Role::Fulfillment) => 3,
            Self::One(Role::Shipping) => 4,
            Self::One(Role::Notification) => 5,
            Self::One(Role::Ingress) => 6,
            Self::One(Role::Gateway) => 7,
            Self::Sandbox => 8,
        }
    }

    const fn grpc_port(self) -> u16 {
        match self {
            Self::All | Self::One(Role::Gateway) => 8082,
            Self::One(_) | Self::Sandbox => 8090 + self.nth(),
        }
    }

    const fn health_port(self) -> u16 {
        8190 + self.nth()
    }
}

/// All settings of a process.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) log: LogAt,
    pub(crate) nats: Nats,
    pub(crate) data: PathBuf,
    databases: Vec<(Role, String)>,
    addresses: Vec<(Role, List)>,
    pub(crate) listen: Listen,
    /// Where other replicas of the role can call this one, if that was said.
    replica: String,
    pub(crate) master_key_file: Option<PathBuf>,
    pub(crate) admin_key_file: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) log_filter: String,
    pub(crate) collector: Option<String>,
    pub(crate) sandbox_speed: f64,
    pub(crate) services: Services,
    known: Vec<Known>,
}

/// How NATS is reached, and what it must promise.
#[derive(Clone, Debug)]
pub(crate) struct Nats {
    pub(crate) seed_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) replicas: usize,
    pub(crate) stream_max_bytes: u64,
    pub(crate) monitors: Vec<String>,
    pub(crate) system_seed_file: Option<PathBuf>,
    pub(crate) durability_unverified: bool,
}

/// Where the process listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) ingress: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) sandbox_courier: SocketAddr,
    pub(crate) sandbox_whatsapp: SocketAddr,
}

/// The settings of the services themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services {
    pub(crate) order: nexus_order::Config,
    pub(crate) inventory: nexus_inventory::Config,
    pub(crate) fulfillment: nexus_fulfillment::Config,
    pub(crate) shipping: nexus_shipping::Config,
    pub(crate) notification: nexus_notification::Config,
    pub(crate) ingress: nexus_ingress::Config,
}

impl Config {
    /// Reads what was given for a process of this shape.
    pub(crate) fn read(given: &Given, shape: Shape) -> anyhow::Result<Self> {
        let mut all = Settings::all(given.pairs());
        let mut config = given.explain(Self::general(&mut all, shape))?;
        config.known = all.known().to_vec();
        config.services = given.explain(Services::read(given, &mut config.known))?;
        given.refuse_unknown(&config.known)?;
        config.check(shape)?;
        Ok(config)
    }

    /// The settings of the deployment that a tool reads.
    pub(crate) fn to_read(args: &ReadArgs) -> anyhow::Result<Self> {
        let mut given = Given::load(args.config.as_deref())?;
        given.unless_given("NEXUS_DATA", &args.data.display().to_string());
        if let Some(urls) = &args.nats {
            given.instead("NEXUS_LOG", urls);
        }
        Self::read(&given, args.shape())
    }

    fn general(all: &mut Settings, shape: Shape) -> anyhow::Result<Self> {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let default_log = match shape {
            Shape::All => "",
            Shape::One(_) | Shape::Sandbox => "nats://127.0.0.1:4222",
        };
        let log = all.get("LOG", default_log.parse::<LogAt>()?)?;
        let nats = Nats::read(all)?;
        let data = PathBuf::from(all.get("DATA", "./nexus-data".to_owned())?);
        let (mut databases, mut addresses) = (Vec::new(), Vec::new());
        for role in Role::ALL {
            let name = role.name().to_uppercase();
            databases.push((role, all.get(&format!("{name}_DATABASE"), String::new())?));
            let usual = format!("http://{}", local(Shape::One(role).grpc_port()));
            addresses.push((role, all.get(&format!("{name}_ADDRESS"), List::one(&usual))?));
        }
        let listen = Listen {
            grpc: all.get("GRPC_LISTEN", local(shape.grpc_port()))?,
            http: all.get("HTTP_LISTEN", local(8080))?,
            ingress: all.get("INGRESS_LISTEN", local(8081))?,
            health: all.get("HEALTH_LISTEN", local(shape.health_port()))?,
            sandbox_courier: all.get("SANDBOX_COURIER_LISTEN", local(8083))?,
            sandbox_whatsapp: all.get("SANDBOX_WHATSAPP_LISTEN", local(8084))?,
        };
        let master_key_file = file(all, "MASTER_KEY_FILE")?;
        let admin_key_file = file(all, "ADMIN_KEY_FILE")?;
        let tls = tls(all)?;
        let in_clear = all.get("PLAINTEXT", Switch(false))?.0;
        let config = Self {
            log,
            nats,
            data,
            databases,
            addresses,
            listen,
            replica: all.get("REPLICA_ADDRESS", String::new())?,
            master_key_file,
            admin_key_file,
            tls,
            log_filter: all.get("LOG_FILTER", "info".to_owned())?,
            collector: Some(all.get("OTLP_ENDPOINT", String::new())?).filter(|it| !it.is_empty()),
            sandbox_speed: all.get("SANDBOX_SPEED", values::Speed(1.0))?.0,
            services: Services::default(),
            known: Vec::new(),
        };
        config.refuse_clear(shape, in_clear)?;
        config.check_replica()?;
        Ok(config)
    }

    /// Calls between services carry everything that Nexus knows.
    fn refuse_clear(&self, shape: Shape, in_clear: bool) -> anyhow::Result<()> {
        let Shape::One(own) = shape else { return Ok(()) };
        if in_clear || self.tls.is_some() {
            return Ok(());
        }
        let way_out = "set NEXUS_TLS_CERT_FILE, NEXUS_TLS_KEY_FILE and NEXUS_TLS_CA_FILE (`nexus \
                       certs DIR` makes them for a laptop), or NEXUS_PLAINTEXT=yes";
        if !self.listen.grpc.ip().is_loopback() {
            bail!("NEXUS_GRPC_LISTEN is {}, not this machine alone: {way_out}", self.listen.grpc);
        }
        for (role, addresses) in self.addresses.iter().filter(|(role, _)| *role != own) {
            if let Some(address) = addresses.iter().find(|address| !values::is_local(address)) {
                let name = role.name().to_uppercase();
                bail!("NEXUS_{name}_ADDRESS is {address}, not on this machine: {way_out}");
            }
        }
        Ok(())
    }

    fn check(&self, shape: Shape) -> anyhow::Result<()> {
        if let (Shape::One(role), LogAt::Sqlite(_)) = (shape, &self.log) {
            bail!(
                "NEXUS_LOG is {}, a directory for one process alone: {role} needs \
                 nats://HOST:PORT, or run all roles with `nexus up`",
                self.log
            );
        }
        for (role, database) in &self.databases {
            let name = role.name().to_uppercase();
            let shown = listing::masked(database);
            database.parse::<Database>().map(drop).with_context(|| {
                format!("NEXUS_{name}_DATABASE is {shown}: it takes a directory or postgres://…")
            })?;
        }
        Ok(())
    }

    fn check_replica(&self) -> anyhow::Result<()> {
        let scheme = if self.tls.is_some() { "https://" } else { "http://" };
        let given = &self.replica;
        if given.is_empty() || given.starts_with(scheme) {
            return Ok(());
        }
        bail!(
            "NEXUS_REPLICA_ADDRESS is {given}: it takes {scheme}HOST:PORT, where other replicas \
               of the role reach this one's NEXUS_GRPC_LISTEN"
        )
    }

    /// Where `role` is.
    pub(crate) fn addresses(&self, role: Role) -> &[String] {
        let found = self.addresses.iter().find(|(known, _)| *known == role);
        found.map(|(_, list)| list.as_slice()).unwrap_or_default()
    }

    /// Where other replicas of the process's role can call it. An address that listens everywhere
    /// is nobody's: then it must be said, or what replicas share is not forwarded.
    pub(crate) fn replica_address(&self) -> Option<String> {
        if !self.replica.is_empty() {
            return Some(self.replica.clone());
        }
        let listen = self.listen.grpc;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let known = !listen.ip().is_unspecified() && listen.port() != 0;
        known.then(|| format!("{scheme}://{listen}"))
    }

    /// Where the read models of `role` are: a directory, or the URL of a database.
    pub(crate) fn database(&self, role: Role) -> Database {
        let found =
            self.databases.iter().find(|(known, database)| *known == role && !database.is_empty());
        // It was read once already; what could not be read stopped the start.
        found
            .and_then(|(_, database)| database.parse().ok())
            .unwrap_or_else(|| Database::Directory(views_dir(&self.data)))
    }

    /// Every setting there is, with its default and what was given.
    pub(crate) fn known(&self) -> &[Known] {
        &self.known
    }

    /// The API key of the first administrator.
    pub(crate) fn admin_key(&self) -> PathBuf {
        self.admin_key_file.clone().unwrap_or_else(|| self.data.join("admin.key"))
    }

    /// The deployment's master key.
    pub(crate) fn master_key(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.data.join("master.key"))
    }
}

impl Nats {
    fn read(all: &mut Settings) -> anyhow::Result<Self> {
        let own = nexus_es_jetstream::Options::new(Vec::new());
        Ok(Self {
            seed_file: file(all, "NATS_NKEY_FILE")?,
            ca_file: file(all, "NATS_CA_FILE")?,
            replicas: all.get("NATS_REPLICAS", own.replicas)?,
            stream_max_bytes: all.get("NATS_STREAM_MAX_BYTES", own.stream_max_bytes)?,
            monitors: all.get("NATS_MONITORS", List::default())?.to_vec(),
            system_seed_file: file(all, "NATS_SYSTEM_NKEY_FILE")?,
            durability_unverified: all.get("DURABILITY_UNVERIFIED", Switch(false))?.0,
        })
    }
}

impl Services {
    fn read(given: &Given, known: &mut Vec<Known>) -> anyhow::Result<Self> {
        // What the binary reads itself is none of the services' business.
        let pairs = |known: &[Known]| given.pairs_without(known);
        let read = |service: &str| Settings::of(service, pairs(known));
        let mut order = read("order");
        let mut inventory = read("inventory");
        let mut fulfillment = read("fulfillment");
        let mut shipping = read("shipping");
        let mut notification = read("notification");
        let mut ingress = read("ingress");
        let services = Self {
            order: nexus_order::Config::read(&mut order)?,
            inventory: nexus_inventory::Config::read(&mut inventory)?,
            fulfillment: nexus_fulfillment::Config::read(&mut fulfillment)?,
            shipping: nexus_shipping::Config::read(&mut shipping)?,
            notification: nexus_notification::Config::read(&mut notification)?,
            ingress: nexus_ingress::Config::read(&mut ingress)?,
        };
        for settings in [&order, &inventory, &fulfillment, &shipping, &notification, &ingress] {
            known.extend(settings.known().iter().cloned());
        }
        Ok(services)
    }
}

/// Where view databases lie inside a data directory.
pub(crate) fn views_dir(data: &Path) -> PathBuf {
    data.join("views")
}

fn file(all: &mut Settings, field: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = all.get(field, String::new())?;
    Ok(if path.is_empty() { None } else { Some(PathBuf::from(path)) })
}

fn tls(all: &mut Settings) -> anyhow::Result<Option<TlsFiles>> {
    let certificate = file(all, "TLS_CERT_FILE")?;
    let key = file(all, "TLS_KEY_FILE")?;
    let authority = file(all, "TLS_CA_FILE")?;
    match (certificate, key, authority) {
        (None, None, None) => Ok(None),
        (Some(certificate), Some(key), Some(authority)) => {
            Ok(Some(TlsFiles { certificate, key, authority }))
        }
        _ => bail!("NEXUS_TLS_CERT_FILE, NEXUS_TLS_KEY_FILE and NEXUS_TLS_CA_FILE go together"),
    }
}

/// Prints the settings in use.
pub(crate) fn show(file: Option<&Path>, shape: Shape) -> anyhow::Result<()> {
    let given = Given::load(file)?;
    let config = Config::read(&given, shape)?;
    print!("{}", listing::listing(&given, config.known()));
    Ok(())
}

#[cfg(test)]
mod tests;
