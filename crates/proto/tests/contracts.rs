//! What every contract must hold, whoever writes it: REST paths, event names, comments.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a contract that cannot be read must fail")]

use std::collections::{BTreeMap, BTreeSet};

use nexus_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Every (verb, path, body) of an rpc, additional bindings included; none when it is internal.
fn bindings(pool: &DescriptorPool, method: &MethodDescriptor) -> Vec<(String, String, String)> {
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    if !options.has_extension(&http) {
        return Vec::new();
    }
    let value = options.get_extension(&http);
    let rule = value.as_message().unwrap();
    let mut found = vec![binding(rule)];
    let more = rule.get_field_by_name("additional_bindings").unwrap();
    found.extend(more.as_list().unwrap().iter().map(|rule| binding(rule.as_message().unwrap())));
    found
}

fn binding(rule: &DynamicMessage) -> (String, String, String) {
    let text = |name: &str| match rule.get_field_by_name(name).as_deref() {
        Some(Value::String(text)) => text.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let verb = ["get", "put", "post", "delete", "patch"]
        .into_iter()
        .find(|verb| rule.has_field_by_name(verb))
        .unwrap();
    (verb.to_owned(), text(verb), text("body"))
}

fn parameters(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

#[test]
fn the_descriptors_keep_the_rest_path_of_confirm_order() {
    let pool = pool();
    let service = pool.get_service_by_name("nexus.order.v1.OrderService").unwrap();
    let method = service.methods().find(|method| method.name() == "ConfirmOrder").unwrap();
    let expected = ("post".into(), "/v1/orders/{order_id}:confirm".into(), "*".into());
    assert_eq!(bindings(&pool, &method), [expected]);
}

#[test]
fn no_two_rpcs_share_a_verb_and_path_shape() {
    let pool = pool();
    let mut seen = BTreeMap::new();
    for method in methods(&pool) {
        for (verb, path, _) in bindings(&pool, &method) {
            let shape = parameters(&path)
                .into_iter()
                .fold(path.clone(), |path, name| path.replace(&format!("{{{name}}}"), "{}"));
            let other = seen.insert((verb, shape.clone()), method.full_name().to_owned());
            assert_eq!(other, None, "{} takes {shape}, which is taken", method.full_name());
        }
    }
}

#[test]
fn every_path_parameter_is_a_string_field_of_the_request() {
    let pool = pool();
    for method in methods(&pool) {
        for (_, path, _) in bindings(&pool, &method) {
            for name in parameters(&path) {
                let field = method.input().get_field_by_name(name);
                let kind = field.unwrap_or_else(|| panic!("{path}: no field {name}")).kind();
                assert_eq!(kind, prost_reflect::Kind::String, "{path}: {name}");
            }
        }
    }
}

#[test]
fn only_reads_and_deletes_go_without_a_body() {
    let pool = pool();
    for method in methods(&pool) {
        for (verb, path, body) in bindings(&pool, &method) {
            let without = matches!(verb.as_str(), "get" | "delete");
            assert_eq!(body.is_empty(), without, "{verb} {path}");
        }
    }
}

#[test]
fn every_rpc_and_every_message_field_says_what_it_is() {
    let pool = pool();
    let mut silent = BTreeSet::new();
    for file in pool.files().filter(|file| file.package_name().starts_with("nexus.")) {
        let proto = file.file_descriptor_proto();
        let told: BTreeSet<Vec<i32>> = proto
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|location| location.leading_comments.is_some())
            .map(|location| location.path.clone())
            .collect();
        for service in file.services() {
            silent.extend(service.methods().filter_map(|method| {
                (!told.contains(method.path())).then(|| method.full_name().to_owned())
            }));
        }
        for message in file.messages() {
            silent.extend(message.fields().filter_map(|field| {
                (!told.contains(field.path())).then(|| field.full_name().to_owned())
            }));
        }
    }
    assert_eq!(silent, BTreeSet::new());
}

#[test]
fn no_count_of_the_outer_api_is_64_bits_wide() {
    // JSON prints 64-bit numbers as strings; only events and the envelope may hold them.
    let pool = pool();
    let wide = ["int64", "uint64", "sint64", "fixed64", "sfixed64"];
    for file in pool.files().filter(|file| file.name().ends_with("/service.proto")) {
        for field in file.messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
            let kind = format!("{:?}", field.kind());
            assert!(!wide.contains(&kind.as_str()), "{} is {kind}", field.full_name());
        }
    }
}
