//! The list of API keys.

use async_trait::async_trait;
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_es::{Heard, clock};
use nexus_proto::gateway::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::domain::api_key::{ApiKey, Event};
use crate::wire::SERVICE;

pub(crate) const SCHEMA: &str = "
CREATE TABLE api_keys (id TEXT PRIMARY KEY, name TEXT NOT NULL, prefix TEXT NOT NULL,
    roles TEXT NOT NULL, created_at_ms BIGINT NOT NULL, expires_at_ms BIGINT, revoked_at_ms BIGINT);
";

pub(crate) struct ApiKeys;

#[async_trait]
impl View for ApiKeys {
    fn name(&self) -> &'static str {
        "api_keys"
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
            let Some(event) = heard.event::<ApiKey>()? else { continue };
            let id = heard.aggregate.id.clone();
            let at = heard.cause.occurred_at_ms;
            match event {
                Event::Issued(issue) => {
                    sqlx::query(
                        "INSERT INTO api_keys (id, name, prefix, roles, created_at_ms, \
                         expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6) \
                         ON CONFLICT (id) DO NOTHING",
                    )
                    .bind(id.clone())
                    .bind(issue.name)
                    .bind(issue.prefix)
                    .bind(issue.roles.join(","))
                    .bind(at)
                    .bind(issue.expires_at_ms)
                    .execute(&mut *tx)
                    .await?;
                }
                Event::Revoked { .. } => {
                    sqlx::query("UPDATE api_keys SET revoked_at_ms = $2 WHERE id = $1")
                        .bind(id.clone())
                        .bind(at)
                        .execute(&mut *tx)
                        .await?;
                }
            }
            changes.add(format!("api_key:{id}"));
        }
        Ok(())
    }
}

pub(crate) async fn get(pool: &Pool, id: &str) -> Result<Option<proto::ApiKey>, sqlx::Error> {
    let query = "SELECT id, name, prefix, roles, created_at_ms, expires_at_ms, revoked_at_ms \
                 FROM api_keys WHERE id = $1";
    let row = sqlx::query(query).bind(id.to_owned()).fetch_optional(pool).await?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn list(pool: &Pool, page: &Page) -> Result<Vec<proto::ApiKey>, sqlx::Error> {
    let after = page.after.as_ref().and_then(|key| key.first().cloned()).unwrap_or_default();
    let query = "SELECT id, name, prefix, roles, created_at_ms, expires_at_ms, revoked_at_ms \
                 FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = sqlx::query(query).bind(after).bind(page.limit()).fetch_all(pool).await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<proto::ApiKey, sqlx::Error> {
    let expires: Option<i64> = row.try_get(5)?;
    let revoked: Option<i64> = row.try_get(6)?;
    let expired = expires.is_some_and(|end| end <= clock::now_ms());
    let status = match (revoked, expired) {
        (Some(_), _) => "revoked",
        (None, true) => "expired",
        (None, false) => "active",
    };
    let roles: String = row.try_get(3)?;
    Ok(proto::ApiKey {
        api_key_id: row.try_get(0)?,
        name: row.try_get(1)?,
        prefix: row.try_get(2)?,
        roles: roles.split(',').map(str::to_owned).collect(),
        status: status.to_owned(),
        key: None,
        created_at: time::rfc3339(row.try_get(4)?),
        expires_at: expires.map(time::rfc3339),
        revoked_at: revoked.map(time::rfc3339),
        position: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use nexus_es::memory::MemoryLog;
    use nexus_es::tasks::Tasks;
    use nexus_es::views::Views;
    use nexus_es::{Actor, Cause, Handler, Positions, new_id};
    use nexus_test_postgres::Place;

    use super::*;
    use crate::domain::api_key::{Command, Issue};

    fn cause() -> Cause {
        Cause {
            occurred_at_ms: 1_700_000_000_000,
            learned_at_ms: 1_700_000_000_000,
            command_id: new_id(),
            request_hash: vec![],
            story: String::new(),
            causation_id: None,
            actor: Actor::service(SERVICE),
            traceparent: String::new(),
        }
    }

    #[tokio::test]
    async fn both_databases_list_the_same_keys() {
        let log = Arc::new(MemoryLog::default());
        let handler = Handler::<ApiKey>::new(log.clone());
        for (name, expires_at_ms) in [("mona", None), ("ali", Some(1)), ("sara", Some(i64::MAX))] {
            let issue = Issue {
                prefix: format!("nx_{name}"),
                digest: vec![7],
                name: name.to_owned(),
                roles: vec!["picker".to_owned(), "packer".to_owned()],
                expires_at_ms: expires_at_ms.map(|at: i64| at.min(4_000_000_000_000)),
            };
            handler.execute(name, Command::Issue(issue), cause()).await.unwrap();
        }
        let revoke = Command::Revoke { reason: "lost".to_owned() };
        let last = handler.execute("mona", revoke, cause()).await.unwrap().position;
        let page = Page::parse(10, "").unwrap();
        let mut told = vec![];
        for place in [Place::in_folder().unwrap(), Place::in_postgres().unwrap()] {
            let config = super::super::config(place.setting().parse().unwrap());
            let views = Views::start(config, log.clone(), Tasks::default()).await.unwrap();
            let reached = Positions::one(SERVICE, last);
            views.wait_for(&reached, Duration::from_secs(10)).await.unwrap();
            let listed = list(&views.pool(), &page).await.unwrap();
            let states: Vec<_> = listed.iter().map(|key| key.status.clone()).collect();
            assert_eq!(states, ["expired", "revoked", "active"]);
            told.push((listed, views.content_hash().await.unwrap()));
        }
        assert_eq!(told[0], told[1]);
    }
}
