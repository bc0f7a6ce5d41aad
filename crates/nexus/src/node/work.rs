//! Parked work and rebuilds of all services, each in its own process: asked one by one, answered
//! as one.

use nexus_proto::work::v1 as proto;
use nexus_proto::work::v1::work_service_client::WorkServiceClient;
use nexus_proto::work::v1::work_service_server::WorkService;
use nexus_runtime::caller::{Authenticated, IDEMPOTENCY_KEY};
use nexus_runtime::channels::{Client, DEADLINE};
use nexus_runtime::page::Page;
use nexus_runtime::work::Work;
use nexus_runtime::{Channels, Role, status};
use tonic::{Request, Response, Status};

/// Rebuilding takes as long as the log is.
const PATIENT: std::time::Duration = std::time::Duration::from_secs(3600);

/// The work of all services.
pub(super) struct OfAll {
    own: Work,
    own_role: Role,
    others: Vec<(Role, WorkServiceClient<Client>)>,
    channels: Channels,
}

impl OfAll {
    pub(super) fn new(
        own: Work,
        own_role: Role,
        others: impl Iterator<Item = Role>,
        channels: &Channels,
    ) -> Self {
        let channels = channels.as_role(own_role);
        let others = others.map(|role| (role, WorkServiceClient::new(channels.of(role))));
        Self { own, own_role, others: others.collect(), channels }
    }

    fn other(&self, service: &str) -> Result<WorkServiceClient<Client>, Status> {
        let found = self.others.iter().find(|(role, _)| role.name() == service);
        found.map(|(_, client)| client.clone()).ok_or_else(|| status::not_found("service", service))
    }

    /// The same question for another service, for the same caller.
    fn onward<M, N>(
        &self,
        asked: &Request<M>,
        message: N,
        patience: std::time::Duration,
    ) -> Result<Request<N>, Status> {
        let caller = asked.extensions().get::<Authenticated>();
        let caller =
            caller.ok_or_else(|| status::unauthenticated("nobody vouched for the caller"))?;
        let mut request = Request::new(message);
        request.set_timeout(patience);
        self.channels.vouch(request.metadata_mut(), &caller.actor);
        for name in [IDEMPOTENCY_KEY, "traceparent"] {
            if let Some(value) = asked.metadata().get(name) {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        Ok(request)
    }
}

/// The service that the id of parked work names.
fn service_of(id: &str) -> &str {
    id.split('.').next().unwrap_or_default()
}

#[tonic::async_trait]
impl WorkService for OfAll {
    async fn list_parked(
        &self,
        request: Request<proto::ListParkedRequest>,
    ) -> Result<Response<proto::ListParkedResponse>, Status> {
        let asked = request.get_ref().clone();
        let page = Page::parse(asked.page_size, &asked.page_token)?;
        let (mut parked, mut tokens) = (Vec::new(), Vec::new());
        for (role, client) in &self.others {
            if !asked.service.is_empty() && asked.service != role.name() {
                continue;
            }
            let onward = self.onward(&request, asked.clone(), DEADLINE)?;
            let answer = client.clone().list_parked(onward).await?.into_inner();
            parked.extend(answer.parked);
            tokens.push(answer.next_page_token);
        }
        if asked.service.is_empty() || asked.service == self.own_role.name() {
            let answer = self.own.list_parked(request).await?.into_inner();
            parked.extend(answer.parked);
            tokens.push(answer.next_page_token);
        }
        // Each gave its first page; the first page of all is among them.
        let sort_key = |row: &proto::Parked| vec![row.first_failed_at.clone(), row.id.clone()];
        parked.sort_by_key(sort_key);
        let mut next_page_token = page.cut(&mut parked, sort_key);
        if next_page_token.is_empty() {
            // A whole page of one service and nothing of the others: its token leads on.
            next_page_token =
                tokens.into_iter().find(|token| !token.is_empty()).unwrap_or_default();
        }
        Ok(Response::new(proto::ListParkedResponse { parked, next_page_token }))
    }

    async fn retry_parked(
        &self,
        request: Request<proto::RetryParkedRequest>,
    ) -> Result<Response<proto::Parked>, Status> {
        let service = service_of(&request.get_ref().id).to_owned();
        if service == self.own_role.name() {
            return self.own.retry_parked(request).await;
        }
        let onward = self.onward(&request, request.get_ref().clone(), DEADLINE)?;
        self.other(&service)?.retry_parked(onward).await
    }

    async fn skip_parked(
        &self,
        request: Request<proto::SkipParkedRequest>,
    ) -> Result<Response<proto::Parked>, Status> {
        let service = service_of(&request.get_ref().id).to_owned();
        if service == self.own_role.name() {
            return self.own.skip_parked(request).await;
        }
        let onward = self.onward(&request, request.get_ref().clone(), DEADLINE)?;
        self.other(&service)?.skip_parked(onward).await
    }

    async fn rebuild_views(
        &self,
        request: Request<proto::RebuildViewsRequest>,
    ) -> Result<Response<proto::RebuildViewsResponse>, Status> {
        let service = request.get_ref().service.clone();
        if service == self.own_role.name() {
            return self.own.rebuild_views(request).await;
        }
        let onward = self.onward(&request, request.get_ref().clone(), PATIENT)?;
        self.other(&service)?.rebuild_views(onward).await
    }
}
