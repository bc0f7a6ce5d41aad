//! The files of view databases: which one is live, and a copy of it.

use std::path::{Path, PathBuf};

use nexus_es::Position;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

use crate::run::VerifyError;

/// A copy of a live view database.
pub(super) struct Copied {
    file: PathBuf,
}

pub(super) fn failed(path: &Path) -> impl Fn(std::io::Error) -> VerifyError + '_ {
    |source| VerifyError::File { path: path.to_owned(), source: sqlx::Error::Io(source) }
}

/// Copies the live file of `service` into `dir` under its own name; `None` when there is none.
pub(super) async fn copy_live(
    views_dir: &Path,
    service: &str,
    dir: &Path,
) -> Result<Option<Copied>, VerifyError> {
    for path in candidates(views_dir, service)? {
        let database = |source| VerifyError::File { path: path.clone(), source };
        let mut connection = open(&path).await.map_err(database)?;
        if !is_complete(&mut connection).await.map_err(database)? {
            continue;
        }
        std::fs::create_dir_all(dir).map_err(failed(dir))?;
        let file = dir.join(path.file_name().unwrap_or_default());
        let target = file.to_string_lossy().into_owned();
        // One statement, one moment: a file that is being written is copied whole.
        sqlx::query("VACUUM INTO $1")
            .bind(target)
            .execute(&mut connection)
            .await
            .map_err(database)?;
        connection.close().await.map_err(database)?;
        return Ok(Some(Copied { file }));
    }
    Ok(None)
}

/// The copy that somebody else made in `dir`; `None` when there is none.
pub(super) fn copied(dir: &Path, service: &str) -> Result<Option<Copied>, VerifyError> {
    Ok(candidates(dir, service)?.into_iter().next().map(|file| Copied { file }))
}

/// Database files of a service, those of the newest version and generation first.
fn candidates(views_dir: &Path, service: &str) -> Result<Vec<PathBuf>, VerifyError> {
    let entries = match std::fs::read_dir(views_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(views_dir))?,
    };
    let prefix = format!("{service}-v");
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed(views_dir))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let number = name.as_deref().and_then(|name| {
            let (version, number) =
                name.strip_prefix(&prefix)?.strip_suffix(".db")?.split_once('-')?;
            Some((version.parse().ok()?, number.parse().ok()?))
        });
        found.extend(number.map(|number| (number, path)));
    }
    found.sort_by_key(|(number, _): &((u64, u64), PathBuf)| std::cmp::Reverse(*number));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new().filename(path).read_only(true).connect().await
}

async fn is_complete(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let found = sqlx::query("SELECT value FROM view_meta WHERE name = 'complete'");
    Ok(found.fetch_optional(connection).await?.is_some())
}

impl Copied {
    /// How far the views have read shipping's log, and the events that `awb_status_logs` has.
    pub(super) async fn status_logs(&self) -> Result<(Position, Vec<String>), VerifyError> {
        self.read().await.map_err(|source| VerifyError::File { path: self.file.clone(), source })
    }

    async fn read(&self) -> Result<(Position, Vec<String>), sqlx::Error> {
        let mut connection = open(&self.file).await?;
        let checkpoint =
            sqlx::query("SELECT position FROM view_checkpoints WHERE service = 'shipping'")
                .fetch_optional(&mut connection)
                .await?;
        let position = checkpoint.map(|row| row.try_get::<i64, _>(0)).transpose()?.unwrap_or(0);
        let rows =
            sqlx::query("SELECT event_id FROM awb_status_logs").fetch_all(&mut connection).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        connection.close().await?;
        Ok((Position(u64::try_from(position).unwrap_or_default()), ids))
    }
}
