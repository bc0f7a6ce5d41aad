//! The keys that callers from outside have used, each with the digest of its request. A handler
//! knows those of its own aggregate; this table also finds a key that was used for another product.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nexus_es::ActorKind;
use nexus_es::heard::Heard;
use nexus_es::views::{Changes, View, ViewError};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row};
use uuid::Uuid;

use super::{ROWS_A_STATEMENT, placeholders};
use crate::SERVICE;

/// The table `commands`.
pub(crate) struct Commands;

#[async_trait]
impl View for Commands {
    fn name(&self) -> &'static str {
        "commands"
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        _changes: &mut Changes,
    ) -> Result<(), ViewError> {
        let from_outside = heard.iter().map(|heard| &heard.cause).filter(|cause| {
            // Our own services name their commands after their causes: these never clash.
            cause.actor.kind != ActorKind::Service && !cause.request_hash.is_empty()
        });
        let used: BTreeMap<_, _> =
            from_outside.map(|cause| (cause.command_id, cause.request_hash.clone())).collect();
        let used: Vec<_> = used.into_iter().collect();
        for chunk in used.chunks(ROWS_A_STATEMENT) {
            let text = format!(
                "INSERT INTO commands (command_id, request_hash) VALUES {} \
                 ON CONFLICT (command_id) DO NOTHING",
                placeholders(chunk.len(), 2, 1)
            );
            let mut query = sqlx::query(AssertSqlSafe(text));
            for (command_id, request_hash) in chunk {
                query = query.bind(command_id.to_string()).bind(request_hash.clone());
            }
            query.execute(&mut *tx).await?;
        }
        Ok(())
    }
}

/// The digest of the request that a command id was used for.
pub(crate) async fn request_hash(
    pool: &AnyPool,
    command_id: Uuid,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let row = sqlx::query("SELECT request_hash FROM commands WHERE command_id = $1")
        .bind(command_id.to_string())
        .fetch_optional(pool)
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}
