//! Ports that stay free while nobody listens on them.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};

use super::random::{Random, fresh_seed};

/// Below the ports the system gives to outgoing connections: none of those sits on ours while it is
/// down, and no client that keeps calling a dead port connects to itself.
const FIRST: u64 = 20_000;
/// Ports of one block, and how many blocks there are.
const BLOCK: u64 = 40;
const BLOCKS: u64 = 300;

/// Blocks that are ours until this process ends: tests run side by side, and between choosing a
/// port and listening on it another one must not choose it too.
static OURS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// So many addresses on this machine that nobody has now.
///
/// # Errors
/// When there are not enough.
pub fn free<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut random = Random::seeded(fresh_seed());
    for _ in 0..1_000 {
        let block = random.between(0, BLOCKS - 1);
        let name = format!("nexus-test-ports-{block}.lock");
        let path = std::env::temp_dir().join(name);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        if file.try_lock().is_err() {
            continue;
        }
        OURS.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        let ports = FIRST + block * BLOCK..FIRST + (block + 1) * BLOCK;
        let bound = ports
            .filter_map(|port| TcpListener::bind(("127.0.0.1", u16::try_from(port).ok()?)).ok());
        let held: Vec<_> = bound.take(N).collect();
        let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        if let Ok(addresses) = addresses.try_into() {
            return Ok(addresses);
        }
    }
    ensure!(N <= usize::try_from(BLOCK)?, "{N} ports are more than a block has");
    anyhow::bail!("not enough ports are free from {FIRST} on")
}
