//! Ports that stay free while nobody listens on them.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

use super::random::{Random, fresh_seed};

/// Below the ports the system gives to outgoing connections: none of those sits on ours while it is
/// down, and no client that keeps calling a dead port connects to itself.
const KEPT_PORTS: (u64, u64) = (20_000, 32_000);

/// So many addresses on this machine that nobody has now.
///
/// # Errors
/// When there are not enough.
pub fn free<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut random = Random::seeded(fresh_seed());
    let mut held = Vec::new();
    for _ in 0..1_000 {
        if held.len() == N {
            break;
        }
        let port = u16::try_from(random.between(KEPT_PORTS.0, KEPT_PORTS.1))?;
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let few = || format!("not enough ports are free between {} and {}", KEPT_PORTS.0, KEPT_PORTS.1);
    addresses.try_into().ok().with_context(few)
}
