//! The master key: made at the first start, readable by its owner only.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use nexus_es::seal::MasterKeys;
use nexus_runtime::Secrets;
use zeroize::Zeroizing;

const BYTES: usize = 32;
/// The deployment's one secret; everything else is derived from it or wrapped by it.
pub(crate) struct Root(Zeroizing<Vec<u8>>);

impl Root {
    /// The key in `file`. While nothing was stored and `may_make`, it is made when it is missing;
    /// later a missing one is an error, since another would open nothing.
    pub(crate) fn load_or_make(file: &Path, may_make: bool) -> anyhow::Result<Self> {
        if may_make && !file.exists() {
            let key = MasterKeys::generate()?;
            write_private(file, &hex::encode(&key))?;
        }
        Self::load(file)
    }

    /// The key of a deployment that was started before.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the master key {}", file.display()))?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> anyhow::Result<Self> {
        let key = hex::decode(text.trim()).map(Zeroizing::new).unwrap_or_default();
        if key.len() != BYTES {
            bail!("{} must hold {} hex digits", file.display(), BYTES * 2);
        }
        Ok(Self(key))
    }

    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::new(self.0.clone())
    }

    pub(crate) fn masters(&self) -> anyhow::Result<MasterKeys> {
        Ok(MasterKeys::new(self.0.clone())?)
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let fresh = file.with_extension("new");
        // Left over from a start that was killed: it may have another mode.
        if let Err(error) = std::fs::remove_file(&fresh)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut options = std::fs::OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(&fresh)?;
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        std::fs::rename(&fresh, file)?;
        // Without this a power loss may forget the name, and with a key everything it sealed.
        file.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}
