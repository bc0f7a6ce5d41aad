//! Wrapped data keys in a bucket, and the erase ledger in one of its own.
//! *Invariant:* an id in the ledger has no key: not between two writes, not after a crash between
//! them, and not after an older bucket of keys was put back, since every read asks the ledger too.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use nexus_es::ports::{Erased, KeyStore, PortError, WrappedKey};
use serde_json::{Value, json};

use crate::bucket::{Bucket, Put, Write};
use crate::buckets::{ERASED, KEYS};
use crate::subject::text_of;
use crate::wire::{Held, Wire};

/// Wrapped keys. All services share them.
#[derive(Debug)]
pub struct JetStreamKeyStore {
    keys: Bucket,
    ledger: Bucket,
    /// Whether this user may overwrite messages. Who may not leaves it to the next replay of the
    /// ledger: the key is gone all the same.
    erases: bool,
}

fn bytes_of(key: &WrappedKey) -> Bytes {
    let value = json!({ "master_id": key.master_id, "wrapped": hex::encode(&key.wrapped) });
    Bytes::from(value.to_string())
}

fn key_in(payload: &[u8]) -> Option<WrappedKey> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let text = |field: &str| value.get(field)?.as_str();
    let wrapped = hex::decode(text("wrapped")?).ok()?;
    Some(WrappedKey { master_id: text("master_id")?.to_owned(), wrapped })
}

fn id_of(held: &Held) -> Option<String> {
    text_of(held.subject.rsplit('.').next()?)
}

impl JetStreamKeyStore {
    pub(crate) fn new(wire: &Arc<Wire>, erases: bool) -> Self {
        let keys = Bucket::new(wire, "key store", KEYS);
        let ledger = Bucket::new(wire, "key store", ERASED);
        Self { keys, ledger, erases }
    }

    /// Deletes again what was deleted before: the keys may come from a backup.
    pub(crate) async fn replay_ledger(&self) -> Result<(), PortError> {
        let erased = self.erased().await?;
        let mut count = 0;
        for held in self.keys.all(&self.keys.under(&[]), 0).await? {
            if id_of(&held).is_none_or(|id| erased.contains(&id)) {
                self.keys.erase(held.sequence).await?;
                count += 1;
            }
        }
        if count > 0 {
            tracing::warn!(count, "{count} erased keys had come back and are deleted again");
        }
        Ok(())
    }

    async fn erased(&self) -> Result<BTreeSet<String>, PortError> {
        let erased = self.ledger.all(&self.ledger.under(&[]), 0).await?;
        Ok(erased.iter().filter_map(id_of).collect())
    }

    async fn is_erased(&self, key_id: &str) -> Result<bool, PortError> {
        Ok(self.ledger.last(&self.ledger.subject(&[key_id])).await?.is_some())
    }

    /// The key's newest message, unless its id is in the ledger.
    async fn live(&self, key_id: &str) -> Result<Option<(u64, WrappedKey)>, PortError> {
        let subject = self.keys.subject(&[key_id]);
        let (held, erased) =
            futures::future::try_join(self.keys.last(&subject), self.is_erased(key_id)).await?;
        let Some(held) = held.filter(|_| !erased) else { return Ok(None) };
        let key = key_in(&held.payload)
            .ok_or_else(|| self.keys.failed(format!("what is stored of {key_id} is no key")))?;
        Ok(Some((held.sequence, key)))
    }

    /// Overwrites all messages of the key up to the revision `until`.
    async fn forget(&self, key_id: &str, until: u64) -> Result<(), PortError> {
        if self.erases {
            for held in self.keys.all(&self.keys.subject(&[key_id]), 0).await? {
                if held.sequence <= until {
                    self.keys.erase(held.sequence).await?;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl KeyStore for JetStreamKeyStore {
    async fn get(&self, key_id: &str) -> Result<Option<WrappedKey>, PortError> {
        Ok(self.live(key_id).await?.map(|(_, key)| key))
    }

    async fn create(&self, key_id: &str, key: WrappedKey) -> Result<WrappedKey, PortError> {
        if self.is_erased(key_id).await? {
            return Err(Erased::refuse());
        }
        let write = Write { expected: Some(0), payload: bytes_of(&key), gone_after: None };
        // Another one may have been faster, then its key is the key.
        self.keys.put(&self.keys.subject(&[key_id]), write).await?;
        match self.live(key_id).await? {
            Some((_, kept)) => Ok(kept),
            // Erased meanwhile: what was just made must not stay.
            None => {
                self.forget(key_id, u64::MAX).await?;
                Err(Erased::refuse())
            }
        }
    }

    async fn rewrap(&self, key_id: &str, key: WrappedKey) -> Result<(), PortError> {
        loop {
            let Some((sequence, _)) = self.live(key_id).await? else { return Ok(()) };
            let payload = bytes_of(&key);
            let write = Write { expected: Some(sequence), payload, gone_after: None };
            if let Put::Stored(_) = self.keys.put(&self.keys.subject(&[key_id]), write).await? {
                // The old wrapping opens with the old master key. And the id may have been erased.
                let until = if self.is_erased(key_id).await? { u64::MAX } else { sequence };
                return self.forget(key_id, until).await;
            }
        }
    }

    async fn delete(&self, key_id: &str) -> Result<(), PortError> {
        // The ledger first: from then on the key is gone, whatever comes between.
        let write = Write { expected: Some(0), payload: Bytes::from("erased"), gone_after: None };
        self.ledger.put(&self.ledger.subject(&[key_id]), write).await?;
        self.forget(key_id, u64::MAX).await
    }

    async fn list(&self) -> Result<Vec<String>, PortError> {
        // The newest of a key may lie beside the one it replaced.
        let keys = self.keys.all(&self.keys.under(&[]), 0).await?;
        let ids: BTreeSet<String> = keys.iter().filter_map(id_of).collect();
        let erased = self.erased().await?;
        Ok(ids.into_iter().filter(|id| !erased.contains(id)).collect())
    }
}
