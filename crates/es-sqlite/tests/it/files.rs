//! What is in the directory: who may open it, what is refused, what stays and what really goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nexus_es::log::{Append, AppendError, Appended, EventLog, LogError};
use nexus_es::ports::{Blobs, KeyStore, Leases, WrappedKey};
use nexus_es::{AggregateId, Position, Version, new_id};
use nexus_es_sqlite::{Error, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

fn order(id: &str) -> AggregateId {
    AggregateId::new("order", "order", id).unwrap()
}

fn commit(id: &str, expected: Version, size: usize) -> Append {
    Append {
        aggregate: order(id),
        expected,
        commit_id: new_id(),
        bytes: Bytes::from(vec![7; size]),
        traceparent: String::new(),
    }
}

async fn append(log: &dyn EventLog, id: &str) -> Appended {
    log.append(commit(id, Version::NONE, 100)).await.unwrap()
}

/// Opens the directory as soon as it is free.
async fn open_when_free(dir: &Path) -> SqliteStore {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut poll = tokio::time::interval(Duration::from_millis(5));
    loop {
        match SqliteStore::open(dir).await {
            Err(Error::InUse { .. }) if Instant::now() < deadline => poll.tick().await,
            opened => return opened.unwrap(),
        };
    }
}

/// A connection that is not the store's.
async fn foreign(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

#[tokio::test]
async fn a_second_nexus_is_told_that_the_directory_is_in_use() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let refused = SqliteStore::open(dir.path()).await.unwrap_err();
    let says = refused.to_string();
    assert!(matches!(refused, Error::InUse { .. }), "{says}");
    assert!(says.contains("is in use by another nexus"), "{says}");
    store.close().await;
    SqliteStore::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_dropped_frees_the_directory_and_keeps_what_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let deep = dir.path().join("data/of/nexus");
    let store = SqliteStore::open(&deep).await.unwrap();
    let place = append(&*store.log(), "ali").await;
    drop(store);
    let store = open_when_free(&deep).await;
    let stored = store.log().load(&order("ali"), Version::NONE).await.unwrap();
    assert_eq!(stored.iter().map(|stored| stored.position).collect::<Vec<_>>(), [place.position]);
}

#[tokio::test]
async fn a_closed_store_takes_no_commits() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.close().await;
    let answer = store.log().append(commit("ali", Version::NONE, 10)).await;
    assert!(matches!(answer, Err(AppendError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_of_ours_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("log.db");
    fs::write(&file, "a letter to the postmaster, in plain text. ".repeat(200)).unwrap();
    let before = fs::read(&file).unwrap();
    let refused = SqliteStore::open(dir.path()).await.unwrap_err();
    assert!(matches!(refused, Error::Foreign { .. }), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), before);

    fs::remove_file(&file).unwrap();
    let mut other = foreign(&file).await;
    run(&mut other, "CREATE TABLE recipes (name TEXT)").await;
    other.close().await.unwrap();
    let before = fs::read(&file).unwrap();
    let refused = SqliteStore::open(dir.path()).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{} is not a database of nexus", file.display()));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_a_newer_nexus_is_left_alone() {
    let dir = TempDir::new().unwrap();
    SqliteStore::open(dir.path()).await.unwrap().close().await;
    let mut newer = foreign(&dir.path().join("log.db")).await;
    run(&mut newer, "PRAGMA user_version = 900").await;
    newer.close().await.unwrap();
    let refused = SqliteStore::open(dir.path()).await.unwrap_err();
    assert!(matches!(refused, Error::Newer { found: 900, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_torn_file_is_called_damaged() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    for number in 0..40 {
        store.log().append(commit(&format!("{number}"), Version::NONE, 9_000)).await.unwrap();
    }
    store.close().await;
    let file = dir.path().join("log.db");
    let half = fs::metadata(&file).unwrap().len() / 2;
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(half).unwrap();
    let refused = SqliteStore::open(dir.path()).await.unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
    assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
}

#[tokio::test]
async fn a_removed_commit_is_found_when_its_aggregate_is_loaded() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let log = store.log();
    let mut version = Version::NONE;
    for _ in 0..3 {
        version = log.append(commit("ali", version, 10)).await.unwrap().version;
    }
    let mut hand = foreign(&dir.path().join("log.db")).await;
    run(&mut hand, "DELETE FROM commits WHERE position = 2").await;
    hand.close().await.unwrap();
    let loaded = log.load(&order("ali"), Version::NONE).await;
    assert!(matches!(loaded, Err(LogError::Damaged { .. })), "{loaded:?}");
}

fn place_of(dir: &Path, hash: &str) -> PathBuf {
    dir.join("blobs").join(hash.get(..2).unwrap()).join(hash)
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let store = SqliteStore::open(&data).await.unwrap();
    append(&*store.log(), "ali").await;
    let hash = store.blobs().put(Bytes::from_static(b"label")).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in ["log.db", "log.db-wal", "work.db", "keys.db", "keys.db-wal", "erased.db", "lock"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&place_of(&data, &hash)), 0o600);
}

#[tokio::test]
async fn a_reader_follows_a_log_that_another_one_writes_and_reads_one_that_nobody_does() {
    let dir = TempDir::new().unwrap();
    let missing = SqliteStore::open_read_only(dir.path()).await.unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing:?}");
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let first = append(&*store.log(), "ali").await;
    let reader = SqliteStore::open_read_only(dir.path()).await.unwrap();
    assert_eq!(reader.services().await.unwrap(), ["order"]);
    let mut tail = reader.tail("order", Position::START).await.unwrap();
    assert_eq!(tail.next(10).await.unwrap()[0].position, first.position);
    let log = store.log();
    let (met, second) = tokio::join!(tail.next(10), append(&*log, "mona"));
    assert_eq!(met.unwrap()[0].position, second.position);
    assert_eq!(reader.head("order").await.unwrap(), second.position);
    let refused = reader.append(commit("ali", first.version, 10)).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    drop((tail, reader));
    store.close().await;
    let reader = SqliteStore::open_read_only(dir.path()).await.unwrap();
    let stored = reader.load(&order("mona"), Version::NONE).await.unwrap();
    assert_eq!(stored[0].position, second.position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_is_far_behind_catches_up_without_a_gap() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let log = store.log();
    // More than memory holds of it, so that the tail goes from the file over to memory.
    let count = 6_000;
    let appends = (0..count).map(|number| {
        let log = log.clone();
        async move {
            let commit = commit(&format!("{number}"), Version::NONE, 700);
            log.append(commit).await.unwrap().position
        }
    });
    let mut tail = log.tail("order", Position::START).await.unwrap();
    let mut expected = futures::future::join_all(appends).await;
    expected.sort();
    let mut met = Vec::new();
    while met.len() < count {
        met.extend(tail.next(1_000).await.unwrap().into_iter().map(|stored| stored.position));
    }
    assert_eq!(met, expected);
}

#[tokio::test]
async fn a_busy_file_refuses_commits_for_a_while_and_then_takes_them() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let log = store.log();
    let mut rival = foreign(&dir.path().join("log.db")).await;
    run(&mut rival, "BEGIN IMMEDIATE").await;
    let refused = log.append(commit("ali", Version::NONE, 10)).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    run(&mut rival, "ROLLBACK").await;
    append(&*log, "ali").await;
    assert_eq!(log.problem(), None);
}

#[tokio::test]
async fn a_failed_write_is_unknown_and_ends_the_writing() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let log = store.log();
    append(&*log, "ali").await;
    let mut hand = foreign(&dir.path().join("log.db")).await;
    run(&mut hand, "ALTER TABLE commits RENAME TO hidden").await;
    let lost = log.append(commit("mona", Version::NONE, 10)).await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
    run(&mut hand, "ALTER TABLE hidden RENAME TO commits").await;
    // Nothing is tried again: only a new start knows what is on the disk.
    let refused = log.append(commit("mona", Version::NONE, 10)).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert!(log.problem().is_some());
    store.close().await;
    let store = open_when_free(dir.path()).await;
    append(&*store.log(), "mona").await;
}

#[tokio::test]
async fn an_owner_of_the_last_run_holds_no_lease_and_its_fencing_number_is_past() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let long = Duration::from_secs(600);
    let old = store.leases().acquire("confirm", "a", long).await.unwrap().unwrap();
    store.close().await;
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let new = store.leases().acquire("confirm", "b", long).await.unwrap().unwrap();
    assert!(new.fencing > old.fencing, "{new:?} after {old:?}");
}

fn secret() -> WrappedKey {
    WrappedKey { master_id: "master".to_owned(), wrapped: b"KEY-OF-ALI-0123456789".to_vec() }
}

/// The files of `dir` that hold the key's bytes.
fn files_with_secret(dir: &Path) -> Vec<String> {
    let secret = secret().wrapped;
    let holds = |bytes: Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret);
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file() && holds(fs::read(path).unwrap()))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn the_bytes_of_a_deleted_key_are_in_no_file() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    for id in ["mona", "ali", "omar"] {
        let other = WrappedKey { master_id: "master".to_owned(), wrapped: id.into() };
        let key = if id == "ali" { secret() } else { other };
        store.keys().create(id, key).await.unwrap();
    }
    assert_ne!(files_with_secret(dir.path()), Vec::<String>::new());
    store.keys().delete("ali").await.unwrap();
    assert_eq!(files_with_secret(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn an_erased_key_does_not_come_back_with_an_old_backup() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.keys().create("ali", secret()).await.unwrap();
    store.close().await;
    let backup = fs::read(dir.path().join("keys.db")).unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.keys().delete("ali").await.unwrap();
    store.close().await;
    fs::write(dir.path().join("keys.db"), backup).unwrap();
    assert_ne!(files_with_secret(dir.path()), Vec::<String>::new());
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.keys().get("ali").await.unwrap(), None);
    assert_eq!(files_with_secret(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_changed_blob_is_an_error_until_it_is_stored_again() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let label = Bytes::from_static(b"a label");
    let hash = store.blobs().put(label.clone()).await.unwrap();
    let file = place_of(dir.path(), &hash);
    fs::write(&file, b"a lapel").unwrap();
    assert!(store.blobs().get(&hash).await.is_err());
    store.blobs().put(label.clone()).await.unwrap();
    assert_eq!(store.blobs().get(&hash).await.unwrap(), Some(label));
    assert_eq!(fs::read_dir(dir.path().join("blobs/new")).unwrap().count(), 0);
}
