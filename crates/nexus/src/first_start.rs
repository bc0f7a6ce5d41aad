//! What the first start makes: an admin key, a Bosta account and a WhatsApp account on the
//! sandboxes, all usable at once.

use std::path::Path;

use anyhow::Context;
use nexus_es::{Actor, Cause, clock, derived_id};
use nexus_gateway::Keys;
use nexus_proto::notification::v1 as notification;
use nexus_proto::shipping::v1 as shipping;
use nexus_runtime::{Ports, status};
use serde_json::{Value, json};
use tonic::Status;

use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::root::write_private;

/// Makes sure that the key in `file` opens the door.
pub(crate) async fn admin_key(ports: &Ports, keys: &Keys, file: &Path) -> anyhow::Result<()> {
    let existing = std::fs::read_to_string(file).ok();
    if let Some(key) = nexus_gateway::admin_key(ports, keys, existing.as_deref()).await? {
        write_private(file, &key)?;
    }
    Ok(())
}

/// Makes the two sandbox accounts; at later starts this finds them made.
pub(crate) async fn accounts(ports: &Ports, endpoints: &Endpoints) -> anyhow::Result<()> {
    let message = shipping::CreateCourierAccountRequest {
        courier: "bosta".to_owned(),
        name: "Bosta (sandbox)".to_owned(),
        mode: "sandbox".to_owned(),
        credentials: Some(shipping::CourierCredentials { api_key: COURIER_KEY.to_owned() }),
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
            access_token: ACCESS_TOKEN.to_owned(),
            app_secret: APP_SECRET.to_owned(),
            phone_number_id: PHONE_NUMBER.to_owned(),
            ..Default::default()
        }),
    };
    let request = ports.channels.request(message, &cause("whatsapp"));
    let mut client = ports.channels.notification();
    match client.create_channel_account(request).await {
        Ok(made) => {
            let made = made.into_inner();
            let sandbox = &endpoints.sandbox_whatsapp;
            let token = made.verify_token.unwrap_or_default();
            register_webhook(sandbox, &made.webhook_url, &token).await
        }
        // The sandbox still knows where that account's receipts go.
        Err(no) if was_made_otherwise(&no) => Ok(()),
        Err(error) => Err(error).context("no sandbox account at WhatsApp"),
    }
}

/// Makes the same accounts over REST, as any merchant would, and answers their ids.
pub(crate) async fn accounts_over_rest(
    client: &Client,
    whatsapp_sandbox: &str,
) -> anyhow::Result<[String; 2]> {
    let courier = json!({
        "courier": "bosta",
        "name": "Bosta (sandbox)",
        "mode": "sandbox",
        "credentials": {"api_key": COURIER_KEY},
    });
    let courier = client.post("/v1/courier-accounts", "init-bosta", &courier).await;
    let courier = courier.context("no sandbox account at Bosta")?;
    let channel = json!({
        "channel": "whatsapp",
        "name": "WhatsApp (sandbox)",
        "mode": "sandbox",
        "credentials": {
            "access_token": ACCESS_TOKEN,
            "app_secret": APP_SECRET,
            "phone_number_id": PHONE_NUMBER,
        },
    });
    let channel = client.post("/v1/channel-accounts", "init-whatsapp", &channel).await;
    let channel = channel.context("no sandbox account at WhatsApp")?;
    let text = |value: &Value, field: &str| {
        value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (url, token) = (text(&channel.body, "webhook_url"), text(&channel.body, "verify_token"));
    register_webhook(whatsapp_sandbox, &url, &token).await?;
    Ok([text(&courier.body, "courier_account_id"), text(&channel.body, "channel_account_id")])
}

/// An earlier release, or an earlier master key, asked for the account in other words.
fn was_made_otherwise(no: &Status) -> bool {
    status::reason(no).as_deref() == Some("IDEMPOTENCY_KEY_REUSED")
}

// The sandboxes are ours: what opens them protects nothing.
const COURIER_KEY: &str = "sandbox-key";
const ACCESS_TOKEN: &str = "sandbox-token";
const APP_SECRET: &str = "sandbox-app-secret";
const PHONE_NUMBER: &str = "106540352242922";

/// Tells the sandbox where receipts go, as one does in the channel's own dashboard.
async fn register_webhook(sandbox: &str, url: &str, verify_token: &str) -> anyhow::Result<()> {
    let client = nexus_runtime::http::client(std::time::Duration::from_secs(5))?;
    let told = client
        .post(format!("{sandbox}/_control/webhook"))
        .json(&json!({"url": url, "app_secret": APP_SECRET, "verify_token": verify_token}))
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
