//! What blobs promise.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;

use crate::commit::sha256;
use crate::ports::Blobs;

use super::{Promise, Rig, Seen, ensure, failed};

pub(super) const PROMISES: &[Promise<dyn Blobs>] = &[
    ("the name of a blob is its hash", |rig| the_name_is_the_hash(rig).boxed()),
    ("a blob comes back byte for byte", |rig| a_blob_comes_back_whole(rig).boxed()),
    ("the same bytes are stored once", |rig| the_same_bytes_are_one_blob(rig).boxed()),
    ("what was never stored is not there", |rig| the_unknown_is_not_there(rig).boxed()),
    ("a blob outlives a reopen", |rig| a_blob_outlives_a_reopen(rig).boxed()),
];

fn label(size: usize, seed: u8) -> Bytes {
    (0..=u8::MAX).cycle().take(size).map(|byte| byte ^ seed).collect::<Vec<_>>().into()
}

async fn put(port: &Arc<dyn Blobs>, bytes: &Bytes) -> Result<String, String> {
    port.put(bytes.clone()).await.map_err(failed("put a blob"))
}

async fn is(port: &Arc<dyn Blobs>, hash: &str, expected: Option<&Bytes>) -> Seen {
    let kept = port.get(hash).await.map_err(failed("get a blob"))?;
    ensure(kept.as_ref() == expected, || {
        let (kept, expected) = (kept.map(|bytes| bytes.len()), expected.map(Bytes::len));
        format!("blob {hash} should have {expected:?} bytes, and has {kept:?} or others")
    })
}

async fn the_name_is_the_hash(rig: &Rig<dyn Blobs>) -> Seen {
    for size in [0, 1, 5_000] {
        let bytes = label(size, 1);
        let hash = put(&rig.port, &bytes).await?;
        let expected = hex::encode(sha256(&bytes));
        ensure(hash == expected, || format!("{expected} was named {hash}"))?;
    }
    Ok(())
}

async fn a_blob_comes_back_whole(rig: &Rig<dyn Blobs>) -> Seen {
    for size in [0, 1, 4_096, 131_072, 131_073, 3_000_000] {
        let bytes = label(size, 2);
        is(&rig.port, &put(&rig.port, &bytes).await?, Some(&bytes)).await?;
    }
    Ok(())
}

async fn the_same_bytes_are_one_blob(rig: &Rig<dyn Blobs>) -> Seen {
    let (one, other) = (label(900, 3), label(900, 4));
    let hashes = [put(&rig.port, &one).await?, put(&rig.port, &one).await?];
    let [first, second] = &hashes;
    ensure(first == second, || format!("the same bytes are {first} and {second}"))?;
    let third = put(&rig.port, &other).await?;
    ensure(third != *first, || format!("different bytes are both {third}"))?;
    is(&rig.port, first, Some(&one)).await?;
    is(&rig.port, &third, Some(&other)).await
}

async fn the_unknown_is_not_there(rig: &Rig<dyn Blobs>) -> Seen {
    put(&rig.port, &label(10, 5)).await?;
    is(&rig.port, &hex::encode(sha256(b"never stored")), None).await?;
    // What is no hash is never a place in the store either.
    for name in ["", "..", "../log.db", "/", "ali", "*"] {
        is(&rig.port, name, None).await?;
    }
    Ok(())
}

async fn a_blob_outlives_a_reopen(rig: &Rig<dyn Blobs>) -> Seen {
    let bytes = label(70_000, 6);
    let hash = put(&rig.port, &bytes).await?;
    is(&(rig.reopen)().await, &hash, Some(&bytes)).await
}
