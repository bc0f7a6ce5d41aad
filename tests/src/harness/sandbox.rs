//! The control side of the sandbox courier and channel: faults to switch on, and ledgers of what
//! they really made, against which Nexus is held.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::look::Look;

/// Both sandboxes.
#[derive(Clone, Debug)]
pub struct Sandbox {
    http: reqwest::Client,
    courier: String,
    whatsapp: String,
}

impl Sandbox {
    pub(super) fn new(courier: &str, whatsapp: &str) -> anyhow::Result<Self> {
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        Ok(Self { http, courier: courier.to_owned(), whatsapp: whatsapp.to_owned() })
    }

    /// Switches a fault of the courier on.
    ///
    /// # Errors
    /// When the sandbox refuses it.
    pub async fn courier_fault(&self, fault: &Value) -> anyhow::Result<()> {
        self.post(&format!("{}/_control/faults", self.courier), fault).await.map(drop)
    }

    /// Switches a fault of the channel on.
    ///
    /// # Errors
    /// When the sandbox refuses it.
    pub async fn channel_fault(&self, fault: &Value) -> anyhow::Result<()> {
        self.post(&format!("{}/_control/faults", self.whatsapp), fault).await.map(drop)
    }

    /// Ends all faults that nothing met yet.
    ///
    /// # Errors
    /// When a sandbox does not answer.
    pub async fn end_faults(&self) -> anyhow::Result<()> {
        for base in [&self.courier, &self.whatsapp] {
            let url = format!("{base}/_control/faults");
            self.http.delete(url).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// Every delivery the courier ever made.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn deliveries(&self) -> anyhow::Result<Vec<Value>> {
        self.rows(&self.courier, "deliveries").await
    }

    /// Every webhook the courier ever meant to send.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn courier_webhooks(&self) -> anyhow::Result<Vec<Value>> {
        self.rows(&self.courier, "webhooks").await
    }

    /// Every message the channel ever accepted.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn messages(&self) -> anyhow::Result<Vec<Value>> {
        self.rows(&self.whatsapp, "messages").await
    }

    /// Every webhook the channel ever meant to send.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn channel_webhooks(&self) -> anyhow::Result<Vec<Value>> {
        self.rows(&self.whatsapp, "webhooks").await
    }

    /// How often the courier was asked to make a delivery.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn create_calls(&self) -> anyhow::Result<i64> {
        let calls = self.get(&format!("{}/_control/calls", self.courier)).await?;
        let made = calls.at("calls").as_object().into_iter().flatten();
        let creates = made.filter(|(route, _)| {
            route.starts_with("POST ")
                && (route.ends_with("/deliveries") || route.ends_with("/deliveries/bulk"))
        });
        Ok(creates.filter_map(|(_, times)| times.as_i64()).sum())
    }

    /// Puts a delivery into a state at once, with its webhook.
    ///
    /// # Errors
    /// When the sandbox refuses it.
    pub async fn enter_state(&self, tracking: &str, step: &Value) -> anyhow::Result<()> {
        let url = format!("{}/_control/deliveries/{tracking}/state", self.courier);
        self.post(&url, step).await.map(drop)
    }

    async fn rows(&self, base: &str, name: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.get(&format!("{base}/_control/{name}")).await?;
        Ok(answer.list(name).to_vec())
    }

    async fn get(&self, url: &str) -> anyhow::Result<Value> {
        let response = self.http.get(url).send().await?.error_for_status()?;
        response.json().await.with_context(|| format!("GET {url}"))
    }

    async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self.http.post(url).json(body).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "POST {url}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }
}
