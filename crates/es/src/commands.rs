//! The commands that callers from outside gave, each with the digest of its request. A handler
//! knows those of its own aggregate; this view also finds a key that was used for another one.
//! *Invariant:* the first request under a command id is the one that is kept.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

use crate::commit::{ActorKind, Cause};
use crate::heard::Heard;
use crate::views::{Changes, Pool, View, ViewError, rows};

/// The table that [`CommandsView`] keeps; part of the view schema of a service that has it.
pub const SCHEMA: &str = "
CREATE TABLE commands (command_id TEXT PRIMARY KEY, request_hash BLOB NOT NULL);
";

/// The table `commands` of one service.
pub struct CommandsView([&'static str; 1]);

impl CommandsView {
    /// Of the service whose log this is.
    #[must_use]
    pub fn new(service: &'static str) -> Self {
        Self([service])
    }
}

#[async_trait]
impl View for CommandsView {
    fn name(&self) -> &'static str {
        "commands"
    }

    fn sources(&self) -> &[&'static str] {
        &self.0
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        _changes: &mut Changes,
    ) -> Result<(), ViewError> {
        let mut used: BTreeMap<Uuid, &[u8]> = BTreeMap::new();
        for cause in heard.iter().map(|heard| &heard.cause).filter(|cause| is_from_outside(cause)) {
            used.entry(cause.command_id).or_insert(&cause.request_hash);
        }
        let used = used.into_iter();
        let rows = used.map(|(id, hash)| [id.to_string().into(), hash.to_vec().into()]).collect();
        let nothing = "ON CONFLICT (command_id) DO NOTHING";
        rows::insert(tx, "commands (command_id, request_hash)", nothing, rows).await?;
        Ok(())
    }
}

/// Our own services name their commands after their causes: these never clash.
fn is_from_outside(cause: &Cause) -> bool {
    cause.actor.kind != ActorKind::Service && !cause.request_hash.is_empty()
}

/// The digest of the request that a command id was used for.
///
/// # Errors
/// When the database fails.
pub async fn request_hash(pool: &Pool, command_id: Uuid) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let row = sqlx::query("SELECT request_hash FROM commands WHERE command_id = $1")
        .bind(command_id.to_string())
        .fetch_optional(pool)
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}
