//! What the key store promises.

use std::error::Error;
use std::sync::Arc;

use futures::FutureExt;
use tokio::task::JoinSet;

use crate::ports::{Erased, KeyStore, WrappedKey};

use super::{Promise, Rig, Seen, ensure, failed};

pub(super) const PROMISES: &[Promise<dyn KeyStore>] = &[
    ("a key is made once, whoever asks", |rig| a_key_is_made_once(rig).boxed()),
    ("a deleted key is gone", |rig| a_deleted_key_is_gone(rig).boxed()),
    ("a deleted key gets no successor", |rig| a_deleted_key_gets_no_successor(rig).boxed()),
    ("a new wrapping replaces the old one", |rig| a_new_wrapping_replaces(rig).boxed()),
    ("every live key is listed", |rig| every_live_key_is_listed(rig).boxed()),
    ("a key outlives a reopen", |rig| a_key_outlives_a_reopen(rig).boxed()),
];

fn key(seed: u8) -> WrappedKey {
    let wrapped = (0..60).map(|n: u8| n.wrapping_mul(37).wrapping_add(seed)).collect();
    WrappedKey { master_id: format!("master-{seed}"), wrapped }
}

async fn create(port: &Arc<dyn KeyStore>, id: &str, seed: u8) -> Result<WrappedKey, String> {
    port.create(id, key(seed)).await.map_err(failed("create a key"))
}

async fn delete(port: &Arc<dyn KeyStore>, id: &str) -> Seen {
    port.delete(id).await.map_err(failed("delete a key"))
}

async fn is(port: &Arc<dyn KeyStore>, id: &str, expected: Option<WrappedKey>) -> Seen {
    let kept = port.get(id).await.map_err(failed("get a key"))?;
    ensure(kept == expected, || format!("key {id} should be {expected:?}, and is {kept:?}"))
}

async fn listed(port: &Arc<dyn KeyStore>, expected: &[&str]) -> Seen {
    let mut ids = port.list().await.map_err(failed("list the keys"))?;
    ids.sort();
    ensure(ids == expected, || format!("listed should be {expected:?}, and is {ids:?}"))
}

async fn a_key_is_made_once(rig: &Rig<dyn KeyStore>) -> Seen {
    is(&rig.port, "ali", None).await?;
    let mut tasks = JoinSet::new();
    for seed in 1..=12 {
        let port = rig.port.clone();
        tasks.spawn(async move { create(&port, "ali", seed).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        answers.push(answer.map_err(failed("create in a task"))??);
    }
    let first = answers.first().cloned();
    ensure(answers.iter().all(|other| Some(other) == first.as_ref()), || {
        format!("twelve who made one key got different ones: {answers:?}")
    })?;
    is(&rig.port, "ali", first).await
}

async fn a_deleted_key_is_gone(rig: &Rig<dyn KeyStore>) -> Seen {
    create(&rig.port, "ali", 1).await?;
    create(&rig.port, "mona", 2).await?;
    delete(&rig.port, "ali").await?;
    delete(&rig.port, "ali").await?;
    delete(&rig.port, "nobody").await?;
    is(&rig.port, "ali", None).await?;
    is(&rig.port, "mona", Some(key(2))).await?;
    let port = (rig.reopen)().await;
    is(&port, "ali", None).await?;
    listed(&port, &["mona"]).await
}

async fn stays_erased(port: &Arc<dyn KeyStore>, id: &str) -> Seen {
    match port.create(id, key(9)).await {
        Err(error) if error.source().is_some_and(|source| source.is::<Erased>()) => {}
        answer => return Err(format!("making the erased key {id} again answered {answer:?}")),
    }
    port.rewrap(id, key(9)).await.map_err(failed("rewrap a key"))?;
    is(port, id, None).await
}

async fn a_deleted_key_gets_no_successor(rig: &Rig<dyn KeyStore>) -> Seen {
    create(&rig.port, "ali", 1).await?;
    for id in ["ali", "never made"] {
        delete(&rig.port, id).await?;
        stays_erased(&rig.port, id).await?;
    }
    let port = (rig.reopen)().await;
    stays_erased(&port, "ali").await?;
    stays_erased(&port, "never made").await
}

async fn a_new_wrapping_replaces(rig: &Rig<dyn KeyStore>) -> Seen {
    create(&rig.port, "ali", 1).await?;
    rig.port.rewrap("ali", key(2)).await.map_err(failed("rewrap a key"))?;
    is(&rig.port, "ali", Some(key(2))).await?;
    let kept = create(&rig.port, "ali", 3).await?;
    ensure(kept == key(2), || format!("creating again answered {kept:?}"))?;
    rig.port.rewrap("nobody", key(2)).await.map_err(failed("rewrap a key"))?;
    is(&rig.port, "nobody", None).await?;
    is(&(rig.reopen)().await, "ali", Some(key(2))).await
}

async fn every_live_key_is_listed(rig: &Rig<dyn KeyStore>) -> Seen {
    listed(&rig.port, &[]).await?;
    // Ids are of any form that contacts and months take.
    for (id, seed) in [("a", 1), ("inbox-2026-11", 2), ("c", 3), ("A", 4)] {
        create(&rig.port, id, seed).await?;
    }
    delete(&rig.port, "c").await?;
    listed(&rig.port, &["A", "a", "inbox-2026-11"]).await
}

async fn a_key_outlives_a_reopen(rig: &Rig<dyn KeyStore>) -> Seen {
    create(&rig.port, "ali", 7).await?;
    let port = (rig.reopen)().await;
    is(&port, "ali", Some(key(7))).await?;
    listed(&port, &["ali"]).await
}
