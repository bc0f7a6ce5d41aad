//! Bosta, API v2, against its live system or the sandbox.
//! *Invariant:* each create carries our reference as `uniqueBusinessReference`, the API's only
//! guard against a second delivery.

mod api;
mod cities;
mod request;
#[cfg(test)]
mod tests;
pub(super) mod webhook;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Account, AwbRequest, CallError, Courier, NotUnderstood, Told, Tracked, carries_secret,
};
use crate::config::Config;
use crate::domain::LabelFormat;
use crate::domain::shipment::Awb;
use api::{Api, text_of, unreadable};

pub(super) struct Bosta {
    api: Api,
}

impl Bosta {
    pub(super) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        Ok(Self { api: Api::new(config)? })
    }

    async fn read(&self, account: &Account, tracking_number: &str) -> Result<Value, CallError> {
        let path = format!("deliveries/business/{tracking_number}");
        self.api.call(account, Method::GET, &path, None).await
    }

    /// The list is slim: a row that does not say its reference is read whole.
    async fn whole(&self, account: &Account, row: &Value) -> Result<Option<Value>, CallError> {
        if text_of(row, "uniqueBusinessReference").is_some() {
            return Ok(Some(row.clone()));
        }
        let Some(number) = text_of(row, "trackingNumber") else { return Ok(None) };
        match self.read(account, &number).await {
            Ok(delivery) => Ok(Some(delivery)),
            Err(CallError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Terminated or cancelled: not a delivery that a parcel can go by.
const ENDED_STATES: [i64; 2] = [48, 49];

#[async_trait]
impl Courier for Bosta {
    fn reads_back(&self) -> bool {
        true
    }

    async fn create_awb(&self, account: &Account, request: &AwbRequest) -> Result<Awb, CallError> {
        let place = self.api.place(account, request).await?;
        let path = if place.is_documented() { "deliveries?apiVersion=1" } else { "deliveries" };
        let body = request::delivery(account, request, &place)?;
        let made = self.api.call(account, Method::POST, path, Some(&body)).await;
        awb_of(&made.map_err(|error| api::without_person(error, &request.recipient))?)
            .ok_or_else(unreadable)
    }

    async fn find_by_reference(
        &self,
        account: &Account,
        reference: &str,
        order_number: &str,
    ) -> Result<Vec<Awb>, CallError> {
        let body = json!({"businessReference": order_number});
        let path = "deliveries/search?page=1&limit=50";
        let found = self.api.call(account, Method::POST, path, Some(&body)).await?;
        let rows = found.get("deliveries").and_then(Value::as_array).ok_or_else(unreadable)?;
        let mut awbs = vec![];
        // Newest first, as the courier lists them.
        for row in rows.iter().rev() {
            let Some(delivery) = self.whole(account, row).await? else { continue };
            let ours = text_of(&delivery, "uniqueBusinessReference").as_deref() == Some(reference);
            let state = delivery.pointer("/state/code").and_then(Value::as_i64);
            let ended = state.is_some_and(|state| ENDED_STATES.contains(&state));
            if ours && !ended {
                awbs.extend(awb_of(&delivery));
            }
        }
        Ok(awbs)
    }

    async fn print_awb(
        &self,
        account: &Account,
        awb: &Awb,
        format: LabelFormat,
    ) -> Result<Vec<u8>, CallError> {
        let body = json!({
            "trackingNumbers": awb.tracking_number,
            "requestedAwbType": format.name(),
            "lang": "ar",
        });
        let data = self.api.call(account, Method::POST, "deliveries/mass-awb", Some(&body)).await?;
        let pdf = data.as_str().and_then(|text| STANDARD.decode(text.trim()).ok());
        pdf.filter(|pdf| pdf.starts_with(b"%PDF")).ok_or_else(unreadable)
    }

    async fn void(&self, account: &Account, awb: &Awb) -> Result<(), CallError> {
        let path = format!("deliveries/business/{}/terminate", awb.tracking_number);
        match self.api.call(account, Method::DELETE, &path, None).await {
            // A second terminate: it is gone, which is what was wanted.
            Ok(_) | Err(CallError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn track(&self, account: &Account, awb: &Awb) -> Result<Tracked, CallError> {
        match self.read(account, &awb.tracking_number).await {
            Ok(delivery) => {
                let told = webhook::read_back(&delivery).ok_or_else(unreadable)?;
                let raw = delivery.to_string().into_bytes();
                Ok(Tracked::At { told: Box::new(told), raw })
            }
            Err(CallError::NotFound) => Ok(Tracked::Gone),
            Err(error) => Err(error),
        }
    }

    async fn test_connection(&self, account: &Account) -> Result<Option<String>, CallError> {
        let path = "deliveries/analytics/total-deliveries";
        self.api.call(account, Method::GET, path, None).await.map(|_| None)
    }

    fn authenticate_webhook(&self, secret_sha256: &[u8], header: &str) -> bool {
        carries_secret(secret_sha256, header)
    }

    fn parse_webhook(&self, body: &[u8]) -> Result<Told, NotUnderstood> {
        webhook::parse(body)
    }
}

fn awb_of(delivery: &Value) -> Option<Awb> {
    let tracking_number = text_of(delivery, "trackingNumber")?;
    Some(Awb {
        tracking_url: format!(
            "https://bosta.co/tracking-shipments?shipment-number={tracking_number}"
        ),
        awb: tracking_number.clone(),
        tracking_number,
        delivery_id: text_of(delivery, "_id")?,
    })
}
