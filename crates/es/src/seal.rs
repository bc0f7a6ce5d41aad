//! Sealing personal data with a key of its own, so that deleting the key erases the data.
//! *Invariant:* key id and context are bound to the ciphertext; a sealed value moved elsewhere does
//! not open.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use lru::LruCache;
use nexus_proto::common::v1::Sealed;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::ports::{KeyStore, PortError, WrappedKey};

const KEY_BYTES: usize = 32;
const CACHED_KEYS: usize = 4096;
/// How long a key of a shared store is used without asking again: for so long a process may read of
/// a person whom another process has erased.
const SHARED_FRESH: Duration = Duration::from_secs(1);

/// Why sealing or opening failed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key store cannot be reached.
    #[error(transparent)]
    Store(#[from] PortError),
    /// The ciphertext, its key id or its context was changed, or the master key is another one.
    #[error("the sealed value of key {key_id} does not open")]
    Broken {
        /// The data key's id.
        key_id: String,
    },
    /// The wrapping names a master key that is not loaded.
    #[error("data key {key_id} is wrapped by the master key {master_id}, which is not loaded")]
    UnknownMaster {
        /// The data key's id.
        key_id: String,
        /// The master key that is missing.
        master_id: String,
    },
    /// The machine gave no random bytes.
    #[error("the machine gave no random bytes")]
    Random,
}

/// The master keys: the current one wraps, all unwrap.
pub struct MasterKeys {
    current: String,
    keys: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl MasterKeys {
    /// One master key, 32 bytes. Its id is a digest of it, so that a changed file is noticed.
    ///
    /// # Errors
    /// [`SealError::Random`] never; a wrong length is [`SealError::Broken`].
    pub fn new(key: Zeroizing<Vec<u8>>) -> Result<Self, SealError> {
        let id = master_id(&key);
        if key.len() != KEY_BYTES {
            return Err(SealError::Broken { key_id: id });
        }
        Ok(Self { current: id.clone(), keys: BTreeMap::from([(id, key)]) })
    }

    /// Loads a former master key too, so that keys wrapped by it still open.
    #[must_use]
    pub fn with_former(mut self, key: Zeroizing<Vec<u8>>) -> Self {
        self.keys.insert(master_id(&key), key);
        self
    }

    /// A fresh random key.
    ///
    /// # Errors
    /// [`SealError::Random`] when the machine has no random bytes.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
        rand::fill(&mut key).map_err(|_| SealError::Random)?;
        Ok(key)
    }
}

fn master_id(key: &[u8]) -> String {
    hex::encode(crate::commit::sha256(key).get(..8).unwrap_or_default())
}

/// Seals and opens values with data keys out of a key store.
pub struct Vault {
    store: Arc<dyn KeyStore>,
    masters: MasterKeys,
    cache: Mutex<Cache>,
}

/// Unwrapped keys, and when they were fetched.
struct Cache {
    keys: LruCache<String, (Arc<LessSafeKey>, Instant)>,
    /// Grows with each erasure: a key that was fetched before one is not kept after it, since it
    /// may be the erased one.
    erasures: u64,
}

impl Vault {
    /// A vault over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>, masters: MasterKeys) -> Self {
        let capacity = NonZeroUsize::new(CACHED_KEYS).unwrap_or(NonZeroUsize::MIN);
        let cache = Cache { keys: LruCache::new(capacity), erasures: 0 };
        Self { store, masters, cache: Mutex::new(cache) }
    }

    /// Seals `plain` with the data key `key_id`, which is made when it is not there. `context` says
    /// what the value is, for example `order.recipient`; opening needs the same words.
    ///
    /// # Errors
    /// [`SealError`] when the key store or the random source fails.
    pub async fn seal(
        &self,
        key_id: &str,
        context: &str,
        plain: &[u8],
    ) -> Result<Sealed, SealError> {
        let key = match self.data_key(key_id).await? {
            Some(key) => key,
            None => self.create_key(key_id).await?,
        };
        let (nonce, ciphertext) = encrypt(&key, &aad(key_id, context), plain)?;
        Ok(Sealed { key_id: key_id.to_owned(), nonce, ciphertext })
    }

    /// Opens a sealed value; `None` when its key was deleted: the person is erased.
    ///
    /// # Errors
    /// [`SealError::Broken`] when it was changed, or was sealed in another context.
    pub async fn open(
        &self,
        sealed: &Sealed,
        context: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
        let Some(key) = self.data_key(&sealed.key_id).await? else { return Ok(None) };
        let broken = || SealError::Broken { key_id: sealed.key_id.clone() };
        let aad = aad(&sealed.key_id, context);
        decrypt(&key, &aad, &sealed.nonce, &sealed.ciphertext).map(Some).ok_or_else(broken)
    }

    /// Whether there is a data key `key_id`, by the store and not by what this process remembers.
    ///
    /// # Errors
    /// [`SealError::Store`] when the key store cannot be reached.
    pub async fn has_key(&self, key_id: &str) -> Result<bool, SealError> {
        Ok(self.store.get(key_id).await?.is_some())
    }

    /// Deletes the data key: what it sealed never opens again, here from now on, and in another
    /// process on the same store within a second.
    ///
    /// # Errors
    /// [`SealError::Store`] when the key store cannot be reached.
    pub async fn erase(&self, key_id: &str) -> Result<(), SealError> {
        self.drop_cached(key_id);
        let deleted = self.store.delete(key_id).await;
        // Whoever fetched it while it was being deleted must not keep it either; a delete that
        // failed may have worked.
        self.drop_cached(key_id);
        Ok(deleted?)
    }

    fn cached(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_cached(&self, key_id: &str) {
        let mut cache = self.cached();
        cache.erasures += 1;
        cache.keys.pop(key_id);
    }

    async fn data_key(&self, key_id: &str) -> Result<Option<Arc<LessSafeKey>>, SealError> {
        let erasures = {
            let mut cache = self.cached();
            if let Some((key, fetched)) = cache.keys.get(key_id)
                && (!self.store.is_shared() || fetched.elapsed() < SHARED_FRESH)
            {
                return Ok(Some(Arc::clone(key)));
            }
            cache.erasures
        };
        let asked = Instant::now();
        match self.store.get(key_id).await? {
            None => {
                self.cached().keys.pop(key_id);
                Ok(None)
            }
            Some(wrapped) => self.unwrap_key(key_id, &wrapped, (erasures, asked)).map(Some),
        }
    }

    async fn create_key(&self, key_id: &str) -> Result<Arc<LessSafeKey>, SealError> {
        let plain = MasterKeys::generate()?;
        let master = self.master(&self.masters.current, key_id)?;
        let (mut wrapped, ciphertext) = encrypt(&master, &aad(key_id, "data key"), &plain)?;
        wrapped.extend_from_slice(&ciphertext);
        let mine = WrappedKey { master_id: self.masters.current.clone(), wrapped };
        let (erasures, asked) = (self.cached().erasures, Instant::now());
        // Another replica may have been faster: then its key is the key.
        let kept = self.store.create(key_id, mine).await?;
        self.unwrap_key(key_id, &kept, (erasures, asked))
    }

    /// Unwraps a key and keeps it as of `asked`, unless something was erased since `erasures` were
    /// counted.
    fn unwrap_key(
        &self,
        key_id: &str,
        wrapped: &WrappedKey,
        (erasures, asked): (u64, Instant),
    ) -> Result<Arc<LessSafeKey>, SealError> {
        let broken = || SealError::Broken { key_id: key_id.to_owned() };
        let master = self.master(&wrapped.master_id, key_id)?;
        let (nonce, ciphertext) =
            wrapped.wrapped.split_at_checked(aws_lc_rs::aead::NONCE_LEN).ok_or_else(broken)?;
        let plain =
            decrypt(&master, &aad(key_id, "data key"), nonce, ciphertext).ok_or_else(broken)?;
        let key = Arc::new(aead_key(&plain).ok_or_else(broken)?);
        let mut cache = self.cached();
        if cache.erasures == erasures {
            cache.keys.put(key_id.to_owned(), (Arc::clone(&key), asked));
        }
        drop(cache);
        Ok(key)
    }

    fn master(&self, master_id: &str, key_id: &str) -> Result<LessSafeKey, SealError> {
        let unknown = || SealError::UnknownMaster {
            key_id: key_id.to_owned(),
            master_id: master_id.to_owned(),
        };
        self.masters.keys.get(master_id).and_then(|key| aead_key(key)).ok_or_else(unknown)
    }
}

fn aead_key(bytes: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

fn aad(key_id: &str, context: &str) -> Vec<u8> {
    [key_id.as_bytes(), b"\0", context.as_bytes()].concat()
}

fn encrypt(key: &LessSafeKey, aad: &[u8], plain: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let mut nonce = [0; aws_lc_rs::aead::NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| SealError::Random)?;
    let mut buffer = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| SealError::Random)?;
    Ok((nonce.to_vec(), buffer))
}

fn decrypt(
    key: &LessSafeKey,
    aad: &[u8],
    nonce: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryKeyStore;

    fn vault() -> Vault {
        let masters = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
        Vault::new(Arc::new(MemoryKeyStore::default()), masters)
    }

    #[tokio::test]
    async fn a_sealed_value_opens_only_in_its_context() {
        let vault = vault();
        let sealed = vault.seal("contact-mona", "order.recipient", b"Mona").await.unwrap();
        let open = vault.open(&sealed, "order.recipient").await.unwrap().unwrap();
        assert_eq!(&**open, b"Mona");
        assert!(vault.open(&sealed, "order.note").await.is_err());
        let moved = Sealed { key_id: "contact-ali".to_owned(), ..sealed };
        vault.seal("contact-ali", "order.recipient", b"Ali").await.unwrap();
        assert!(vault.open(&moved, "order.recipient").await.is_err());
    }

    #[tokio::test]
    async fn an_erased_person_never_opens_again() {
        let vault = vault();
        let sealed = vault.seal("contact-mona", "order.recipient", b"Mona").await.unwrap();
        vault.erase("contact-mona").await.unwrap();
        assert!(vault.open(&sealed, "order.recipient").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_person_erased_by_another_process_is_not_read_a_second_later() {
        let (store, master) = (MemoryKeyStore::default(), MasterKeys::generate().unwrap());
        let vault = || {
            let masters = MasterKeys::new(master.clone()).unwrap();
            Vault::new(Arc::new(store.clone()), masters)
        };
        let (here, there) = (vault(), vault());
        let sealed = here.seal("contact-mona", "order.recipient", b"Mona").await.unwrap();
        assert!(there.open(&sealed, "order.recipient").await.unwrap().is_some());
        here.erase("contact-mona").await.unwrap();
        let erased = Instant::now();
        let mut asked_after = Duration::ZERO;
        while there.open(&sealed, "order.recipient").await.unwrap().is_some() {
            assert!(asked_after <= SHARED_FRESH, "still read after {asked_after:?}");
            tokio::task::yield_now().await;
            // Taken before it asks: what the machine does in between is not the vault's time.
            asked_after = erased.elapsed();
        }
    }

    /// Answers a key only when it is told to, after it was read.
    #[derive(Default)]
    struct Slow {
        keys: MemoryKeyStore,
        read: tokio::sync::Notify,
        go: tokio::sync::Notify,
    }

    #[async_trait::async_trait]
    impl KeyStore for Slow {
        async fn get(&self, key_id: &str) -> Result<Option<WrappedKey>, PortError> {
            let found = self.keys.get(key_id).await;
            self.read.notify_one();
            self.go.notified().await;
            found
        }

        async fn create(&self, key_id: &str, key: WrappedKey) -> Result<WrappedKey, PortError> {
            self.keys.create(key_id, key).await
        }

        async fn rewrap(&self, key_id: &str, key: WrappedKey) -> Result<(), PortError> {
            self.keys.rewrap(key_id, key).await
        }

        async fn delete(&self, key_id: &str) -> Result<(), PortError> {
            self.keys.delete(key_id).await
        }

        async fn list(&self) -> Result<Vec<String>, PortError> {
            self.keys.list().await
        }
    }

    #[tokio::test]
    async fn a_key_that_is_erased_while_it_is_fetched_is_not_kept() {
        let master = MasterKeys::generate().unwrap();
        let store = Arc::new(Slow::default());
        let ordinary =
            Vault::new(Arc::new(store.keys.clone()), MasterKeys::new(master.clone()).unwrap());
        let sealed = ordinary.seal("contact-mona", "order.recipient", b"Mona").await.unwrap();
        let vault = Vault::new(store.clone(), MasterKeys::new(master).unwrap());
        let erased = async {
            store.read.notified().await;
            vault.erase("contact-mona").await.unwrap();
            store.go.notify_one();
        };
        // It was asked for before it was erased, and may be answered.
        tokio::join!(vault.open(&sealed, "order.recipient"), erased).0.unwrap();
        store.go.notify_one();
        assert!(vault.open(&sealed, "order.recipient").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_vault_with_another_master_key_names_the_missing_one() {
        let store = Arc::new(MemoryKeyStore::default());
        let first = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
        let sealed = Vault::new(store.clone(), first).seal("k", "c", b"x").await.unwrap();
        let second = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
        let error = Vault::new(store, second).open(&sealed, "c").await.unwrap_err();
        assert!(matches!(error, SealError::UnknownMaster { .. }), "{error}");
    }
}
