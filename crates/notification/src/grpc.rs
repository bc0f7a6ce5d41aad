//! Requests → commands → replies; refusals → status.

mod accounts;
mod messages;
mod templates;

use std::sync::Arc;
use std::time::Duration;

use nexus_es::{Positions, Receipt};
use nexus_proto::notification::v1 as proto;
use nexus_proto::notification::v1::notification_service_server::NotificationService;
use nexus_runtime::caller::Caller;
use nexus_runtime::{reads, status};
use tonic::{Request, Response, Status, async_trait};

use crate::parts::Parts;
use crate::wire::SERVICE;

/// How long an answer waits for its view.
const VIEW_PATIENCE: Duration = Duration::from_secs(2);
/// How long a read that names no position waits for what happened just before it.
const LATEST: Duration = Duration::from_millis(250);
/// Longest name of anything.
const MAX_NAME: usize = 200;

pub(crate) struct Notification(pub(crate) Arc<Parts>);

impl Notification {
    /// Waits until the views show what `receipt` stands on.
    async fn seen(&self, receipt: &Receipt) -> Result<String, Status> {
        let position = Positions::one(SERVICE, receipt.position);
        self.wait(&position).await?;
        Ok(position.to_string())
    }

    /// Waits for the position a reader asks for; answers where the views stand.
    async fn reach(&self, min_position: &str) -> Result<String, Status> {
        if !min_position.is_empty() {
            let wanted = reads::min_position(min_position)?;
            self.wait(&wanted).await?;
        } else {
            self.0.views.wait_for_latest(LATEST).await;
        }
        Ok(self.0.views.positions().to_string())
    }

    async fn wait(&self, position: &Positions) -> Result<(), Status> {
        let waited = self.0.views.wait_for(position, VIEW_PATIENCE).await;
        waited.map_err(|error| status::broken("the messages are not up to date yet", error))
    }
}

/// Settings are for those who run the shop: some roles, and our own services.
fn only(caller: &Caller, roles: &[&str]) -> Result<(), Status> {
    let may = |role: &String| role == "service" || roles.contains(&role.as_str());
    if caller.actor.roles.iter().any(may) {
        return Ok(());
    }
    let needed = roles.join(" or ");
    Err(Status::permission_denied(format!("this needs a key or person with the role {needed}")))
}

/// Who may change accounts and their secrets.
const OF_ACCOUNTS: [&str; 1] = ["admin"];
/// Who may change words.
const OF_TEMPLATES: [&str; 2] = ["admin", "operator"];

fn unreadable(error: sqlx::Error) -> Status {
    status::broken("the messages cannot be read now", error)
}

#[async_trait]
impl NotificationService for Notification {
    async fn list_messages(
        &self,
        request: Request<proto::ListMessagesRequest>,
    ) -> Result<Response<proto::ListMessagesResponse>, Status> {
        self.listed_messages(request.into_inner()).await.map(Response::new)
    }

    async fn get_message(
        &self,
        request: Request<proto::GetMessageRequest>,
    ) -> Result<Response<proto::Message>, Status> {
        self.read_message(request.into_inner()).await.map(Response::new)
    }

    async fn put_template(
        &self,
        request: Request<proto::PutTemplateRequest>,
    ) -> Result<Response<proto::Template>, Status> {
        self.put_words(request).await
    }

    async fn get_template(
        &self,
        request: Request<proto::GetTemplateRequest>,
    ) -> Result<Response<proto::Template>, Status> {
        self.read_template(request.into_inner()).await.map(Response::new)
    }

    async fn list_templates(
        &self,
        request: Request<proto::ListTemplatesRequest>,
    ) -> Result<Response<proto::ListTemplatesResponse>, Status> {
        self.listed_templates(request.into_inner()).await.map(Response::new)
    }

    async fn create_channel_account(
        &self,
        request: Request<proto::CreateChannelAccountRequest>,
    ) -> Result<Response<proto::ChannelAccount>, Status> {
        self.open_account(request).await
    }

    async fn list_channel_accounts(
        &self,
        request: Request<proto::ListChannelAccountsRequest>,
    ) -> Result<Response<proto::ListChannelAccountsResponse>, Status> {
        self.listed_accounts(request.into_inner()).await.map(Response::new)
    }

    async fn get_channel_account(
        &self,
        request: Request<proto::GetChannelAccountRequest>,
    ) -> Result<Response<proto::ChannelAccount>, Status> {
        self.read_account(request.into_inner()).await.map(Response::new)
    }

    async fn amend_channel_account(
        &self,
        request: Request<proto::AmendChannelAccountRequest>,
    ) -> Result<Response<proto::ChannelAccount>, Status> {
        self.amend_account(request).await
    }

    async fn test_channel_account(
        &self,
        request: Request<proto::TestChannelAccountRequest>,
    ) -> Result<Response<proto::TestChannelAccountResponse>, Status> {
        self.test_account(request).await.map(Response::new)
    }

    async fn rotate_channel_credentials(
        &self,
        request: Request<proto::RotateChannelCredentialsRequest>,
    ) -> Result<Response<proto::ChannelAccount>, Status> {
        self.rotate_credentials(request).await
    }
}
