//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use nexus_runtime::Role;

use crate::config::Shape;

/// Carries a merchant's order from created to delivered.
#[derive(Parser)]
#[command(name = "nexus", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run all services, the gateway and the sandboxes in this process, on files in one directory.
    Up(UpArgs),
    /// Run one role in this process, on NATS JetStream; or the sandboxes.
    Serve(ServeArgs),
    /// Print the settings that a role would start with, and where each comes from.
    Config(ServeArgs),
    /// Make what a deployment needs before its roles start: master key, streams, admin key.
    Init(InitArgs),
    /// Make a certificate authority and a certificate for each role, or renew the certificates.
    Certs(CertsArgs),
    /// Make an nkey for each user of the NATS servers; those that are there are kept.
    Nkeys(NkeysArgs),
    /// Ask the role on this machine whether it is ready; ends with 1 when it is not.
    Health,
    /// Measure how fast it is, as ratios to a raw probe of the disk.
    Bench(crate::bench::BenchArgs),
    /// Walk one order from created to delivered, and show every step.
    Demo(DemoArgs),
    /// Bring orders, products, bins or stock in from CSV files.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Show what processes gave up, try it again or give it up for good.
    Parked(ParkedArgs),
    /// Build read models anew from the logs, beside the live ones.
    Rebuild(RebuildArgs),
    /// Check that logs and read models hold together; ends with 1 when an invariant is violated.
    Verify(ReadArgs),
    /// Print events as JSON lines: all, or those of one aggregate.
    Events(EventsArgs),
}

/// Which role, and where its settings are.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// One of order, inventory, fulfillment, shipping, notification, gateway, ingress, sandbox.
    pub(crate) role: RoleArg,
    /// Settings as TOML; else the file that `NEXUS_CONFIG` names. The environment wins.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
}

/// A role as it is typed.
#[derive(Clone, Copy)]
pub(crate) struct RoleArg(pub(crate) Shape);

impl FromStr for RoleArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "sandbox" {
            return Ok(Self(Shape::Sandbox));
        }
        let known = Role::ALL.map(Role::name).join(", ");
        let role = text.parse::<Role>().map_err(|error| format!("{error}: {known}, sandbox"))?;
        Ok(Self(Shape::One(role)))
    }
}

/// Where the settings of the deployment are.
#[derive(Args)]
pub(crate) struct InitArgs {
    /// Settings as TOML; else the file that `NEXUS_CONFIG` names. The environment wins.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Make accounts at the sandboxes too, over the running gateway.
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Where that gateway's REST is.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) http: String,
}

/// Where certificates are put.
#[derive(Args)]
pub(crate) struct CertsArgs {
    /// Directory; an authority that is there already is kept, and signs anew.
    pub(crate) dir: PathBuf,
    /// Names and addresses besides localhost and the roles' names, for clients that check them.
    #[arg(long)]
    pub(crate) host: Vec<String>,
    /// How long the roles' certificates are valid.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=825))]
    pub(crate) days: u16,
}

/// Where nkeys are put.
#[derive(Args)]
pub(crate) struct NkeysArgs {
    /// Directory for the seeds, `ROLE.nk`, and for their public halves, `nkeys.conf`.
    pub(crate) dir: PathBuf,
}

/// Which deployment is read.
#[derive(Args)]
pub(crate) struct ReadArgs {
    /// Directory of a Nexus, running or stopped.
    #[arg(long, default_value = "./nexus-data")]
    pub(crate) data: PathBuf,
    /// NATS servers that keep the log, `nats://HOST:PORT`, several with commas.
    #[arg(long)]
    pub(crate) nats: Option<String>,
    /// Settings as TOML; else the file that `NEXUS_CONFIG` names. The environment wins.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Read with the rights of this role, whose nkey the settings name; `order` may read all logs.
    #[arg(long)]
    pub(crate) role: Option<RoleArg>,
}

impl ReadArgs {
    /// Whose rights are used.
    pub(crate) fn shape(&self) -> Shape {
        self.role.map_or(Shape::All, |role| role.0)
    }
}

/// Which events are printed.
#[derive(Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// An aggregate (`order-<id>`), an id, or a category (`order`).
    pub(crate) aggregate: Option<String>,
}

/// Where `up` keeps its files and listens.
#[derive(Args, Clone)]
pub(crate) struct UpArgs {
    /// Directory for logs, keys, views and blobs.
    #[arg(long, default_value = "./nexus-data")]
    pub(crate) data: PathBuf,
    /// Address of REST and console; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Address for webhooks of couriers and channels, nothing else on it.
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub(crate) ingress: SocketAddr,
    /// Address of gRPC, all services.
    #[arg(long, default_value = "127.0.0.1:8082")]
    pub(crate) grpc: SocketAddr,
    /// How fast the sandboxes' clock runs; every wait is divided by it.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    pub(crate) sandbox_speed: f64,
    /// What is logged, for example `info` or `nexus_order=debug,info`.
    #[arg(long, env = "NEXUS_LOG_FILTER", default_value = "info")]
    pub(crate) log: String,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 && speed <= 10_000.0 => Ok(speed),
        _ => Err("must be a number above 0, at most 10000".to_owned()),
    }
}

/// The demo runs a Nexus of its own, with a fast courier.
#[derive(Args, Clone)]
#[command(mut_arg("sandbox_speed", |speed| speed.default_value("10")))]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) up: UpArgs,
    /// End after the walk, also at a terminal.
    #[arg(long)]
    pub(crate) exit: bool,
}

/// How a running Nexus is found.
#[derive(Args, Clone)]
pub(crate) struct ReachArgs {
    /// Directory of the running Nexus: it holds its addresses and its admin key.
    #[arg(long, global = true, default_value = "./nexus-data")]
    pub(crate) data: PathBuf,
    /// Address of REST, where it is not the one that the directory names.
    #[arg(long, global = true)]
    pub(crate) http: Option<SocketAddr>,
    /// File with the API key, where it is not `admin.key` in the directory.
    #[arg(long, global = true, env = "NEXUS_ADMIN_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Taken so that all commands take the same flags; not used.
    #[arg(long, global = true, hide = true)]
    pub(crate) ingress: Option<SocketAddr>,
    /// Taken so that all commands take the same flags; not used.
    #[arg(long, global = true, hide = true)]
    pub(crate) grpc: Option<SocketAddr>,
}

/// What can be brought in.
#[derive(Subcommand)]
pub(crate) enum ImportCommand {
    /// Orders, one line of an order a row: reference,name,phone,…,sku,units,unit_price; or a
    /// directory with a shop's books.
    Orders(ImportOrdersArgs),
    /// Products: sku,name,barcodes,weight_grams,stocked; barcodes are code*units;code.
    Products(ImportFileArgs),
    /// Bins: warehouse,bin,pick_sequence,zone.
    Bins(ImportFileArgs),
    /// Stock received: warehouse,sku,bin,lot,units,receipt; the same file counts once.
    Stock(ImportStockArgs),
}

/// Which orders to bring in, and how far.
#[derive(Args)]
pub(crate) struct ImportOrdersArgs {
    /// CSV whose first line names the columns; or a directory with orders.csv and lines.csv.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Read and judge everything, send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Confirm each order too; that needs stock.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Only the first orders.
    #[arg(long)]
    pub(crate) limit: Option<usize>,
}

/// Which file to bring in.
#[derive(Args)]
pub(crate) struct ImportFileArgs {
    /// CSV whose first line names the columns.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Read and judge everything, send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which delivery to bring in.
#[derive(Args)]
pub(crate) struct ImportStockArgs {
    #[command(flatten)]
    pub(crate) file: ImportFileArgs,
    /// Name of the delivery, where the same rows may come twice; a name counts once.
    #[arg(long)]
    pub(crate) receipt: Option<String>,
}

/// Which parked work, and what to do about it.
#[derive(Args)]
pub(crate) struct ParkedArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(subcommand)]
    pub(crate) action: Option<ParkedAction>,
}

/// What to do about parked work.
#[derive(Subcommand)]
pub(crate) enum ParkedAction {
    /// Show it; what is done unless said.
    List,
    /// Try one piece again now.
    Retry {
        /// Its id.
        id: String,
    },
    /// Give one piece up for good.
    Skip {
        /// Its id.
        id: String,
        /// Why it need not be done; kept for ever.
        #[arg(long)]
        reason: String,
    },
}

/// Whose read models.
#[derive(Args)]
pub(crate) struct RebuildArgs {
    /// One service; all unless said.
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_demos_courier_is_faster_unless_it_is_told_otherwise() {
        let speed = |line: &[&str]| match Cli::parse_from(line).command {
            Command::Demo(args) => args.up.sandbox_speed,
            Command::Up(args) => args.sandbox_speed,
            _ => 0.0,
        };
        assert!((speed(&["nexus", "demo"]) - 10.0).abs() < f64::EPSILON);
        assert!((speed(&["nexus", "demo", "--sandbox-speed", "20"]) - 20.0).abs() < f64::EPSILON);
        assert!((speed(&["nexus", "up"]) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn data_may_stand_before_and_after_an_action() {
        for line in
            [["nexus", "parked", "--data", "x", "list"], ["nexus", "parked", "list", "--data", "x"]]
        {
            let Command::Parked(args) = Cli::parse_from(line).command else { panic!("{line:?}") };
            assert_eq!(args.reach.data, PathBuf::from("x"));
        }
    }
}
