//! `nexus nkeys`: an nkey for each user of the NATS servers, for a laptop or to begin with. Run
//! again it keeps those that are there.
//! *Invariant:* a seed is written once, for its owner only; servers get the public halves alone.

use std::fmt::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::Context;
use nexus_runtime::Role;
use nkeys::KeyPair;

use crate::root::write_private;

/// Users that are no role: who makes streams, and who reads how the servers sync.
const OTHERS: [&str; 2] = ["admin", "system"];
/// What the servers' configuration includes.
const PUBLIC: &str = "nkeys.conf";

pub(crate) fn run(dir: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make {}", dir.display()))?;
    let mut public = String::new();
    for name in Role::ALL.map(Role::name).into_iter().chain(OTHERS) {
        let key = key(&dir.join(format!("{name}.nk")))?;
        writeln!(public, "NKEY_{}: \"{}\"", name.to_uppercase(), key.public_key())?;
    }
    write_private(&dir.join(PUBLIC), public.trim_end())?;
    println!("{} holds ROLE.nk for each role, admin and system, and {PUBLIC}", dir.display());
    Ok(())
}

/// The key that is there, or a new one.
fn key(file: &Path) -> anyhow::Result<KeyPair> {
    if file.exists() {
        let seed = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        return KeyPair::from_seed(seed.trim())
            .with_context(|| format!("{} holds no nkey seed", file.display()));
    }
    let key = KeyPair::new_user();
    write_private(file, &key.seed()?)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        run(folder.path()).unwrap();
        let (seed, public) = (read("order.nk"), read(PUBLIC));
        assert!(seed.starts_with("SU"), "a user's seed");
        assert_eq!(public.lines().count(), Role::ALL.len() + OTHERS.len());
        assert!(public.lines().all(|line| line.contains(": \"U")), "{public}");
        assert!(!public.contains(seed.trim()), "{public}");
        run(folder.path()).unwrap();
        assert_eq!((read("order.nk"), read(PUBLIC)), (seed, public));
    }
}
