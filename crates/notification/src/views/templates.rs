//! The templates that were set; those that are there from the start are not stored.

use async_trait::async_trait;
use nexus_es::views::{Changes, Pool, View, ViewError, Views};
use nexus_es::{Aggregate, Heard, Payload};
use sqlx::{AnyConnection, Row};

use crate::domain::template::{Event, Template, Words};
use crate::wire::SERVICE;

pub(crate) struct Templates;

#[async_trait]
impl View for Templates {
    fn name(&self) -> &'static str {
        "templates"
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard {
            let Some(Event::Put(_)) = heard.event::<Template>()? else { continue };
            changes.add(key(&heard.aggregate.id));
            sqlx::query(
                "INSERT INTO template (template_id, updated_at_ms, put) VALUES ($1, $2, $3) \
                 ON CONFLICT (template_id) DO UPDATE SET \
                 updated_at_ms = excluded.updated_at_ms, put = excluded.put",
            )
            .bind(heard.aggregate.id.clone())
            .bind(heard.cause.occurred_at_ms)
            .bind(heard.payload.bytes.clone())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

fn key(id: &str) -> String {
    format!("template:{id}")
}

/// A template that was set, with the time of its last change.
pub(crate) async fn get(views: &Views, id: &str) -> Result<Option<(Words, i64)>, sqlx::Error> {
    let found = views.cached(&key(id), read(&views.pool(), id)).await?;
    Ok((*found).clone())
}

async fn read(pool: &Pool, id: &str) -> Result<Option<(Words, i64)>, sqlx::Error> {
    let query = "SELECT updated_at_ms, put FROM template WHERE template_id = $1";
    let row = sqlx::query(query).bind(id.to_owned()).fetch_optional(pool).await?;
    let Some(row) = row else { return Ok(None) };
    let payload =
        Payload { event_type: "template.Put".to_owned(), schema: 1, bytes: row.try_get(1)? };
    let decoded = Template::decode(&payload);
    let Event::Put(words) = decoded.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Some((words, row.try_get(0)?)))
}
