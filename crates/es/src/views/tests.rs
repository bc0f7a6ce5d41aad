//! Views over the in-memory log, on both databases: applying, waiting, rebuilding, setting poison
//! aside. What only one of them does stands in files of their own.

mod files;
mod postgres;

use std::sync::atomic::{AtomicU32, Ordering};

use nexus_test_postgres::TestDatabase;
use sqlx::Row;
use uuid::Uuid;

use super::runner::POISON_AFTER;
use super::*;
use crate::commit::{Actor, Cause, Commit, Entry, Payload};
use crate::ids::{AggregateId, Version, new_id};
use crate::log::Append;
use crate::memory::MemoryLog;

/// Counts events by type; refuses the type `thing.Poison`, panics at `thing.Panic`, breaks a
/// constraint at `thing.Nothing`, forgets `thing.Canary` at `thing.Forgotten`, and while `away` is
/// above zero refuses any `thing.Sealed`, for which it needs a port.
#[derive(Clone, Default)]
struct Counts {
    failures: Arc<AtomicU32>,
    away: Arc<AtomicU32>,
}

#[async_trait]
impl View for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }

    fn sources(&self) -> &[&'static str] {
        &["order"]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard {
            if heard.event_type() == "thing.Poison" {
                self.failures.fetch_add(1, Ordering::SeqCst);
                let event_type = heard.event_type().to_owned();
                return Err(ViewError::Event { event_type, why: "made to fail".to_owned() });
            }
            assert_ne!(heard.event_type(), "thing.Panic", "made to panic");
            if heard.event_type() == "thing.Nothing" {
                sqlx::query("INSERT INTO counts (name, n) VALUES ('nothing', NULL)")
                    .execute(&mut *tx)
                    .await?;
            }
            if heard.event_type() == "thing.Forgotten" {
                sqlx::query("DELETE FROM counts WHERE name = 'thing.Canary'")
                    .execute(&mut *tx)
                    .await?;
                changes.forget();
            }
            let down = |n: u32| n.checked_sub(1);
            if heard.event_type() == "thing.Sealed"
                && self.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, down).is_ok()
            {
                return Err(ViewError::Port("the vault is away".to_owned()));
            }
            sqlx::query(
                "INSERT INTO counts (name, n) VALUES ($1, 1) \
                 ON CONFLICT (name) DO UPDATE SET n = counts.n + 1",
            )
            .bind(heard.event_type().to_owned())
            .execute(&mut *tx)
            .await?;
            changes.add(heard.event_type());
        }
        Ok(())
    }
}

const READ_WITHIN: Duration = Duration::from_secs(5);

/// Where views are kept while a test runs.
enum Place {
    Folder(tempfile::TempDir),
    Server(TestDatabase),
}

impl Place {
    /// One of each kind.
    fn both() -> [Self; 2] {
        [Self::folder(), Self::server()]
    }

    fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    fn server() -> Self {
        Self::Server(TestDatabase::create().unwrap())
    }

    fn database(&self) -> Database {
        match self {
            Self::Folder(folder) => folder.path().to_owned().into(),
            Self::Server(server) => server.url().parse::<PostgresUrl>().unwrap().into(),
        }
    }
}

struct World {
    log: MemoryLog,
    counts: Counts,
    views: Arc<Views>,
    tasks: Tasks,
    place: Place,
}

const SCHEMA: &str = "CREATE TABLE counts (name TEXT PRIMARY KEY, n BIGINT NOT NULL);";

async fn start(counts: &Counts, log: &MemoryLog, place: &Place, tasks: &Tasks) -> Arc<Views> {
    start_with(SCHEMA, counts, log, place, tasks).await
}

async fn start_with(
    schema: &'static str,
    counts: &Counts,
    log: &MemoryLog,
    place: &Place,
    tasks: &Tasks,
) -> Arc<Views> {
    let config = ViewsConfig {
        service: "order",
        version: 1,
        schema,
        database: place.database(),
        views: vec![Arc::new(counts.clone())],
    };
    Views::start(config, Arc::new(log.clone()), tasks.clone()).await.unwrap()
}

impl World {
    async fn on(place: Place) -> Self {
        let (log, tasks, counts) = (MemoryLog::default(), Tasks::default(), Counts::default());
        let views = start(&counts, &log, &place, &tasks).await;
        Self { log, counts, views, tasks, place }
    }

    async fn append(&self, event_type: &str) -> Positions {
        let aggregate = AggregateId::new("order", "thing", &new_id().to_string()).unwrap();
        let cause = Cause {
            occurred_at_ms: 1,
            learned_at_ms: 1,
            command_id: Uuid::from_u128(1),
            request_hash: vec![],
            story: "s".to_owned(),
            causation_id: None,
            actor: Actor::service("test"),
            traceparent: String::new(),
        };
        let payload = Payload { event_type: event_type.to_owned(), schema: 1, bytes: vec![] };
        let commit = Commit {
            commit_id: new_id(),
            aggregate: aggregate.clone(),
            number: 1,
            previous_sha256: vec![],
            entries: vec![Entry { cause, events: vec![(new_id(), payload)] }],
        };
        let append = Append {
            aggregate,
            expected: Version::NONE,
            commit_id: commit.commit_id,
            bytes: commit.encode(),
            traceparent: String::new(),
        };
        Positions::one("order", self.log.append(append).await.unwrap().position)
    }

    async fn count(&self, name: &str) -> i64 {
        let rows = self.rows("SELECT n FROM counts WHERE name = $1", Some(name)).await;
        rows.first().map_or(0, |row| row.get(0))
    }

    /// What is read there. A connection that ended unseen fails once, and is opened anew.
    async fn rows(&self, query: &'static str, value: Option<&str>) -> Vec<sqlx::any::AnyRow> {
        let asked = std::time::Instant::now();
        loop {
            let pool = self.views.pool();
            let query =
                value.map(str::to_owned).into_iter().fold(sqlx::query(query), |q, v| q.bind(v));
            match query.fetch_all(&pool).await {
                Ok(rows) => return rows,
                Err(error) => assert!(asked.elapsed() < READ_WITHIN, "{error}"),
            }
        }
    }

    /// The causes of the commits that were set aside.
    async fn poison(&self) -> Vec<String> {
        let found = self.rows("SELECT cause FROM view_poison", None).await;
        found.iter().map(|row| row.get(0)).collect()
    }

    /// The numbers of the generations that are there.
    async fn generations(&self) -> Vec<u64> {
        let names: Vec<String> = match &self.place {
            Place::Folder(folder) => {
                let files = std::fs::read_dir(folder.path()).unwrap();
                let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
                names.filter_map(|name| name.strip_suffix(".db").map(str::to_owned)).collect()
            }
            Place::Server(_) => {
                let query = "SELECT CAST(nspname AS TEXT) FROM pg_namespace \
                             WHERE nspname LIKE 'order%'";
                let rows = sqlx::query(query).fetch_all(&self.views.pool()).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        };
        let numbers = names.iter().map(|name| name.rsplit(['-', '_']).next().unwrap().parse());
        numbers.map(Result::unwrap).collect()
    }

    /// Waits until there is this one generation and no other.
    async fn has_only(&self, generation: u64) {
        let alone = async {
            while self.generations().await != [generation] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), alone).await.unwrap();
    }

    async fn reach(&self, positions: &Positions) {
        self.views.wait_for(positions, Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_appended_can_be_read_after_waiting_for_its_position() {
    for place in Place::both() {
        let world = World::on(place).await;
        for expected in 1..=20 {
            let position = world.append("thing.Made").await;
            world.reach(&position).await;
            assert_eq!(world.count("thing.Made").await, expected);
        }
    }
}

#[tokio::test]
async fn a_position_that_never_comes_ends_the_wait_in_time() {
    for place in Place::both() {
        let world = World::on(place).await;
        let never = Positions::parse("order:99").unwrap();
        let waited = world.views.wait_for(&never, Duration::from_millis(50)).await;
        assert!(matches!(waited, Err(WaitError::Behind { .. })));
    }
}

#[tokio::test]
async fn a_rebuilt_database_is_equal_and_takes_the_place_of_the_live_one() {
    for place in Place::both() {
        let world = World::on(place).await;
        for _ in 0..50 {
            world.append("thing.Made").await;
        }
        let last = world.append("thing.Moved").await;
        world.reach(&last).await;
        let live = world.views.content_hash().await.unwrap();
        world.views.rebuild().await.unwrap();
        assert_eq!(world.views.content_hash().await.unwrap(), live);
        let next = world.append("thing.Made").await;
        world.reach(&next).await;
        assert_eq!(world.count("thing.Made").await, 51);
        assert_ne!(world.views.content_hash().await.unwrap(), live);
        world.has_only(2).await;
    }
}

#[tokio::test]
async fn a_rebuild_that_is_given_up_ends_its_feeder_and_leaves_no_file() {
    for place in Place::both() {
        let world = World::on(place).await;
        let sealed = world.append("thing.Sealed").await;
        world.reach(&sealed).await;
        // The configuration and the live feeder have some each.
        let owners = Arc::strong_count(&world.views.config.views[0]);
        // The live one has read it; a new one waits at it for the port.
        world.counts.away.store(u32::MAX, Ordering::SeqCst);
        let feeding = async {
            while world.counts.away.load(Ordering::SeqCst) == u32::MAX {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = world.views.rebuild() => panic!("it ended: {ended:?}"),
            () = feeding => {}
        }
        world.has_only(1).await;
        let ended = async {
            while Arc::strong_count(&world.views.config.views[0]) > owners {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
        world.counts.away.store(0, Ordering::SeqCst);
        world.views.rebuild().await.unwrap();
        assert_eq!(world.count("thing.Sealed").await, 1);
        // A file may still be held by who was told to stop; a schema that was dropped is not.
        let next = if matches!(world.place, Place::Folder(_)) { 3 } else { 2 };
        world.has_only(next).await;
    }
}

#[tokio::test]
async fn a_schema_that_changed_under_its_version_is_built_anew() {
    const WIDER: &str = "CREATE TABLE counts (name TEXT PRIMARY KEY, n BIGINT NOT NULL, more TEXT)";
    for place in Place::both() {
        let world = World::on(place).await;
        let first = world.append("thing.Made").await;
        world.reach(&first).await;
        assert!(world.tasks.shut_down(Duration::from_secs(10)).await);
        let (tasks, log) = (Tasks::default(), world.log.clone());
        let views = start_with(WIDER, &world.counts, &log, &world.place, &tasks).await;
        views.wait_for(&first, Duration::from_secs(10)).await.unwrap();
        sqlx::query("SELECT more FROM counts").fetch_one(&views.pool()).await.unwrap();
        let restarted = World { views, tasks, ..world };
        restarted.has_only(2).await;
    }
}

#[tokio::test]
async fn a_database_that_nobody_feeds_ends_the_wait_in_time() {
    for place in Place::both() {
        let world = World::on(place).await;
        world.views.live().stop.cancel();
        let never = Positions::parse("order:99").unwrap();
        let waiting = world.views.wait_for(&never, Duration::from_millis(50));
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
        assert!(matches!(waited, Err(WaitError::Behind { .. })));
    }
}

#[tokio::test]
async fn a_panic_and_a_broken_constraint_are_set_aside_and_end_no_runner() {
    for poison in ["thing.Panic", "thing.Nothing"] {
        for place in Place::both() {
            let world = World::on(place).await;
            world.append("thing.Made").await;
            world.append(poison).await;
            let last = world.append("thing.Made").await;
            world.reach(&last).await;
            assert_eq!(world.count("thing.Made").await, 2, "{poison}");
            assert_eq!(world.poison().await.len(), 1, "{poison}");
        }
    }
}

#[tokio::test]
async fn a_restarted_view_goes_on_where_it_stood() {
    for place in Place::both() {
        let world = World::on(place).await;
        let first = world.append("thing.Made").await;
        world.reach(&first).await;
        assert!(world.tasks.shut_down(Duration::from_secs(10)).await);
        let second = world.append("thing.Made").await;
        let (tasks, log) = (Tasks::default(), world.log.clone());
        let views = start(&world.counts, &log, &world.place, &tasks).await;
        views.wait_for(&second, Duration::from_secs(10)).await.unwrap();
        let restarted = World { views, tasks, ..world };
        assert_eq!(restarted.count("thing.Made").await, 2);
    }
}

#[tokio::test]
async fn a_poisonous_commit_is_set_aside_and_blocks_no_other() {
    for place in Place::both() {
        let world = World::on(place).await;
        world.append("thing.Made").await;
        world.append("thing.Poison").await;
        let last = world.append("thing.Made").await;
        world.reach(&last).await;
        assert_eq!(world.count("thing.Made").await, 2);
        assert_eq!(world.poison().await.len(), 1);
    }
}

#[tokio::test]
async fn a_port_that_is_away_is_waited_for_and_nothing_is_set_aside() {
    for place in Place::both() {
        let world = World::on(place).await;
        // As a batch and alone it fails more often than a poisonous commit would be tried.
        world.counts.away.store(POISON_AFTER + 3, Ordering::SeqCst);
        world.append("thing.Sealed").await;
        let last = world.append("thing.Made").await;
        world.reach(&last).await;
        assert_eq!((world.count("thing.Sealed").await, world.count("thing.Made").await), (1, 1));
        assert!(world.poison().await.is_empty());
    }
}

#[tokio::test]
async fn whoever_waits_for_a_row_is_woken_by_its_change() {
    for place in Place::both() {
        let world = Arc::new(World::on(place).await);
        let waiting = {
            let world = Arc::clone(&world);
            async move {
                let check = || async {
                    let n = world.count("thing.Made").await;
                    Ok::<_, WaitError>((n > 0).then_some(n))
                };
                world.views.until("thing.Made", Duration::from_secs(10), check).await.unwrap()
            }
        };
        let (found, _) = tokio::join!(waiting, world.append("thing.Made"));
        assert_eq!(found, Some(1));
    }
}
