//! What the first start makes: an admin key, a Bosta account and a WhatsApp account on the
//! sandboxes, all usable at once.

use std::path::{Path, PathBuf};

use anyhow::Context;
use nexus_es::{Actor, Cause, clock, derived_id};
use nexus_gateway::Keys;
use nexus_proto::notification::v1 as notification;
use nexus_proto::shipping::v1 as shipping;
use nexus_runtime::{Ports, status};
use serde_json::json;
use tonic::Status;

use super::Endpoints;
use super::secrets::write_private;

/// Makes sure that `DIR/admin.key` opens the door; answers its path.
pub(crate) async fn admin_key(ports: &Ports, keys: &Keys, data: &Path) -> anyhow::Result<PathBuf> {
    let file = data.join("admin.key");
    let existing = std::fs::read_to_string(&file).ok();
    if let Some(key) = nexus_gateway::admin_key(ports, keys, existing.as_deref()).await? {
        write_private(&file, &key)?;
    }
    Ok(file)
}

/// Makes the two sandbox accounts; at later starts this finds them made.
pub(crate) async fn accounts(ports: &Ports, endpoints: &Endpoints) -> anyhow::Result<()> {
    let message = shipping::CreateCourierAccountRequest {
        courier: "bosta".to_owned(),
        name: "Bosta (sandbox)".to_owned(),
        mode: "sandbox".to_owned(),
        credentials: Some(shipping::CourierCredentials { api_key: "sandbox-key".to_owned() }),
        ..Default::default()
    };
    let request = ports.channels.request(message, &cause("bosta"));
    let mut client = ports.channels.shipping();
    match client.create_courier_account(request).await {
        Ok(_) => {}
        Err(no) if was_made_otherwise(&no) => {}
        Err(error) => return Err(error).context("no sandbox account at Bosta"),
    }
    let message = notification::CreateChannelAccountRequest {
        channel: "whatsapp".to_owned(),
        name: "WhatsApp (sandbox)".to_owned(),
        mode: "sandbox".to_owned(),
        credentials: Some(notification::ChannelCredentials {
            access_token: "sandbox-token".to_owned(),
            app_secret: SANDBOX_APP_SECRET.to_owned(),
            phone_number_id: "106540352242922".to_owned(),
            ..Default::default()
        }),
    };
    let request = ports.channels.request(message, &cause("whatsapp"));
    let mut client = ports.channels.notification();
    match client.create_channel_account(request).await {
        Ok(made) => register_webhook(endpoints, &made.into_inner()).await,
        // The sandbox still knows where that account's receipts go.
        Err(no) if was_made_otherwise(&no) => Ok(()),
        Err(error) => Err(error).context("no sandbox account at WhatsApp"),
    }
}

/// An earlier release, or an earlier master key, asked for the account in other words.
fn was_made_otherwise(no: &Status) -> bool {
    status::reason(no).as_deref() == Some("IDEMPOTENCY_KEY_REUSED")
}

/// The sandbox is ours: its secret protects nothing.
const SANDBOX_APP_SECRET: &str = "sandbox-app-secret";

/// Tells the sandbox where receipts go, as one does in the channel's own dashboard.
async fn register_webhook(
    endpoints: &Endpoints,
    account: &notification::ChannelAccount,
) -> anyhow::Result<()> {
    let client = nexus_runtime::http::client(std::time::Duration::from_secs(5))?;
    let told = client
        .post(format!("{}/_control/webhook", endpoints.sandbox_whatsapp))
        .json(&json!({
            "url": account.webhook_url,
            "app_secret": SANDBOX_APP_SECRET,
            "verify_token": account.verify_token,
        }))
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    told.map(drop).context("the WhatsApp sandbox does not take our webhook")
}

/// The same command at every start: the second is no news.
fn cause(what: &str) -> Cause {
    let now = clock::now_ms();
    let command_id = derived_id(&["first start", what]);
    Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id,
        request_hash: Vec::new(),
        story: command_id.to_string(),
        causation_id: None,
        actor: Actor::service("nexus"),
        traceparent: String::new(),
    }
}
