//! Two processes of a role at once: order, inventory and gateway run twice, one of each is killed
//! under load and comes back without its disk; nothing is lost and nothing done twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use nexus_tests::harness::nats::NatsServer;
use nexus_tests::harness::seven::{PROCESSES, Seven};
use nexus_tests::harness::shop::{CAIRO, MUG};
use nexus_tests::harness::{Life, Look, Rest, Shop, Wish, ports, wait};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(120);
const READY: Duration = Duration::from_secs(60);
const SPEED: &str = "20";
/// The roles that run twice.
const TWICE: [&str; 3] = ["gateway", "order", "inventory"];
const LIVES: u32 = 20;
const UNITS: u32 = 1_000;

/// One of the two processes of a role.
#[derive(Clone)]
struct Replica {
    role: &'static str,
    grpc: SocketAddr,
    health: SocketAddr,
    http: SocketAddr,
    /// What it keeps: its read models.
    disk: PathBuf,
}

/// All processes, some roles twice. Dropped, they are killed.
struct Pairs {
    folder: tempfile::TempDir,
    nats: NatsServer,
    seven: Seven,
    replicas: [[Replica; 2]; 3],
    children: BTreeMap<String, Child>,
}

impl Drop for Pairs {
    fn drop(&mut self) {
        for child in self.children.values_mut() {
            // They may have ended by themselves.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Pairs {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let nats = NatsServer::start(&folder.path().join("nats")).await?;
        let seven = Seven::choose(&folder.path().join("data")).await?;
        seven.init(&nats.settings()).await?;
        let mut free = ports::free::<18>()?.into_iter();
        let mut nth = 0;
        let mut replica = |role: &'static str| {
            nth += 1;
            let mut next = || free.next().context("too few ports");
            let disk = folder.path().join(format!("disk-{nth}"));
            anyhow::Ok(Replica { role, grpc: next()?, health: next()?, http: next()?, disk })
        };
        let [a, b, c] = TWICE;
        let replicas =
            [[replica(a)?, replica(a)?], [replica(b)?, replica(b)?], [replica(c)?, replica(c)?]];
        let mut pairs = Self { folder, nats, seven, replicas, children: BTreeMap::new() };
        for role in PROCESSES.into_iter().filter(|role| !TWICE.contains(role)) {
            let child = pairs.seven.spawn_role(role, &pairs.settings(), &pairs.log(role))?;
            pairs.children.insert(role.to_owned(), child);
        }
        for replica in pairs.replicas.clone().into_iter().flatten() {
            pairs.begin(&replica)?;
        }
        for replica in pairs.replicas.clone().into_iter().flatten() {
            pairs.ready(&replica).await?;
        }
        let own = |role: &&str| !TWICE.contains(role) && *role != "sandbox";
        for role in PROCESSES.iter().filter(|role| own(role)) {
            is_ready(role, &pairs.seven.health(role)).await?;
        }
        pairs.tool(&["init", "--sandbox", "--http", &pairs.http(0)?]).await?;
        Ok(pairs)
    }

    /// What every process is told.
    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.nats.settings();
        let pair = |name: &str, value: String| (name.to_owned(), value);
        for [one, other] in &self.replicas {
            let both = format!("https://{},https://{}", one.grpc, other.grpc);
            settings.push((format!("NEXUS_{}_ADDRESS", one.role.to_uppercase()), both));
        }
        settings.push(pair("NEXUS_SANDBOX_SPEED", SPEED.to_owned()));
        settings
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts a replica, with whatever is on its disk.
    fn begin(&mut self, replica: &Replica) -> anyhow::Result<()> {
        let mut settings = self.settings();
        let own = [
            ("NEXUS_GRPC_LISTEN", replica.grpc.to_string()),
            ("NEXUS_HEALTH_LISTEN", replica.health.to_string()),
            ("NEXUS_HTTP_LISTEN", replica.http.to_string()),
            ("NEXUS_DATA", replica.disk.display().to_string()),
            ("NEXUS_MASTER_KEY_FILE", self.data().join("master.key").display().to_string()),
        ];
        settings.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let database = format!("NEXUS_{}_DATABASE", replica.role.to_uppercase());
        settings.push((database, replica.disk.display().to_string()));
        let name = replica.grpc.to_string();
        let child = self.seven.spawn_role(replica.role, &settings, &self.log(&name))?;
        self.children.insert(name, child);
        Ok(())
    }

    fn kill(&mut self, replica: &Replica) -> anyhow::Result<()> {
        let child = self.children.remove(&replica.grpc.to_string());
        let mut child = child.context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    async fn ready(&self, replica: &Replica) -> anyhow::Result<()> {
        is_ready(replica.role, &format!("http://{}", replica.health)).await
    }

    /// REST of one of the two gateways.
    fn http(&self, nth: usize) -> anyhow::Result<String> {
        let [gateways, ..] = &self.replicas;
        let gateway = gateways.get(nth).context("there are two gateways")?;
        Ok(format!("http://{}", gateway.http))
    }

    fn rest(&self, nth: usize) -> anyhow::Result<Rest> {
        let key = std::fs::read_to_string(self.data().join("admin.key"))?;
        Rest::new(&self.http(nth)?, key.trim())
    }

    async fn tool(&self, words: &[&str]) -> anyhow::Result<String> {
        let test = std::env::current_exe()?;
        let mut found = test.ancestors().skip(1).take(2).map(|folder| folder.join("nexus"));
        let binary = found.find(|path| path.is_file()).context("there is no nexus")?;
        let (seven, settings) = (self.seven.endpoints(), self.nats.settings());
        let mut command = tokio::process::Command::from(Command::new(binary));
        command.args(words).env("NEXUS_DATA", self.data()).envs(settings);
        command.env("NEXUS_SHIPPING_BOSTA_SANDBOX_URL", &seven.sandbox_courier);
        command.env("NEXUS_SHIPPING_INGRESS_URL", &seven.ingress);
        command.env("NEXUS_NOTIFICATION_WHATSAPP_SANDBOX_URL", &seven.sandbox_whatsapp);
        command.env("NEXUS_NOTIFICATION_INGRESS_URL", &seven.ingress);
        let ran = tokio::time::timeout(PATIENCE, command.output()).await??;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let also = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "nexus {}:\n{said}\n{also}", words.join(" "));
        Ok(said)
    }

    /// What both replicas of a role logged.
    fn logged(&self, [one, other]: &[Replica; 2]) -> anyhow::Result<String> {
        let read = |replica: &Replica| std::fs::read_to_string(self.log(&replica.grpc.to_string()));
        Ok(read(one)? + &read(other)?)
    }
}

async fn is_ready(role: &str, health: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let mut said = String::new();
    let what = format!("for {role} to be ready");
    let waited = wait::until(&what, READY, async || {
        let Ok(answer) = http.get(format!("{health}/readyz")).send().await else { return Ok(None) };
        let ready = answer.status().is_success();
        said = answer.text().await.unwrap_or_default();
        Ok(ready.then_some(()))
    });
    waited.await.with_context(|| format!("it says {said:?}"))
}

/// Walks lives at both gateways, and kills one replica of each doubled role under way. Lives at the
/// gateway that is dead go on when it is back.
async fn walk(pairs: &mut Pairs, shops: &[Shop; 2]) -> anyhow::Result<()> {
    let begun = Arc::new(AtomicUsize::new(0));
    let lives = (0..LIVES).map(|number| {
        let [one, other] = shops;
        let shop = if number % 2 == 0 { one } else { other };
        let begun = Arc::clone(&begun);
        async move {
            let mut life = Life::begin(shop, Wish::of(number + 1, &[(MUG, 3)])).await?;
            life.confirm().await?;
            begun.fetch_add(1, Ordering::SeqCst);
            life.walk_on().await?;
            ensure!(life.order().await?.text("status") == "delivered");
            anyhow::Ok(())
        }
    });
    let killing = async {
        for (nth, [first, _]) in pairs.replicas.clone().iter().enumerate() {
            let some = 2 + nth * 4;
            let what = format!("for {some} orders to be confirmed");
            wait::until(&what, PATIENCE, async || {
                Ok((begun.load(Ordering::SeqCst) >= some).then_some(()))
            })
            .await?;
            pairs.kill(first)?;
        }
        let [[gateway, _], ..] = pairs.replicas.clone();
        pairs.begin(&gateway)?;
        pairs.ready(&gateway).await
    };
    let (walked, killed) = tokio::join!(try_join_all(lives), killing);
    killed?;
    walked.map(drop)
}

#[tokio::test]
async fn two_replicas_of_three_roles_walk_twenty_lives_while_one_of_each_is_killed()
-> anyhow::Result<()> {
    let mut pairs = Pairs::start().await?;
    let patient = |rest: Rest| rest.patient(PATIENCE);
    let first = Shop::open(patient(pairs.rest(0)?), UNITS).await?;
    let second = Shop { rest: patient(pairs.rest(1)?), ..first.clone() };

    // What one gateway and its services did, the others show to whoever brings the position.
    let article = json!({"sku": "PLATE", "name": "Plate"});
    let made = first.rest.post("/v1/products", &article).await?;
    let path = format!("/v1/products/PLATE?min_position={}", made.text("position"));
    ensure!(second.rest.get(&path).await?.text("name") == "Plate");

    let shops = [first, second];
    walk(&mut pairs, &shops).await?;
    let [[gateway, _], orders, inventories] = pairs.replicas.clone();

    // Those that were killed come back with an empty disk, and serve alone.
    for [dead, alive] in [&orders, &inventories] {
        std::fs::remove_dir_all(&dead.disk)?;
        pairs.begin(dead)?;
        pairs.ready(dead).await?;
        pairs.kill(alive)?;
    }
    let [shop, _] = &shops;
    let all = shop.rest.all("/v1/orders", "orders").await?;
    ensure!(all.len() == 20, "{} orders", all.len());
    ensure!(all.iter().all(|order| order.text("status") == "delivered"), "{all:?}");
    let stock = shop.stock(MUG.sku, CAIRO).await?;
    let shipped = i64::from(UNITS - LIVES * 3);
    ensure!((stock.on_hand, stock.reserved, stock.picked) == (shipped, 0, 0), "{stock:?}");
    let mut last = Life::begin(shop, Wish::of(LIVES + 1, &[(MUG, 1)])).await?;
    last.walk().await?;
    let numbers: std::collections::BTreeSet<_> =
        shop.rest.all("/v1/orders", "orders").await?.iter().map(number_of).collect();
    ensure!(numbers.len() == 21, "a number was given twice: {numbers:?}");

    let said = pairs.logged(&inventories)?;
    ensure!(said.contains("is decided here") && said.contains("is decided at https://"));
    for replicas in [&orders, &inventories] {
        ensure!(!pairs.logged(replicas)?.contains("\"denied"), "a replica was denied a call");
    }
    ensure!(pairs.ready(&gateway).await.is_ok());
    pairs.tool(&["verify", "--data", &pairs.data().display().to_string()]).await.map(drop)
}

fn number_of(order: &serde_json::Value) -> String {
    order.text("number").to_owned()
}
