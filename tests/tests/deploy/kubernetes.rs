//! `deploy/kubernetes` and `deploy/nats`: the same roles and settings, and nothing in clear.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::repository::{ROLES, config_of, files_in, is_there, root, said, strings, text, yaml};

const SETTINGS: &str = "deploy/kubernetes/base/settings.env";

fn manifests(file: &str) -> Vec<Value> {
    yaml(&text(file))
}

fn of_kind<'m>(manifests: &'m [Value], kind: &str, name: &str) -> &'m Value {
    let found = manifests.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn assert_locked(name: &str, pod: &Value, container: &Value) {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
    assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{name}");
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
    assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
    assert_eq!(pod["enableServiceLinks"], false, "{name}: such variables are unknown settings");
    let own = &container["securityContext"];
    assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
    assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
    assert_eq!(strings(&own["capabilities"]["drop"]), ["ALL"], "{name}");
    assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
    assert!(container["resources"]["requests"]["memory"].is_string(), "{name}");
}

#[test]
fn each_role_has_a_deployment_a_service_and_a_budget() {
    let base = manifests("deploy/kubernetes/base/roles.yaml");
    for role in ROLES {
        let spec = &of_kind(&base, "Deployment", role)["spec"];
        let pod = &spec["template"]["spec"];
        assert_eq!(strings(&pod["containers"][0]["args"]), ["serve", role]);
        let secret = format!("nexus-{role}");
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], secret.as_str());
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/name"], role);
        assert_eq!(&spec["selector"]["matchLabels"], labels);
        assert_eq!(&of_kind(&base, "Service", role)["spec"]["selector"], labels);
        let budget = &of_kind(&base, "PodDisruptionBudget", role)["spec"];
        assert_eq!(&budget["selector"]["matchLabels"], labels);
        assert_eq!(budget["maxUnavailable"], 1);
    }
}

#[test]
fn what_all_pods_have_in_common_is_locked_and_probed() {
    let common = manifests("deploy/kubernetes/base/pod.yaml").remove(0);
    let pod = &common["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_locked("pod.yaml", pod, container);
    for (probe, path) in
        [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(container[probe]["httpGet"]["port"], "health");
    }
    // Four families of tasks may take ten seconds each, after the sleep before the stop.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= 50);
    assert!(common["spec"]["replicas"].as_u64().unwrap() >= 2);
}

#[test]
fn a_role_takes_every_setting_that_kubernetes_gives_it() {
    let pairs = text(SETTINGS);
    let mut settings: BTreeMap<_, _> = pairs
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let example = manifests("deploy/kubernetes/production/kustomization.yaml").remove(0);
    for literal in strings(&example["configMapGenerator"][0]["literals"]) {
        let (name, value) = literal.split_once('=').unwrap();
        settings.insert(name.to_owned(), value.to_owned());
    }
    for role in ROLES {
        let config = config_of(role, role, &settings);
        assert_eq!(config["NEXUS_NATS_REPLICAS"], "3");
        assert_eq!(config["NEXUS_LOG"], settings["NEXUS_LOG"]);
    }
    let ports: BTreeSet<_> =
        settings.iter().filter(|(name, _)| name.ends_with("_LISTEN")).map(|(_, at)| at).collect();
    let pod = manifests("deploy/kubernetes/base/pod.yaml").remove(0);
    let open = &pod["spec"]["template"]["spec"]["containers"][0]["ports"];
    for port in open.as_array().unwrap() {
        let at = format!("0.0.0.0:{}", port["containerPort"]);
        assert!(ports.contains(&at), "nobody listens at {at}");
    }
}

#[test]
fn nats_servers_are_locked_and_three() {
    let servers = manifests("deploy/nats/servers.yaml");
    let spec = &of_kind(&servers, "StatefulSet", "nats")["spec"];
    assert_eq!(spec["replicas"], 3);
    let pod = &spec["template"]["spec"];
    for container in pod["containers"].as_array().unwrap() {
        assert_locked("nats", pod, container);
        let image = container["image"].as_str().unwrap();
        let (_, tag) = image.split_once(':').unwrap();
        assert!(tag.starts_with(|c: char| c.is_ascii_digit()), "{image} names no version");
    }
    let compose = text("docker-compose.yml");
    let image = pod["containers"][0]["image"].as_str().unwrap();
    assert!(compose.contains(&format!("FROM {image}\n")), "compose runs another than {image}");
    assert_eq!(of_kind(&servers, "PodDisruptionBudget", "nats")["spec"]["maxUnavailable"], 1);
}

#[test]
fn nothing_secret_stands_in_a_manifest() {
    for file in files_in("deploy").iter().filter(|file| file.ends_with(".yaml")) {
        for document in manifests(file) {
            assert_ne!(document["kind"], "Secret", "{file}: secrets are named, never written");
        }
        let text = text(file);
        for mark in ["BEGIN PRIVATE", "BEGIN EC", "postgres://", "password:"] {
            assert!(!text.contains(mark), "{file} holds {mark}");
        }
    }
}

#[test]
fn kustomize_puts_it_together() {
    if !is_there(&["kubectl", "kustomize", "--help"], "what kustomize makes of the manifests") {
        return;
    }
    let folder = root().join("deploy/kubernetes/production");
    let built = Command::new("kubectl").arg("kustomize").arg(folder).output().unwrap();
    assert!(built.status.success(), "{}", said(&built));
    let manifests = yaml(&String::from_utf8(built.stdout).unwrap());
    for role in ROLES {
        let deployment = of_kind(&manifests, "Deployment", role);
        let pod = &deployment["spec"]["template"]["spec"];
        assert_locked(role, pod, &pod["containers"][0]);
        assert!(pod["containers"][0]["image"].as_str().unwrap().contains(':'), "{role}");
        let mounted: BTreeSet<_> = names(&pod["containers"][0]["volumeMounts"]);
        assert_eq!(mounted, names(&pod["volumes"]), "{role}");
    }
    for manifest in &manifests {
        let namespaced = manifest["kind"] != "Namespace";
        assert_eq!(namespaced, manifest["metadata"]["namespace"] == "nexus", "{manifest}");
    }
}

fn names(items: &Value) -> BTreeSet<String> {
    let items = items.as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}
