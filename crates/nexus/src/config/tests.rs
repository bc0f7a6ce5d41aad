//! What is taken, what is refused, and that the page for operators is complete.

use super::*;

fn read(file: &str, environment: &[(&str, &str)], shape: Shape) -> anyhow::Result<Config> {
    let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::read(&Given::of(file, pairs)?, shape)
}

fn refusal(file: &str, environment: &[(&str, &str)], role: Role) -> String {
    let refused = read(file, environment, Shape::One(role));
    format!("{:#}", refused.expect_err("it was taken"))
}

#[test]
fn the_file_counts_and_the_environment_wins() {
    let file = "sandbox_speed = 4\n[order]\nnumber_prefix = \"SHOP-\"\nnumber_block = 7\n\
                [inventory]\naddress = [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]\n";
    let environment = [("NEXUS_ORDER_NUMBER_BLOCK", "9"), ("NEXUS_TEST_KEEP", "1"), ("PATH", "x")];
    let config = read(file, &environment, Shape::One(Role::Order)).unwrap();
    assert_eq!(config.services.order.number_prefix, "SHOP-");
    assert_eq!(config.services.order.number_block, 9);
    assert_eq!(config.addresses(Role::Inventory), ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    assert!((config.sandbox_speed - 4.0).abs() < f64::EPSILON);
}

#[test]
fn a_setting_that_is_unknown_or_wrong_is_named_with_what_is_known() {
    let unknown = refusal("", &[("NEXUS_ORDER_NUMBER_PREFX", "A-")], Role::Order);
    assert!(unknown.contains("NEXUS_ORDER_NUMBER_PREFX"), "{unknown}");
    assert!(unknown.contains("NEXUS_ORDER_NUMBER_PREFIX"), "{unknown}");
    let stray = refusal("[nats]\nreplica = 3", &[], Role::Gateway);
    assert!(stray.contains("`nats.replica` in the file"), "{stray}");
    assert!(stray.contains("NEXUS_NATS_REPLICAS"), "{stray}");
    let wrong = refusal("[nats]\nreplicas = \"three\"", &[], Role::Order);
    assert!(wrong.contains("NEXUS_NATS_REPLICAS is \"three\""), "{wrong}");
    assert!(wrong.contains("`nats.replicas` in the file"), "{wrong}");
    let filter = refusal("", &[("NEXUS_LOG", "info")], Role::Order);
    assert!(filter.contains("NEXUS_LOG is \"info\""), "{filter}");
    assert!(filter.contains("NEXUS_LOG_FILTER"), "{filter}");
    let no_toml = refusal("order = [", &[], Role::Order);
    assert!(no_toml.contains("TOML"), "{no_toml}");
}

#[test]
fn one_role_alone_takes_no_directory_as_its_log() {
    let refused = refusal("", &[("NEXUS_LOG", "sqlite:data")], Role::Order);
    assert!(refused.contains("sqlite:data") && refused.contains("nexus up"), "{refused}");
    assert!(read("", &[("NEXUS_LOG", "sqlite:data")], Shape::All).is_ok());
}

#[test]
fn calls_in_clear_leave_this_machine_only_when_told_so() {
    let open = [("NEXUS_GRPC_LISTEN", "0.0.0.0:8091")];
    assert!(refusal("", &open, Role::Order).contains("NEXUS_GRPC_LISTEN is 0.0.0.0:8091"));
    let away = [("NEXUS_INVENTORY_ADDRESS", "http://inventory:8092")];
    assert!(refusal("", &away, Role::Order).contains("NEXUS_INVENTORY_ADDRESS"));
    let told = [open[0], away[0], ("NEXUS_PLAINTEXT", "yes")];
    assert!(read("", &told, Shape::One(Role::Order)).is_ok());
    let tls = [
        open[0],
        ("NEXUS_TLS_CERT_FILE", "a"),
        ("NEXUS_TLS_KEY_FILE", "b"),
        ("NEXUS_TLS_CA_FILE", "c"),
    ];
    assert!(read("", &tls, Shape::One(Role::Order)).is_ok());
    assert!(refusal("", &tls[..2], Role::Order).contains("go together"));
}

#[test]
fn a_password_is_not_shown() {
    let url = "postgres://nexus:hunter2@db:5432/order";
    let given = Given::of("", [("NEXUS_ORDER_DATABASE".to_owned(), url.to_owned())]).unwrap();
    let config = Config::read(&given, Shape::One(Role::Order)).unwrap();
    let shown = listing::listing(&given, config.known());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("NEXUS_ORDER_DATABASE=postgres://nexus:****@db:5432/order  # env"));
    let other = refusal("", &[("NEXUS_ORDER_DATABASE", "mysql://a:hunter2@db/x")], Role::Order);
    assert!(other.contains("mysql") && !other.contains("hunter2"), "{other}");
}

#[test]
fn the_page_for_operators_lists_every_setting_and_no_other() {
    let page = include_str!("../../../../docs/operating/configuration.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `NEXUS_"));
    let listed: Vec<String> = rows
        .map(|row| format!("NEXUS_{}", row.split('`').next().unwrap_or_default()))
        .filter(|name| name != "NEXUS_CONFIG")
        .collect();
    let config = read("", &[], Shape::One(Role::Order)).unwrap();
    let known: Vec<&String> = config.known().iter().map(|known| &known.name).collect();
    for name in &known {
        assert!(listed.contains(name), "{name} is not on the page");
    }
    for name in &listed {
        assert!(known.contains(&name), "{name} is on the page only");
    }
    assert_eq!(listed.len(), known.len(), "a setting is listed twice");
}
