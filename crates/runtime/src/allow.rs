//! Which role may call which rpc of another: the one table.
//! *Invariant:* what stands neither here nor among the public rpcs is called by nobody.

use crate::role::Role;

/// Per caller, the rpcs it calls: `<service>.<Rpc>`. The gateway calls the public rpcs besides,
/// for whoever it lets in.
const CALLS: [(Role, &[&str]); 7] = [
    (
        Role::Order,
        &[
            "inventory.GetProducts",
            "inventory.ListWarehouses",
            "inventory.PlanAllocation",
            "inventory.ReleaseReservation",
            "inventory.Reserve",
        ],
    ),
    // Of the replica that owns the ledger, for whoever asked another one.
    (
        Role::Inventory,
        &[
            "inventory.AdjustStock",
            "inventory.AllocateBins",
            "inventory.MoveStock",
            "inventory.Pick",
            "inventory.ReceiveStock",
            "inventory.ReleaseReservation",
            "inventory.Reserve",
            "inventory.Ship",
            "inventory.TakeBack",
            "inventory.Unpick",
        ],
    ),
    (
        Role::Fulfillment,
        &[
            "inventory.AllocateBins",
            "inventory.GetProducts",
            "inventory.Pick",
            "inventory.ResolveBarcode",
            "order.AwaitOrder",
            "order.GetOrderForFulfillment",
        ],
    ),
    (
        Role::Shipping,
        &[
            "fulfillment.GetFulfillment",
            "fulfillment.ListFulfillments",
            "inventory.Ship",
            "order.AwaitOrder",
            "order.GetOrder",
            "order.GetOrderForFulfillment",
            "order.GetRecipient",
        ],
    ),
    (Role::Notification, &["order.FindContact", "order.GetRecipient", "order.RecordConsent"]),
    (Role::Gateway, &[]),
    (Role::Ingress, &[]),
];

/// Whether `caller` may call the rpc at `path`.
#[must_use]
pub fn may_call(caller: Role, path: &str) -> bool {
    if caller == Role::Gateway && nexus_proto::PUBLIC_RPCS.contains(&path) {
        return true;
    }
    let listed = CALLS.iter().find(|(role, _)| *role == caller).map(|(_, rpcs)| *rpcs);
    let Some((service, rpc)) = parts(path) else { return false };
    listed.unwrap_or_default().iter().any(|call| call.split_once('.') == Some((service, rpc)))
}

/// `/nexus.order.v1.OrderService/GetOrder` as (order, `GetOrder`).
fn parts(path: &str) -> Option<(&str, &str)> {
    let (service, rpc) = path.strip_prefix("/nexus.")?.split_once('/')?;
    Some((service.split('.').next()?, rpc))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    fn all_rpcs() -> BTreeSet<String> {
        let contracts = FileDescriptorSet::decode(nexus_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut paths = BTreeSet::new();
        for file in contracts.file {
            for service in &file.service {
                for rpc in &service.method {
                    let (package, service) = (file.package(), service.name());
                    paths.insert(format!("/{package}.{service}/{}", rpc.name()));
                }
            }
        }
        paths
    }

    #[test]
    fn every_call_in_the_table_is_an_rpc_that_exists() {
        let rpcs = all_rpcs();
        for (caller, calls) in CALLS {
            for call in calls {
                let found = rpcs.iter().any(|path| parts(path) == call.split_once('.'));
                assert!(found, "{caller} may call {call}, which no contract has");
            }
        }
    }

    #[test]
    fn a_role_calls_what_stands_in_its_row_and_nothing_else() {
        let allowed: usize = CALLS.iter().map(|(_, calls)| calls.len()).sum();
        let services = Role::ALL.into_iter().filter(|role| *role != Role::Gateway);
        let all = all_rpcs();
        let may = services.flat_map(|role| all.iter().filter(move |path| may_call(role, path)));
        assert_eq!(may.count(), allowed);
        assert!(may_call(Role::Order, "/nexus.inventory.v1.InventoryService/Reserve"));
        assert!(!may_call(Role::Ingress, "/nexus.inventory.v1.InventoryService/Reserve"));
    }

    #[test]
    fn the_gateway_calls_public_rpcs_and_no_inner_one() {
        for path in all_rpcs() {
            let public = nexus_proto::PUBLIC_RPCS.contains(&path.as_str());
            assert_eq!(may_call(Role::Gateway, &path), public, "{path}");
        }
    }
}
