//! Subscribing a webhook: nothing is kept before the receiver has echoed the challenge.

use serde::{Deserialize, Serialize};

use super::App;
use crate::failure::Error;
use crate::random;
use crate::store::Store;

/// Where one number's webhooks go, or all numbers' that have none of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Subscription {
    pub(super) url: String,
    pub(super) app_secret: String,
    pub(super) verify_token: String,
    #[serde(default)]
    pub(super) phone_number_id: Option<String>,
}

fn setting_name(phone_number_id: Option<&str>) -> String {
    format!("webhook/{}", phone_number_id.unwrap_or("*"))
}

pub(super) fn subscription(
    store: &Store,
    phone_number_id: &str,
) -> Result<Option<Subscription>, Error> {
    match store.setting(&setting_name(Some(phone_number_id)))? {
        Some(own) => Ok(Some(own)),
        None => store.setting(&setting_name(None)),
    }
}

/// Asks the receiver with its verify token; keeps the subscription only when it echoes.
pub(super) async fn subscribe(
    app: &App,
    wanted: &Subscription,
) -> Result<Result<(), String>, Error> {
    let challenge = random::ten_digits()?;
    let asked = app
        .outbox
        .http
        .get(&wanted.url)
        .query(&[
            ("hub.mode", "subscribe"),
            ("hub.challenge", &challenge),
            ("hub.verify_token", &wanted.verify_token),
        ])
        .send()
        .await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(format!("the callback could not be reached: {error}"))),
    };
    let status = answer.status();
    let echoed = answer.text().await.unwrap_or_default();
    if status != reqwest::StatusCode::OK || echoed != challenge {
        return Ok(Err(format!("the callback answered {status} and did not echo the challenge")));
    }
    let name = setting_name(wanted.phone_number_id.as_deref());
    app.store.set_setting(&name, wanted).await?;
    Ok(Ok(()))
}
