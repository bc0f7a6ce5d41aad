//! What only PostgreSQL does: replicas share a database, and it may go away and come back.

use nexus_test_postgres::Server;
use sqlx::{Connection, Executor};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// Another replica of the same service on the same database and log.
async fn replica(world: &World) -> (Arc<Views>, Tasks) {
    let tasks = Tasks::default();
    let views = start(&Counts::default(), &world.log, &world.place, &tasks).await;
    (views, tasks)
}

async fn count(views: &Views) -> i64 {
    let query = "SELECT n FROM counts WHERE name = 'thing.Made'";
    let row = sqlx::query(query).fetch_optional(&views.pool()).await.unwrap();
    row.map_or(0, |row| row.get(0))
}

#[tokio::test]
async fn every_replica_shows_what_any_of_them_is_told_and_none_counts_it_twice() {
    let world = World::on(Place::server()).await;
    let (second, _tasks) = replica(&world).await;
    for expected in 1..=20 {
        let position = world.append("thing.Made").await;
        for views in [&world.views, &second] {
            let asked = std::time::Instant::now();
            views.wait_for(&position, DEADLINE).await.unwrap();
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
            assert_eq!(count(views).await, expected);
        }
    }
    let waiting = second.until("thing.Moved", DEADLINE, || async {
        let query = "SELECT n FROM counts WHERE name = 'thing.Moved'";
        sqlx::query(query).fetch_optional(&second.pool()).await
    });
    let (found, _) = tokio::join!(waiting, world.append("thing.Moved"));
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn when_the_replica_that_feeds_ends_another_goes_on_where_it_stood() {
    let world = World::on(Place::server()).await;
    world.reach(&world.append("thing.Made").await).await;
    let (second, _tasks) = replica(&world).await;
    let ended = std::time::Instant::now();
    assert!(world.tasks.shut_down(Duration::from_secs(10)).await);
    for expected in 2..=5 {
        let position = world.append("thing.Made").await;
        second.wait_for(&position, DEADLINE).await.unwrap();
        assert_eq!(count(&second).await, expected);
    }
    assert!(ended.elapsed() < Duration::from_secs(5), "{:?}", ended.elapsed());
}

#[tokio::test]
async fn a_connection_that_ends_unseen_is_taken_up_where_it_stood() {
    let world = World::on(Place::server()).await;
    let (_second, _tasks) = replica(&world).await;
    for expected in 1..=5 {
        world.reach(&world.append("thing.Made").await).await;
        assert_eq!(world.count("thing.Made").await, expected);
        // Nobody knows which of them writes.
        let query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(query).fetch_all(&world.views.pool()).await.unwrap();
    }
    world.reach(&world.append("thing.Made").await).await;
    assert!(world.poison().await.is_empty());
}

#[tokio::test]
async fn while_the_database_is_away_reads_fail_at_once_and_feeding_goes_on_after_it() {
    let server = Arc::new(Server::start().unwrap());
    let place = Place::Server(TestDatabase::on(Arc::clone(&server)).unwrap());
    let world = World::on(place).await;
    world.reach(&world.append("thing.Made").await).await;
    server.stop();
    let position = world.append("thing.Made").await;
    for _ in 0..3 {
        let asked = std::time::Instant::now();
        let query = "SELECT n FROM counts WHERE name = 'thing.Made'";
        assert!(sqlx::query(query).fetch_optional(&world.views.pool()).await.is_err());
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    server.run().unwrap();
    let back = std::time::Instant::now();
    world.views.wait_for(&position, DEADLINE).await.unwrap();
    assert!(back.elapsed() < Duration::from_secs(3), "{:?}", back.elapsed());
    assert_eq!(world.count("thing.Made").await, 2);
    assert!(world.poison().await.is_empty());
}

#[tokio::test]
async fn views_wait_at_their_start_for_a_database_that_is_away() {
    let server = Arc::new(Server::start().unwrap());
    let place = Place::Server(TestDatabase::on(Arc::clone(&server)).unwrap());
    server.stop();
    let starting = World::on(place);
    tokio::pin!(starting);
    // Long enough that it was asked for in vain more than once.
    assert!(tokio::time::timeout(START_AGAIN * 3, &mut starting).await.is_err());
    server.run().unwrap();
    let world = starting.await;
    world.reach(&world.append("thing.Made").await).await;
}

#[tokio::test]
async fn what_one_replica_rebuilds_the_others_read_and_the_old_one_goes() {
    let world = World::on(Place::server()).await;
    let (second, _tasks) = replica(&world).await;
    world.reach(&world.append("thing.Made").await).await;
    second.rebuild().await.unwrap();
    world.has_only(2).await;
    for expected in 2..=4 {
        let position = world.append("thing.Made").await;
        for views in [&world.views, &second] {
            views.wait_for(&position, DEADLINE).await.unwrap();
            assert_eq!(count(views).await, expected);
        }
    }
}

#[tokio::test]
async fn replicas_that_start_at_the_same_time_make_one_schema() {
    let world = World::on(Place::server()).await;
    let starting = (0..4).map(|_| replica(&world));
    let replicas = futures::future::join_all(starting).await;
    let position = world.append("thing.Made").await;
    for (views, _) in &replicas {
        views.wait_for(&position, DEADLINE).await.unwrap();
    }
    assert_eq!(world.generations().await, [1]);
}

#[tokio::test]
async fn the_same_log_makes_the_same_rows_in_both_databases() {
    let [files, server] = Place::both();
    let world = World::on(files).await;
    for event_type in ["thing.Made", "thing.Moved", "thing.Made", "thing.Happened"] {
        world.append(event_type).await;
    }
    let last = world.append("thing.Made").await;
    let tasks = Tasks::default();
    let other = start(&Counts::default(), &world.log, &server, &tasks).await;
    other.wait_for(&last, DEADLINE).await.unwrap();
    world.reach(&last).await;
    let hashes = (world.views.content_hash().await, other.content_hash().await);
    assert_eq!(hashes.0.unwrap(), hashes.1.unwrap());
}

#[tokio::test]
async fn what_is_forgotten_leaves_no_dead_row_behind() {
    const PERSONS: &str = "CREATE TABLE counts (name TEXT PRIMARY KEY, n BIGINT NOT NULL);
        CREATE TABLE person_terms (term TEXT PRIMARY KEY);";
    let (log, tasks, counts) = (MemoryLog::default(), Tasks::default(), Counts::default());
    let place = Place::server();
    let views = start_with(PERSONS, &counts, &log, &place, &tasks).await;
    let world = World { log, counts, views, tasks, place };
    let pool = world.views.pool();
    for change in ["INSERT INTO person_terms VALUES ('t:mona')", "DELETE FROM person_terms"] {
        sqlx::query(change).execute(&pool).await.unwrap();
    }
    world.reach(&world.append("thing.Forgotten").await).await;
    let vacuumed = async {
        let query = "SELECT CAST(vacuum_count AS BIGINT) FROM pg_stat_user_tables \
                     WHERE relname = 'person_terms'";
        while sqlx::query(query).fetch_one(&pool).await.unwrap().get::<i64, _>(0) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, vacuumed).await.unwrap();
}

#[tokio::test]
async fn a_copy_in_a_file_has_the_same_rows_and_goes_on_where_they_stood() {
    let world = World::on(Place::server()).await;
    let Place::Server(server) = &world.place else { panic!("it has no server") };
    world.reach(&world.append("thing.Made").await).await;
    world.reach(&world.append("thing.Moved").await).await;
    let folder = Place::folder();
    let Place::Folder(directory) = &folder else { panic!("it has no folder") };
    let config = ViewsConfig {
        service: "order",
        version: 1,
        schema: SCHEMA,
        database: folder.database(),
        views: vec![Arc::new(Counts::default())],
    };
    let url: PostgresUrl = server.url().parse().unwrap();
    assert!(copy_of(&url, &config, directory.path()).await.unwrap());
    let tasks = Tasks::default();
    let copy = start(&Counts::default(), &world.log, &folder, &tasks).await;
    assert_eq!(copy.positions(), world.views.positions());
    assert_eq!(copy.content_hash().await.unwrap(), world.views.content_hash().await.unwrap());
    copy.wait_for(&world.append("thing.Made").await, DEADLINE).await.unwrap();
    assert_eq!(count(&copy).await, 2);
    let other = ViewsConfig { version: 2, ..config };
    assert!(!copy_of(&url, &other, directory.path()).await.unwrap());
}

#[tokio::test]
async fn what_a_fallen_server_took_back_is_not_shown_before_it_has_come_again() {
    let world = World::on(Place::server()).await;
    let Place::Server(server) = &world.place else { panic!("it has no server") };
    for expected in 1..=5 {
        world.reach(&world.append("thing.Made").await).await;
        assert_eq!(count(&world.views).await, expected);
        // As after a fall: the last commits are gone, and so are all connections.
        let mut connection = AnyConnection::connect(&server.url()).await.unwrap();
        for statement in [
            "SET search_path TO order_v1_1",
            "DELETE FROM counts",
            "DELETE FROM view_checkpoints",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        ] {
            connection.execute(statement).await.unwrap();
        }
        let shown = tokio::time::timeout(DEADLINE, async {
            loop {
                // Broken connections, until there are new ones.
                let query = "SELECT n FROM counts WHERE name = 'thing.Made'";
                if let Ok(row) = sqlx::query(query).fetch_optional(&world.views.pool()).await {
                    return row.map(|row| row.get::<i64, _>(0));
                }
            }
        });
        assert_eq!(shown.await.unwrap(), Some(expected));
    }
}
