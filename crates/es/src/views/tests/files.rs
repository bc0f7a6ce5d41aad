//! What only files do: nothing that was forgotten stands in them.

use sqlx::Connection;

use super::*;

/// True when the bytes of `text` stand in any file of the views.
fn holds(world: &World, text: &str) -> bool {
    let Place::Folder(folder) = &world.place else { return false };
    let files = std::fs::read_dir(folder.path()).unwrap();
    let mut files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.any(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[tokio::test]
async fn what_is_forgotten_stands_in_no_file_any_more() {
    let world = World::on(Place::folder()).await;
    world.reach(&world.append("thing.Happened").await).await;
    world.reach(&world.append("thing.Canary").await).await;
    assert!(holds(&world, "thing.Canary"));
    world.reach(&world.append("thing.Forgotten").await).await;
    assert!(!holds(&world, "thing.Canary"));
}

#[tokio::test]
async fn what_a_reader_keeps_from_being_forgotten_goes_once_it_is_done() {
    let world = World::on(Place::folder()).await;
    world.reach(&world.append("thing.Canary").await).await;
    let pool = world.views.pool();
    let mut reader = pool.acquire().await.unwrap();
    let mut reader = reader.begin().await.unwrap();
    sqlx::query("SELECT n FROM counts").fetch_all(&mut *reader).await.unwrap();
    world.reach(&world.append("thing.Forgotten").await).await;
    assert!(holds(&world, "thing.Canary"));
    drop(reader);
    let forgotten = async {
        while holds(&world, "thing.Canary") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), forgotten).await.unwrap();
}
