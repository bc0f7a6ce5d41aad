//! API keys over gRPC.

use std::sync::Arc;
use std::time::Duration;

use nexus_es::views::Views;
use nexus_es::{Handler, Positions, Receipt};
use nexus_proto::gateway::v1 as proto;
use nexus_proto::gateway::v1::gateway_service_server::GatewayService;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::rpc::KeyCheck;
use nexus_runtime::{Violations, reads, reply, status, time};
use tonic::{Request, Response, Status};

use crate::domain::ROLES;
use crate::domain::api_key::{ApiKey, Command, Issue, Refusal};
use crate::keys::{FreshKey, Keys};
use crate::views::api_keys;
use crate::wire::SERVICE;

const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Service {
    pub(crate) handler: Handler<ApiKey>,
    pub(crate) views: Arc<Views>,
    pub(crate) keys: Arc<Keys>,
}

impl Service {
    async fn answer(
        &self,
        receipt: &Receipt,
        id: &str,
        key: Option<String>,
    ) -> Result<Response<proto::ApiKey>, Status> {
        let position = Positions::one(SERVICE, receipt.position);
        self.wait(&position).await?;
        self.keys.reach(receipt.position).await;
        let found = self.find(id).await?;
        Ok(reply::reply(receipt, proto::ApiKey { key, position: position.to_string(), ..found }))
    }

    async fn wait(&self, position: &Positions) -> Result<(), Status> {
        let waited = self.views.wait_for(position, PATIENCE).await;
        waited.map_err(|error| status::broken("API keys cannot be read", error))
    }

    async fn find(&self, id: &str) -> Result<proto::ApiKey, Status> {
        let found = api_keys::get(&self.views.pool(), id).await;
        let found = found.map_err(|error| status::broken("API keys cannot be read", error))?;
        found.ok_or_else(|| status::not_found("API key", id))
    }
}

fn only_admins(caller: &Caller) -> Result<(), Status> {
    if caller.actor.roles.iter().any(|role| role == "admin" || role == "service") {
        return Ok(());
    }
    tracing::warn!(actor = caller.actor.id, "denied: API keys are the admin's");
    Err(Status::permission_denied("only an admin may see or change API keys"))
}

fn parse(message: &proto::IssueApiKeyRequest) -> Result<(String, Option<i64>), Status> {
    let mut violations = Violations::default();
    let name = violations.text("name", &message.name, 100);
    if message.roles.is_empty() {
        violations.add("roles", format!("is required, allowed are: {}", ROLES.join(", ")));
    }
    for (nth, role) in message.roles.iter().enumerate() {
        violations.one_of(&format!("roles[{nth}]"), role, &ROLES);
    }
    let expires = message.expires_at.as_deref().map(|text| (text, time::parse_rfc3339(text)));
    if let Some((text, None)) = expires {
        violations.add("expires_at", format!("\"{text}\" is not an RFC 3339 time"));
    }
    violations.done()?;
    Ok((name, expires.and_then(|(_, time)| time)))
}

#[tonic::async_trait]
impl GatewayService for Service {
    async fn issue_api_key(
        &self,
        request: Request<proto::IssueApiKeyRequest>,
    ) -> Result<Response<proto::ApiKey>, Status> {
        let caller = Caller::of(&request)?;
        only_admins(&caller)?;
        let message = request.into_inner();
        let cause = caller.cause("IssueApiKey", &message);
        let (name, expires_at_ms) = parse(&message)?;
        let fresh = FreshKey::generate()
            .ok_or_else(|| status::unavailable("this machine gave no random bytes, try again"))?;
        let issue = Issue {
            prefix: fresh.prefix,
            digest: fresh.digest,
            name,
            roles: message.roles,
            expires_at_ms,
        };
        let id = caller.new_id("IssueApiKey");
        let receipt = self
            .handler
            .execute(&id, Command::Issue(issue), cause)
            .await
            .map_err(|error| status::of(error, |no| refused(&no, &id)))?;
        // A replay cannot show the key again: only its digest was kept.
        let key = (!receipt.replayed).then_some(fresh.key);
        self.answer(&receipt, &id, key).await
    }

    async fn list_api_keys(
        &self,
        request: Request<proto::ListApiKeysRequest>,
    ) -> Result<Response<proto::ListApiKeysResponse>, Status> {
        only_admins(&Caller::of(&request)?)?;
        let asked = request.into_inner();
        let page = Page::parse(asked.page_size, &asked.page_token)?;
        let wanted = reads::min_position(&asked.min_position)?;
        self.wait(&wanted).await?;
        let found = api_keys::list(&self.views.pool(), &page).await;
        let mut rows = found.map_err(|error| status::broken("API keys cannot be read", error))?;
        let next_page_token = page.cut(&mut rows, |row| vec![row.api_key_id.clone()]);
        Ok(Response::new(proto::ListApiKeysResponse { api_keys: rows, next_page_token }))
    }

    async fn get_api_key(
        &self,
        request: Request<proto::GetApiKeyRequest>,
    ) -> Result<Response<proto::ApiKey>, Status> {
        only_admins(&Caller::of(&request)?)?;
        self.find(&request.into_inner().api_key_id).await.map(Response::new)
    }

    async fn revoke_api_key(
        &self,
        request: Request<proto::RevokeApiKeyRequest>,
    ) -> Result<Response<proto::ApiKey>, Status> {
        let caller = Caller::of(&request)?;
        only_admins(&caller)?;
        let message = request.into_inner();
        let cause = caller.cause("RevokeApiKey", &message);
        let id = message.api_key_id;
        let command = Command::Revoke { reason: String::new() };
        let receipt = self
            .handler
            .execute(&id, command, cause)
            .await
            .map_err(|error| status::of(error, |no| refused(&no, &id)))?;
        self.answer(&receipt, &id, None).await
    }

    async fn authenticate_key(
        &self,
        request: Request<proto::AuthenticateKeyRequest>,
    ) -> Result<Response<proto::AuthenticateKeyResponse>, Status> {
        Caller::of(&request)?;
        let actor = self.keys.check(&request.into_inner().key);
        let actor = actor.ok_or_else(|| status::unauthenticated("this API key is not known"))?;
        Ok(Response::new(proto::AuthenticateKeyResponse {
            api_key_id: actor.id,
            roles: actor.roles,
            ..Default::default()
        }))
    }
}

fn refused(refusal: &Refusal, id: &str) -> Status {
    match refusal {
        Refusal::NotIssued => status::not_found("API key", id),
    }
}
