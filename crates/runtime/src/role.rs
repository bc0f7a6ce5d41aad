//! The roles that a process of Nexus can have, and the identity each shows to the others.

use std::fmt;
use std::str::FromStr;

/// What certificates begin a role's identity with.
const IDENTITY: &str = "spiffe://nexus/";

/// One service, or the gateway, or the ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Orders and contacts.
    Order,
    /// Products, warehouses, stock.
    Inventory,
    /// Picking and packing.
    Fulfillment,
    /// Couriers and shipments.
    Shipping,
    /// Messages to customers.
    Notification,
    /// REST, keys, and the way in for gRPC.
    Gateway,
    /// Webhooks.
    Ingress,
}

/// A word that is no role.
#[derive(Clone, Debug, thiserror::Error)]
#[error("\"{0}\" is no role of Nexus")]
pub struct NoRole(String);

impl Role {
    /// All roles. Others may be waited for in any order.
    pub const ALL: [Self; 7] = [
        Self::Order,
        Self::Inventory,
        Self::Fulfillment,
        Self::Shipping,
        Self::Notification,
        Self::Gateway,
        Self::Ingress,
    ];

    /// Its name, which is its service's and its log's too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Fulfillment => "fulfillment",
            Self::Shipping => "shipping",
            Self::Notification => "notification",
            Self::Gateway => "gateway",
            Self::Ingress => "ingress",
        }
    }

    /// The URI in its certificate.
    #[must_use]
    pub fn identity(self) -> String {
        format!("{IDENTITY}{self}")
    }

    /// The role that a certificate's URI names.
    #[must_use]
    pub fn of_identity(uri: &str) -> Option<Self> {
        uri.strip_prefix(IDENTITY)?.parse().ok()
    }

    /// The role that serves the rpc at `path`, `/nexus.<role>.v1.<Service>/<Rpc>`.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        path.strip_prefix("/nexus.")?.split('.').next()?.parse().ok()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| NoRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_known_by_its_name_its_identity_and_its_rpcs() {
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
            assert_eq!(Role::of_identity(&role.identity()), Some(role));
        }
        assert_eq!(Role::of_path("/nexus.order.v1.OrderService/GetOrder"), Some(Role::Order));
        for stranger in ["/nexus.work.v1.WorkService/ListParked", "/grpc.health.v1.Health/Check"] {
            assert_eq!(Role::of_path(stranger), None);
        }
        assert_eq!(Role::of_identity("spiffe://elsewhere/order"), None);
        assert!("orders".parse::<Role>().is_err());
    }
}
