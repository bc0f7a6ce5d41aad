//! Parked work and rebuilds over gRPC: of one service in its own process, of all in `nexus up`.

use std::sync::Arc;
use std::time::Instant;

use nexus_es::log::EventLog;
use nexus_es::work::{self, Command, Parked, Refusal, WorkItem};
use nexus_es::{Handler, Position, Positions};
use nexus_proto::work::v1 as proto;
use nexus_proto::work::v1::work_service_server::WorkService;
use tonic::{Request, Response, Status};

use crate::caller::Caller;
use crate::page::Page;
use crate::ports::Running;
use crate::{reads, reply, status, time};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// The parked work of some services.
pub struct Work {
    services: Vec<(Running, Handler<WorkItem>)>,
}

impl Work {
    /// Answers for `services`, whose events stand in `log`.
    #[must_use]
    pub fn new(services: Vec<Running>, log: &Arc<dyn EventLog>) -> Self {
        let with_handler = |running: Running| {
            let handler = Handler::in_service(running.service, Arc::clone(log));
            (running, handler)
        };
        Self { services: services.into_iter().map(with_handler).collect() }
    }

    /// The service that an id names, and the work's own id.
    fn locate<'a>(&self, id: &'a str) -> Result<(&Running, &Handler<WorkItem>, &'a str), Status> {
        let parts = id.split_once('.');
        parts
            .and_then(|(service, work)| {
                let found = self.services.iter().find(|(running, _)| running.service == service);
                found.map(|(running, handler)| (running, handler, work))
            })
            .ok_or_else(|| status::not_found("parked work", id))
    }

    async fn decide(
        &self,
        caller: &Caller,
        id: &str,
        cause: nexus_es::Cause,
        command: Command,
        done: &str,
    ) -> Result<Response<proto::Parked>, Status> {
        let (running, handler, work_id) = self.locate(id)?;
        let before = listed(running, work_id).await?;
        let receipt = handler
            .execute(work_id, command, cause)
            .await
            .map_err(|error| status::of(error, |no| refused(&no, id)))?;
        tracing::info!(actor = caller.actor.id, "parked work {id} {done}");
        let mut parked = before.map(|row| message(running.service, row)).unwrap_or_default();
        id.clone_into(&mut parked.id);
        done.clone_into(&mut parked.status);
        parked.position = Positions::one(running.service, receipt.position).to_string();
        Ok(reply::reply(&receipt, parked))
    }
}

fn refused(refusal: &Refusal, id: &str) -> Status {
    match refusal {
        Refusal::NotParked => status::not_found("parked work", id),
        Refusal::NoReason => {
            status::invalid_field("reason", "is required: why need it not be done?")
        }
    }
}

async fn listed(running: &Running, id: &str) -> Result<Option<Parked>, Status> {
    let rows = work::list(&running.views.pool(), None).await;
    let rows = rows.map_err(|error| status::broken("parked work cannot be read", error))?;
    Ok(rows.into_iter().find(|row| row.id == id))
}

fn message(service: &str, row: Parked) -> proto::Parked {
    let at = time::rfc3339(row.parked_at_ms);
    proto::Parked {
        id: format!("{service}.{}", row.id),
        service: service.to_owned(),
        process: row.process,
        key: row.key,
        status: "parked".to_owned(),
        reason: "ATTEMPTS_EXHAUSTED".to_owned(),
        cause: row.cause,
        attempts: row.attempts,
        order_id: row.story,
        event_id: row.event_id,
        event_type: row.event_type,
        first_failed_at: at.clone(),
        last_failed_at: at,
        trace_id: String::new(),
        position: String::new(),
    }
}

#[tonic::async_trait]
impl WorkService for Work {
    async fn list_parked(
        &self,
        request: Request<proto::ListParkedRequest>,
    ) -> Result<Response<proto::ListParkedResponse>, Status> {
        Caller::of(&request)?;
        let asked = request.into_inner();
        let page = Page::parse(asked.page_size, &asked.page_token)?;
        let wanted = reads::min_position(&asked.min_position)?;
        let mut parked = Vec::new();
        for (running, _) in &self.services {
            if !asked.service.is_empty() && asked.service != running.service {
                continue;
            }
            let own = wanted.0.get(running.service).copied().unwrap_or(Position::START);
            let own = Positions::one(running.service, own);
            let waited = running.views.wait_for(&own, PATIENCE).await;
            waited.map_err(|error| status::broken("parked work cannot be read", error))?;
            let process = Some(asked.process.as_str()).filter(|name| !name.is_empty());
            let rows = work::list(&running.views.pool(), process).await;
            let rows = rows.map_err(|error| status::broken("parked work cannot be read", error))?;
            let ours = |row: &Parked| asked.order_id.is_empty() || row.story == asked.order_id;
            let rows = rows.into_iter().filter(ours);
            parked.extend(rows.map(|row| message(running.service, row)));
        }
        // One order over all services: the oldest first, the id where times are equal.
        parked.sort_by_key(sort_key);
        if let Some(after) = page.after.as_deref() {
            parked.retain(|row| sort_key(row).as_slice() > after);
        }
        let next_page_token = page.cut(&mut parked, sort_key);
        Ok(Response::new(proto::ListParkedResponse { parked, next_page_token }))
    }

    async fn retry_parked(
        &self,
        request: Request<proto::RetryParkedRequest>,
    ) -> Result<Response<proto::Parked>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let cause = caller.cause("RetryParked", &asked);
        self.decide(&caller, &asked.id, cause, Command::Retry, "retried").await
    }

    async fn skip_parked(
        &self,
        request: Request<proto::SkipParkedRequest>,
    ) -> Result<Response<proto::Parked>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let cause = caller.cause("SkipParked", &asked);
        let command = Command::Skip { reason: asked.reason };
        self.decide(&caller, &asked.id, cause, command, "skipped").await
    }

    async fn rebuild_views(
        &self,
        request: Request<proto::RebuildViewsRequest>,
    ) -> Result<Response<proto::RebuildViewsResponse>, Status> {
        let caller = Caller::of(&request)?;
        if !caller.actor.roles.iter().any(|role| role == "admin" || role == "service") {
            return Err(Status::permission_denied("only an admin may rebuild read models"));
        }
        let service = request.into_inner().service;
        let found = self.services.iter().find(|(running, _)| running.service == service);
        let (running, _) = found.ok_or_else(|| status::not_found("service", &service))?;
        let began = Instant::now();
        let broken = |error| status::broken("the read models cannot be rebuilt", error);
        let before = running.views.content_hash().await.map_err(broken)?;
        running.views.rebuild().await.map_err(broken)?;
        let after = running.views.content_hash().await.map_err(broken)?;
        Ok(Response::new(proto::RebuildViewsResponse {
            service,
            before,
            after,
            took_ms: u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX),
            position: running.views.positions().to_string(),
        }))
    }
}

fn sort_key(row: &proto::Parked) -> Vec<String> {
    vec![row.first_failed_at.clone(), row.id.clone()]
}
