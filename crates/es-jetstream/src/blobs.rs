//! Blobs in an Object Store bucket, named by their content, in the layout of NATS' own tools.
//! *Invariant:* a name stands for whole bytes or for nothing: the description of a blob is written
//! after its chunks, and what is read is answered only if it has that hash.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_ROLLUP};
use async_nats::jetstream::response::Response;
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use nexus_es::commit::sha256;
use nexus_es::log::Source;
use nexus_es::ports::{Blobs, PortError};
use serde_json::{Value, json};

use crate::bucket::{is_moved, read_ack};
use crate::buckets::{BLOBS, blobs_stream};
use crate::wire::{Held, Wire};

const CHUNK_BYTES: usize = 128 * 1024;
/// Chunks on their way at once: the server syncs one after the other.
const IN_FLIGHT: usize = 8;
/// So often somebody else may store the same bytes in between, and leave them damaged.
const ATTEMPTS: usize = 3;

/// Blobs. All services share them.
#[derive(Debug)]
pub struct JetStreamBlobs {
    wire: Arc<Wire>,
    stream: String,
}

/// The bytes under a hash are not those that were stored.
#[derive(Debug, thiserror::Error)]
#[error("the blob {0} does not match its hash")]
struct Changed(String);

/// What the bucket says about a blob.
struct Described {
    /// What its chunks are named by.
    nuid: String,
    chunks: u64,
}

impl Described {
    fn read(held: &Held) -> Option<Self> {
        let value: Value = serde_json::from_slice(&held.payload).ok()?;
        let deleted = value.get("deleted").and_then(Value::as_bool).unwrap_or(false);
        let nuid = value.get("nuid")?.as_str().filter(|_| !deleted)?.to_owned();
        Some(Self { nuid, chunks: value.get("chunks")?.as_u64()? })
    }
}

fn failed(source: impl Into<Source>) -> PortError {
    PortError { port: "blobs", source: source.into() }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn chunk_subject(nuid: &str) -> String {
    format!("$O.{BLOBS}.C.{nuid}")
}

fn description_subject(hash: &str) -> String {
    format!("$O.{BLOBS}.M.{}", BASE64_URL_SAFE.encode(hash))
}

impl JetStreamBlobs {
    pub(crate) fn new(wire: &Arc<Wire>) -> Self {
        Self { wire: Arc::clone(wire), stream: blobs_stream() }
    }

    /// The description of `hash` as it is stored, whether or not it can be read.
    async fn described(&self, hash: &str) -> Result<Option<Held>, Source> {
        let which = json!({ "last_by_subj": description_subject(hash) });
        self.wire.ask_leader(&self.stream, &which).await
    }

    /// The bytes that are described, if they are those of `hash`.
    async fn read(&self, hash: &str, described: &Described) -> Result<Option<Bytes>, Source> {
        let subject = chunk_subject(&described.nuid);
        let mut chunks = self.wire.direct(&self.stream, &subject, 0).await?;
        // Another copy may lag behind the leader, from which the description came.
        let complete = |chunks: &[Held]| u64::try_from(chunks.len()) == Ok(described.chunks);
        if !complete(&chunks) {
            chunks = self.wire.all(&self.stream, &subject, 0).await?;
        }
        let size = chunks.iter().map(|chunk| chunk.payload.len()).sum();
        let mut bytes = BytesMut::with_capacity(size);
        chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.payload));
        Ok(Some(bytes.freeze()).filter(|bytes| hex::encode(sha256(bytes)) == hash))
    }

    /// Whether the blob is there and whole; and the revision of what is there, zero for none.
    async fn is_whole(&self, hash: &str) -> Result<(bool, u64), Source> {
        let Some(held) = self.described(hash).await? else { return Ok((false, 0)) };
        let whole = match Described::read(&held) {
            Some(described) => self.read(hash, &described).await?.is_some(),
            None => false,
        };
        Ok((whole, held.sequence))
    }

    /// Stores the chunks under a name that nobody else uses.
    async fn write_chunks(&self, nuid: &str, bytes: &Bytes) -> Result<usize, Source> {
        let starts = (0..bytes.len()).step_by(CHUNK_BYTES);
        let chunks = starts.map(|start| bytes.slice(start..bytes.len().min(start + CHUNK_BYTES)));
        let sent = stream::iter(chunks).map(|chunk| self.send(chunk_subject(nuid), None, chunk));
        let places: Vec<u64> = sent.buffered(IN_FLIGHT).try_collect().await?;
        // They were sent in order over one connection, so this is how they stand.
        if places.is_sorted() {
            Ok(places.len())
        } else {
            Err("the chunks of a blob were stored out of order".into())
        }
    }

    async fn send(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<u64, Source> {
        let reply = self.wire.ask(subject, headers, payload).await?;
        match read_ack(&reply)? {
            Response::Ok(ack) if ack.stream == self.stream => Ok(ack.sequence),
            Response::Ok(ack) => Err(format!("the stream {} took a blob", ack.stream).into()),
            Response::Err { error } => Err(error.into()),
        }
    }

    /// Stores a blob in place of what stands at the revision `replaces`; false when something else
    /// stands there by now.
    async fn write(&self, hash: &str, bytes: &Bytes, replaces: u64) -> Result<bool, Source> {
        let nuid = nexus_es::new_id().simple().to_string();
        let chunks = self.write_chunks(&nuid, bytes).await?;
        let description = json!({
            "name": hash,
            "options": { "max_chunk_size": CHUNK_BYTES },
            "bucket": BLOBS,
            "nuid": nuid,
            "size": bytes.len(),
            "chunks": chunks,
            "digest": format!("SHA-256={}", BASE64_URL_SAFE.encode(sha256(bytes))),
        });
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, replaces.to_string());
        headers.insert(NATS_ROLLUP, "sub");
        let payload = Bytes::from(description.to_string());
        let reply = self.wire.ask(description_subject(hash), Some(headers), payload).await?;
        match read_ack(&reply)? {
            Response::Ok(_) => Ok(true),
            Response::Err { error } if is_moved(&error) => Ok(false),
            Response::Err { error } => Err(error.into()),
        }
    }

    async fn find(&self, hash: &str) -> Result<Option<Bytes>, Source> {
        let Some(held) = self.described(hash).await? else { return Ok(None) };
        let Some(described) = Described::read(&held) else {
            return Err(Changed(hash.to_owned()).into());
        };
        match self.read(hash, &described).await? {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(Changed(hash.to_owned()).into()),
        }
    }
}

#[async_trait]
impl Blobs for JetStreamBlobs {
    async fn put(&self, bytes: Bytes) -> Result<String, PortError> {
        let hash = hex::encode(sha256(&bytes));
        for _ in 0..ATTEMPTS {
            let (whole, revision) = self.is_whole(&hash).await.map_err(failed)?;
            // A blob that is there but damaged is made good.
            if whole || self.write(&hash, &bytes, revision).await.map_err(failed)? {
                return Ok(hash);
            }
        }
        Err(failed("others store the same blob all the time"))
    }

    async fn get(&self, hash: &str) -> Result<Option<Bytes>, PortError> {
        if !is_hash(hash) {
            return Ok(None);
        }
        self.find(hash).await.map_err(failed)
    }
}
