//! `docker-compose.yml`: all roles, hardened, with settings that the binary takes.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::repository::{
    ROLES, SECRETS_AT, config_of, is_there, make_secrets, root, said, secrets, strings, text, yaml,
};

fn compose() -> Value {
    yaml(&text("docker-compose.yml")).remove(0)
}

fn services(compose: &Value) -> BTreeMap<String, Value> {
    let services = compose["services"].as_object().unwrap();
    services.iter().map(|(name, service)| (name.clone(), service.clone())).collect()
}

/// `${NAME:-value}` as it is when nobody set NAME.
fn unset(text: &str) -> String {
    match text.split_once("${").and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        None => text.to_owned(),
        Some((before, (variable, after))) => {
            let default = variable.split_once(":-").map_or("", |(_, default)| default);
            format!("{before}{default}{}", unset(after))
        }
    }
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let pairs = service["environment"].as_object().cloned().unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name, unset(value.as_str().unwrap()))).collect()
}

/// Where a service takes its secrets from.
fn secrets_of(service: &Value) -> Vec<String> {
    let volumes = service["volumes"].as_array().cloned().unwrap_or_default();
    let sources = volumes.iter().filter_map(|volume| {
        let source = volume["source"].as_str()?.strip_prefix("./nexus-secrets/")?;
        assert_eq!(volume["read_only"], true, "{volume}");
        assert_eq!(volume["bind"]["create_host_path"], false, "{volume}");
        Some(source.to_owned())
    });
    sources.collect()
}

#[test]
fn each_role_is_a_container_of_the_one_image_and_sees_its_own_secrets() {
    let compose = compose();
    let services = services(&compose);
    for role in ROLES {
        let service = &services[role];
        assert_eq!(strings(&service["command"]), ["serve", role]);
        assert_eq!(service["image"], services["order"]["image"], "{role}");
        assert_eq!(service["user"], "65532:65532", "{role}");
        assert_eq!(secrets_of(service), [role]);
        let asked = strings(&service["healthcheck"]["test"]);
        assert_eq!(asked, ["CMD", "/usr/local/bin/nexus", "health"], "{role}");
        for (needed, condition) in service["depends_on"].as_object().unwrap() {
            let done = condition["condition"].as_str().unwrap();
            assert!(["service_healthy", "service_completed_successfully"].contains(&done));
            let probed = services[needed].get("healthcheck").is_some();
            assert_eq!(done == "service_healthy", probed && needed != "init", "{role}: {needed}");
        }
    }
}

#[test]
fn no_container_may_write_gain_rights_or_be_root() {
    for (name, service) in services(&compose()) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(service.get("cap_add").is_none() && service.get("privileged").is_none(), "{name}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let user = unset(service["user"].as_str().unwrap_or("0"));
        if name != "nats-exporter" {
            assert!(service.get("network_mode").is_none(), "{name}");
        }
        assert!(user != "0" && !user.starts_with("0:") && user != "root", "{name} is {user}");
        let image = unset(service["image"].as_str().unwrap());
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        let ours = image == "nexus:local";
        assert!(ours || tag.chars().any(|c| c.is_ascii_digit()), "{image} names no version");
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is open to the network: {port}");
        }
    }
}

#[test]
fn what_compose_names_is_there() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for volume in service["volumes"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let source = volume["source"].as_str().or_else(|| volume.as_str()).unwrap();
            let source = source.split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(path) if path.starts_with("nexus-backup") => {}
                Some(path) => {
                    let own = path.strip_prefix("nexus-secrets/").map(|own| secrets().join(own));
                    let file = own.unwrap_or_else(|| root().join(path));
                    assert!(file.exists(), "{name} mounts {path}, which is not there");
                }
                None => assert!(compose["volumes"].get(source).is_some(), "{name}: {source}"),
            }
        }
        for network in strings(&service["networks"]) {
            assert!(compose["networks"].get(&network).is_some(), "{name}: network {network}");
        }
        if let Some(file) = service["build"]["dockerfile"].as_str() {
            assert!(root().join(file).is_file(), "{name} is built by {file}");
        }
    }
}

#[test]
fn a_role_takes_every_setting_that_compose_gives_it() {
    let services = services(&compose());
    for role in ROLES {
        let environment = environment(&services[role]);
        let config = config_of(role, role, &environment);
        for (name, value) in &environment {
            let there = value.contains(SECRETS_AT) || config.get(name) == Some(value);
            let elsewhere = name == "NEXUS_CONFIG" || name.starts_with("OTEL_");
            assert!(there || elsewhere, "{role}: {name} is {:?}", config.get(name));
        }
        let database = &config[&format!("NEXUS_{}_DATABASE", role.to_uppercase())];
        assert_eq!(database, &format!("postgres://{role}:****@postgres:5432/{role}"));
    }
    let sandbox = config_of("sandbox", "init", &environment(&services["sandbox"]));
    assert_eq!(sandbox["NEXUS_SANDBOX_COURIER_LISTEN"], "0.0.0.0:8083");
    // What makes streams calls no role, so it needs no certificate.
    let mut init = environment(&services["init"]);
    init.insert("NEXUS_PLAINTEXT".to_owned(), "yes".to_owned());
    assert_eq!(config_of("order", "init", &init)["NEXUS_ADMIN_KEY_FILE"], "/data/admin.key");
}

#[test]
fn an_unknown_setting_would_be_found() {
    let mut environment = environment(&services(&compose())["order"]);
    environment.insert("NEXUS_NATS_REPLICA".to_owned(), "1".to_owned());
    let refused = std::panic::catch_unwind(|| config_of("order", "order", &environment));
    assert!(refused.is_err());
}

#[test]
fn secrets_made_again_have_new_certificates_and_the_keys_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let all = |names: &[&str]| names.iter().map(|name| read(name)).collect::<Vec<_>>();
    let kept = ["order/master.key", "order/nats.nk", "order/settings.toml", "nats/nkeys.conf"];
    make_secrets(folder.path());
    let (before, certificate) = (all(&kept), read("order/tls.pem"));
    make_secrets(folder.path());
    assert_eq!(all(&kept), before);
    assert_ne!(read("order/tls.pem"), certificate);
    for role in ROLES {
        assert_eq!(read(&format!("{role}/master.key")), before[0], "{role}");
    }
    assert_ne!(read("shipping/nats.nk"), read("order/nats.nk"));
    assert!(!folder.path().join("order/ca.key").exists(), "no role signs certificates");
}

#[test]
fn docker_compose_understands_the_file() {
    if !is_there(&["docker", "compose", "version"], "docker compose config") {
        return;
    }
    for profiles in [&[][..], &["--profile", "sandbox", "--profile", "tools"]] {
        let mut command = Command::new("docker");
        command.arg("compose").args(profiles).args(["config", "--quiet"]).current_dir(root());
        let checked = command.output().unwrap();
        assert!(checked.status.success(), "{}", said(&checked));
    }
}
