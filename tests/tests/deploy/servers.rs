//! The NATS servers' configuration: the adapter's permissions, taken by the real server, and enough
//! for all roles to get ready.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nexus_es_jetstream::{Permissions, SERVICES};

use super::repository::{ROLES, nats_server, nexus, root, run, said, secrets, text};

const ACCOUNTS: &str = "deploy/nats/accounts.conf";
const PATIENCE: Duration = Duration::from_secs(120);

const HEAD: &str = r#"
# Who may do what: one user a role, each with its own nkey and these subjects, nothing else.
# The lists are those of crates/es-jetstream/src/permissions.rs, and a test compares the two.

# NKEY_ORDER: "U…" and so on: the public halves, made by deploy/secrets.sh.
include made/nkeys.conf

system_account: SYS

accounts {
  SYS {
    users: [
"#;
const BETWEEN: &str = r#"    ]
  }

  NEXUS {
    # As much as the servers have: a limit here would count each replica.
    jetstream: enabled
    users: [
      # Makes streams and buckets (`nexus init`), backs up and restores. No role has it.
      { nkey: $NKEY_ADMIN }
"#;
const FOOT: &str = "    ]\n  }\n}\n";

fn user(variable: &str, comment: &str, may: &Permissions) -> String {
    let list = |subjects: &[String]| {
        subjects.iter().fold(String::new(), |mut text, subject| {
            writeln!(text, "          \"{subject}\"").unwrap();
            text
        })
    };
    format!(
        "      # {comment}\n      {{ nkey: $NKEY_{variable}, permissions: {{\n        publish: {{ \
         allow: [\n{}        ] }}\n        subscribe: {{ allow: [\n{}        ] }}\n      }} }}\n",
        list(&may.publish),
        list(&may.subscribe)
    )
}

#[test]
fn the_servers_grant_what_the_adapter_needs_and_nothing_else() {
    let about = "Reads how the servers sync, by which a role knows what acknowledged means.";
    let mut wanted =
        HEAD.trim_start().to_owned() + &user("SYSTEM", about, &Permissions::of_watcher()) + BETWEEN;
    for role in SERVICES {
        wanted += &user(&role.to_uppercase(), role, &Permissions::of(role));
    }
    wanted += FOOT;
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("accounts.conf");
    std::fs::write(&fresh, &wanted).unwrap();
    let differs = format!("{ACCOUNTS} is not what the adapter says: copy {}", fresh.display());
    assert!(text(ACCOUNTS) == wanted, "{differs}");
}

/// A copy of a configuration with the secrets of this test beside it, and its paths.
fn laid_out(config: &str, folder: &Path) -> PathBuf {
    let here = folder.display();
    let text = text(&format!("deploy/nats/{config}"))
        .replace("/etc/nats/made", &secrets().join("nats").display().to_string())
        .replace("\"/data\"", &format!("\"{here}/data\""))
        .replace("/run/nats", &here.to_string());
    let accounts = self::text(ACCOUNTS)
        .replace("include made/nkeys.conf", &read(&secrets().join("nats/nkeys.conf")));
    std::fs::write(folder.join("accounts.conf"), accounts).unwrap();
    let file = folder.join(config);
    std::fs::write(&file, text).unwrap();
    file
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_real_server_takes_both_configurations() {
    let environment =
        variables(&[("NATS_NAME", "nats-0"), ("NATS_ADVERTISE", "nats-0.nats-peers:4222")]);
    for config in ["nats.conf", "cluster.conf"] {
        let folder = tempfile::tempdir().unwrap();
        let file = laid_out(config, folder.path()).display().to_string();
        let tested = run(&nats_server(), &["-t", "-c", &file], &environment);
        assert!(tested.status.success(), "{config}: {}", said(&tested));
        let text = text(&format!("deploy/nats/{config}"));
        assert!(text.contains("\n  sync_interval: always\n"), "{config}");
        assert!(text.contains("\nhttp: \"127.0.0.1:8222\"\n"), "{config}");
    }
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(
    program: &Path,
    words: &[&str],
    environment: &BTreeMap<String, String>,
    log: &Path,
) -> Running {
    let log = std::fs::File::create(log).unwrap();
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(environment).stdin(Stdio::null());
    Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn wait_until(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let since = Instant::now();
    while let Err(why) = done() {
        assert!(since.elapsed() < PATIENCE, "{what}: {why}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

/// The settings of a container, for a process on this machine.
fn settings(folder: &str, nats: u16, data: &Path) -> BTreeMap<String, String> {
    let own = secrets().join(folder);
    let own = |name: &str| own.join(name).display().to_string();
    let mut settings = variables(&[("NEXUS_NATS_REPLICAS", "1")]);
    for (name, value) in [
        ("NEXUS_LOG", format!("tls://127.0.0.1:{nats}")),
        ("NEXUS_NATS_NKEY_FILE", own("nats.nk")),
        ("NEXUS_NATS_CA_FILE", own("ca.pem")),
        ("NEXUS_NATS_SYSTEM_NKEY_FILE", own("system.nk")),
        ("NEXUS_MASTER_KEY_FILE", own("master.key")),
        ("NEXUS_DATA", data.display().to_string()),
    ] {
        settings.insert(name.to_owned(), value);
    }
    settings
}

#[test]
fn all_roles_get_ready_on_it_each_with_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ports = free_ports(1 + 4 * ROLES.len());
    let nats = ports[0];
    let config = laid_out("nats.conf", folder.path());
    let text = read(&config).replace("0.0.0.0:4222", &format!("127.0.0.1:{nats}"));
    std::fs::write(&config, text.replace("http: \"127.0.0.1:8222\"", "")).unwrap();
    let words = ["-c", config.to_str().unwrap()];
    let _server = start(&nats_server(), &words, &BTreeMap::new(), &at("nats.log"));

    let init = settings("init", nats, &at("init"));
    std::fs::create_dir(at("init")).unwrap();
    wait_until("nexus init", || {
        let made = run(&nexus(), &["init"], &init);
        if made.status.success() { Ok(()) } else { Err(said(&made)) }
    });
    let key = read(&at("init").join("admin.key"));
    assert!(run(&nexus(), &["init"], &init).status.success(), "it may be run again");
    assert_eq!(read(&at("init").join("admin.key")), key);

    let port = |role: usize, nth: usize| format!("127.0.0.1:{}", ports[1 + role * 4 + nth]);
    let mut running = Vec::new();
    for (nth, role) in ROLES.into_iter().enumerate() {
        let mut own = settings(role, nats, &at(role));
        for (listen, which) in [("GRPC", 0), ("HTTP", 1), ("INGRESS", 2), ("HEALTH", 3)] {
            own.insert(format!("NEXUS_{listen}_LISTEN"), port(nth, which));
        }
        for (other, called) in ROLES.into_iter().enumerate() {
            let name = format!("NEXUS_{}_ADDRESS", called.to_uppercase());
            own.insert(name, format!("https://{}", port(other, 0)));
        }
        for (name, file) in [("CERT", "tls.pem"), ("KEY", "tls.key"), ("CA", "ca.pem")] {
            let file = secrets().join(role).join(file).display().to_string();
            own.insert(format!("NEXUS_TLS_{name}_FILE"), file);
        }
        let log = at(&format!("{role}.log"));
        running.push((role, start(&nexus(), &["serve", role], &own, &log), own));
    }
    for (role, process, own) in &mut running {
        wait_until(role, || {
            let log = read(&at(&format!("{role}.log")));
            let ended = process.0.try_wait().unwrap();
            assert!(ended.is_none(), "{role} ended: {log}");
            let health = run(&nexus(), &["health"], own);
            if health.status.success() { Ok(()) } else { Err(said(&health) + &log) }
        });
        let health = said(&run(&nexus(), &["health"], own));
        assert!(health.contains("strict (jetstream R1, sync_interval always)"), "{health}");
        let log = read(&at(&format!("{role}.log")));
        assert!(!log.contains("refused a request"), "{role} lacks a permission: {log}");
    }
    assert!(root().join(ACCOUNTS).is_file());
}
