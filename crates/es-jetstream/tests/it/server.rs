//! A nats-server of a test's own, on free ports of the loopback. Its directory ends with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use async_nats::jetstream::Context;
use nexus_es_jetstream::{JetStreamLog, JetStreamStore, Login, Options, Permissions, SERVICES};
use nkeys::KeyPair;
use serde_json::Value;
use tempfile::TempDir;

use crate::steps::Waiting;

/// What a test's server is to be.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// `always`, or an interval.
    pub(crate) sync_interval: &'static str,
    /// Its name, its own route port and those of all, if it is one of a cluster.
    pub(crate) cluster: Option<(String, u16, Vec<u16>)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { sync_interval: "always", cluster: None }
    }
}

pub(crate) struct Server {
    directory: TempDir,
    setup: Setup,
    running: Mutex<Option<Running>>,
}

struct Running {
    process: Process,
    port: u16,
    monitor_port: u16,
}

/// True when every thread of the process is stopped.
fn stands_still(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.filter_map(Result::ok).all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state comes after the name, which stands in brackets.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

impl Server {
    /// Starts a server over an empty store and waits until it takes connections.
    pub(crate) async fn start(setup: Setup) -> Arc<Self> {
        let directory = tempfile::Builder::new().prefix("nexus-nats-").tempdir().unwrap();
        let server = Arc::new(Self { directory, setup, running: Mutex::new(None) });
        server.run(None).await;
        server
    }

    /// Kills it without a warning, and starts it again over the same store and on the same ports.
    pub(crate) async fn kill_and_restart(&self) {
        self.kill();
        self.restart().await;
    }

    /// Ends it as a power cut would: it cannot finish anything.
    pub(crate) fn kill(&self) {
        if let Some(running) = &mut *self.running() {
            running.process.kill();
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running()
            .as_mut()
            .is_some_and(|running| matches!(running.process.0.try_wait(), Ok(None)))
    }

    /// Stops its clock: it keeps its connections and does nothing.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
        // The signal is only sent by then: a busy thread may still answer something.
        let process = self.running().as_ref().map(|running| running.process.0.id()).unwrap();
        let asked = std::time::Instant::now();
        while !stands_still(process) {
            assert!(asked.elapsed().as_secs() < 5, "{process} does not stop");
            std::thread::yield_now();
        }
    }

    /// Lets a paused server go on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.running().as_ref().map(|running| running.process.0.id()).unwrap();
        let sent = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
        assert!(sent.success(), "kill {signal} {process}");
    }

    /// Starts a killed server again, on the same ports.
    pub(crate) async fn restart(&self) {
        let ports = self.ports();
        self.run(Some(ports)).await;
    }

    /// Where it keeps `stream`.
    pub(crate) fn store_of(&self, stream: &str) -> PathBuf {
        self.directory.path().join("store/jetstream/NEXUS/streams").join(stream)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports().0)
    }

    pub(crate) fn monitor(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports().1)
    }

    /// Options that every start of these tests shares.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new(vec![self.url()]);
        options.login = Some(login("nexus"));
        options.services = nexus_es::contract::SERVICES.map(str::to_owned).to_vec();
        options.stream_max_bytes = 512 * 1024 * 1024;
        options.blobs_max_bytes = 512 * 1024 * 1024;
        options.monitors = vec![self.monitor()];
        options
    }

    /// JetStream as an operator's tool sees it.
    pub(crate) async fn context(&self) -> Context {
        let options = async_nats::ConnectOptions::with_user_and_password(
            "nexus".to_owned(),
            "secret".to_owned(),
        );
        async_nats::jetstream::new(options.connect(self.url()).await.unwrap())
    }

    pub(crate) async fn log(&self) -> Arc<JetStreamLog> {
        Arc::new(JetStreamLog::connect(self.options()).await.unwrap())
    }

    pub(crate) async fn store(&self) -> JetStreamStore {
        JetStreamStore::connect(self.options()).await.unwrap()
    }

    /// What the process of `role` connects with: its own nkey and nothing beyond its permissions.
    pub(crate) fn options_of(&self, role: &str) -> Options {
        let (_, key) = KEYS.iter().find(|(known, _)| *known == role).unwrap();
        let seed = key.seed().unwrap().into();
        Options { login: Some(Login::Nkey { seed }), ..self.options().as_role(role) }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ports(&self) -> (u16, u16) {
        let running = self.running();
        let running = running.as_ref().unwrap();
        (running.port, running.monitor_port)
    }

    async fn run(&self, ports: Option<(u16, u16)>) {
        let config = self.directory.path().join("nats.conf");
        std::fs::write(&config, self.config(ports)).unwrap();
        let log = std::fs::File::create(self.directory.path().join("server.log")).unwrap();
        // A port may still be taken for a moment after a kill: then it is tried again.
        let waiting = Waiting::until("nats-server takes connections");
        loop {
            let child = Command::new(binary())
                .arg("--config")
                .arg(&config)
                .stdout(log.try_clone().unwrap())
                .stderr(log.try_clone().unwrap())
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let mut process = Process(child);
            let file = format!("nats-server_{}.ports", process.0.id());
            let file = self.directory.path().join(file);
            while process.0.try_wait().unwrap().is_none() {
                if let Some((port, monitor_port)) = ports_in(&file) {
                    *self.running() = Some(Running { process, port, monitor_port });
                    return;
                }
                waiting.on().await;
            }
            waiting.on().await;
        }
    }

    fn config(&self, ports: Option<(u16, u16)>) -> String {
        let directory = self.directory.path().display();
        let sync_interval = self.setup.sync_interval;
        let (port, monitor) = ports.map_or((-1, -1), |(a, b)| (i32::from(a), i32::from(b)));
        let cluster = self.setup.cluster.as_ref().map_or(String::new(), |(name, own, all)| {
            let route = |port: &u16| format!("nats://127.0.0.1:{port}");
            let routes = all.iter().map(route).collect::<Vec<_>>().join(", ");
            format!(
                "server_name: {name}\n\
                 cluster {{ name: nexus, listen: \"127.0.0.1:{own}\", routes: [{routes}] }}\n"
            )
        });
        let watcher = Permissions::of_watcher();
        let roles: String = KEYS
            .iter()
            .map(|(role, key)| {
                let may = Permissions::of(role);
                format!(", {{ nkey: {}, permissions: {may} }}", key.public_key())
            })
            .collect();
        format!(
            "listen: \"127.0.0.1:{port}\"\n\
             http: \"127.0.0.1:{monitor}\"\n\
             ports_file_dir: \"{directory}\"\n\
             jetstream {{ store_dir: \"{directory}/store\", sync_interval: {sync_interval} }}\n\
             system_account: SYS\n\
             accounts {{\n\
               SYS {{ users: [\
                 {{ user: watcher, password: secret, permissions: {watcher} }}] }}\n\
               NEXUS {{ jetstream: enabled, users: [\
                 {{ user: nexus, password: secret }}{roles} ] }}\n\
             }}\n{cluster}"
        )
    }
}

/// A key for each service, new in each run.
static KEYS: LazyLock<Vec<(&'static str, KeyPair)>> =
    LazyLock::new(|| SERVICES.map(|role| (role, KeyPair::new_user())).into());

/// `nexus` may do all in its account; `watcher` belongs to the system account.
pub(crate) fn login(user: &str) -> Login {
    Login::Password { user: user.to_owned(), password: "secret".into() }
}

/// A process that does not outlive its test.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The ports of clients and of the monitor, once the server has written them.
fn ports_in(file: &Path) -> Option<(u16, u16)> {
    let text = std::fs::read(file).ok()?;
    let ports: Value = serde_json::from_slice(&text).ok()?;
    let port = |kind: &str| {
        let url = ports.pointer(&format!("/{kind}/0"))?.as_str()?;
        url.rsplit(':').next()?.parse().ok()
    };
    Some((port("nats")?, port("monitoring")?))
}

fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("NEXUS_NATS_SERVER") {
        return named.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fetched = root.join("target/tools/nats-server");
    assert!(fetched.is_file(), "there is no nats-server for the tests: run cargo xtask test");
    fetched
}
