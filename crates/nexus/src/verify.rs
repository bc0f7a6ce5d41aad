//! `nexus verify`: do logs and views hold together? It only reads, live or stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use nexus_es::EventLog;
use nexus_es::ports::KeyStore;
use nexus_es::seal::Vault;
use nexus_es::tasks::Tasks;
use nexus_es::views::{Database, PostgresUrl, Views, ViewsConfig, copy_of};
use nexus_runtime::Role;
use nexus_verify::{Live, Report, SERVICES, ViewsOf, verify_log, verify_views};

use crate::backend::ToRead;
use crate::cli::ReadArgs;
use crate::config::Config;
use crate::root::Root;

const POLL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(600);
/// A database that says nothing for so long is out of reach.
const REACH: Duration = Duration::from_secs(60);

pub(crate) async fn run(args: &ReadArgs) -> anyhow::Result<ExitCode> {
    let report = report(args).await?;
    print!("{report}");
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether nothing is wrong with the Nexus in this directory.
pub(crate) async fn is_green(data: &Path) -> anyhow::Result<bool> {
    let args = ReadArgs { data: data.to_owned(), nats: None, config: None, role: None };
    Ok(report(&args).await?.is_green())
}

/// Checks the logs against themselves and each other, and the views against the logs.
async fn report(args: &ReadArgs) -> anyhow::Result<Report> {
    let config = Config::to_read(args)?;
    let ToRead { log, keys } = ToRead::open(&config, args.shape()).await?;
    let logs = verify_log(log.clone(), &SERVICES).await.context("the logs cannot be checked")?;
    if !config.master_key().exists() {
        // Views hold in clear what the log holds sealed: they cannot be made anew without it.
        let key = config.master_key();
        println!("the read models were not looked at: there is no master key {}", key.display());
        return Ok(logs);
    }
    let views = builders(&config, keys, &log)?;
    let views = verify_views(log, &SERVICES, &views).await;
    Ok(logs.merged(views.context("the views cannot be checked")?))
}

/// How each service's views are looked at, and built anew in another directory.
fn builders(
    config: &Config,
    keys: Arc<dyn KeyStore>,
    log: &Arc<dyn EventLog>,
) -> anyhow::Result<Vec<ViewsOf>> {
    let vault = Arc::new(Vault::new(keys, Root::load(&config.master_key())?.masters()?));
    let (order, shipping, notification) = (vault.clone(), vault.clone(), vault);
    let of = |role| (role, config.database(role), Arc::clone(log));
    Ok(vec![
        builder(of(Role::Gateway), nexus_gateway::views_config),
        builder(of(Role::Inventory), nexus_inventory::views_config),
        builder(of(Role::Fulfillment), nexus_fulfillment::views_config),
        builder(of(Role::Ingress), nexus_ingress::views_config),
        builder(of(Role::Order), move |at| nexus_order::views_config(at, &order)),
        builder(of(Role::Shipping), move |at| nexus_shipping::views_config(at, &shipping)),
        builder(of(Role::Notification), move |at| {
            nexus_notification::views_config(at, &notification)
        }),
    ])
}

fn builder(
    (role, live, log): (Role, Database, Arc<dyn EventLog>),
    config: impl Fn(Database) -> ViewsConfig + Send + Sync + 'static,
) -> ViewsOf {
    let config = Arc::new(config);
    let copied = Arc::clone(&config);
    let live = match live {
        Database::Directory(directory) => Live::Files(directory),
        Database::Postgres(url) => Live::Elsewhere(Box::new(move |dir: PathBuf| {
            let (url, config) = (url.clone(), copied(dir.clone().into()));
            async move { copy(url, config, &dir).await }.boxed()
        })),
    };
    let build = move |dir: PathBuf| {
        let built = build(config(dir.into()), Arc::clone(&log));
        async move { built.await.map_err(|error| format!("{error:#}")) }.boxed()
    };
    ViewsOf { service: role.name(), live, build: Box::new(build) }
}

/// Copies views out of PostgreSQL, or says in one line why it could not.
async fn copy(url: PostgresUrl, config: ViewsConfig, dir: &Path) -> Result<bool, String> {
    let copied = tokio::time::timeout(REACH, copy_of(&url, &config, dir)).await;
    match copied {
        Ok(Ok(copied)) => Ok(copied),
        Ok(Err(error)) => Err(format!("{url}: {}", nexus_runtime::status::chain(&error))),
        Err(_) => Err(format!("{url} does not answer")),
    }
}

/// Feeds new views from the log, and answers the digest of their rows.
async fn build(config: ViewsConfig, log: Arc<dyn EventLog>) -> anyhow::Result<String> {
    let tasks = Tasks::default();
    let views = Views::start(config, log, tasks.clone()).await?;
    let mut poll = tokio::time::interval(POLL);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !views.caught_up().await? {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the views did not catch up");
        poll.tick().await;
    }
    let digest = views.content_hash().await?;
    tasks.shut_down(Duration::from_secs(5)).await;
    Ok(digest)
}
