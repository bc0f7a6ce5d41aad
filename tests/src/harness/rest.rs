//! A REST client that remembers what it asked, and that either takes every answer as final or, when
//! told so, tries again with the same idempotency key as a careful integrator would.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::history::{Command, History, Outcome};
use super::look::Look;
use super::wait;

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A client with one API key.
#[derive(Clone, Debug)]
pub struct Rest {
    http: reqwest::Client,
    base: String,
    api_key: String,
    patience: Option<Duration>,
    /// Every command sent, with what came back.
    pub history: Arc<History>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as JSON; null when it is something else.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Answer {
    /// The text of a header; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it says to be a replay.
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }

    /// Whether a careful client tries again: nothing definite was said.
    fn is_for_later(&self) -> bool {
        matches!(self.status, 429 | 503)
            || self.status == 409 && !self.header("retry-after").is_empty()
    }

    /// The body of a 2xx.
    ///
    /// # Errors
    /// The problem that came instead.
    pub fn ok(self) -> anyhow::Result<Value> {
        ensure!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        Ok(self.body)
    }

    fn outcome(&self) -> Outcome {
        match self.status {
            200..300 => Outcome::Acked { body: self.body.clone(), replayed: self.replayed() },
            400..500 if !self.is_for_later() => Outcome::Refused {
                status: self.status,
                reason: self.body.text("reason").to_owned(),
            },
            status => Outcome::Unknown { why: format!("{status}: {}", self.body) },
        }
    }
}

impl Rest {
    /// A client that takes every answer as final.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: &str, api_key: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WITHIN)
            .connect_timeout(Duration::from_secs(2))
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            base: base.to_owned(),
            api_key: api_key.to_owned(),
            patience: None,
            history: Arc::default(),
        })
    }

    /// The same client, which tries again for that long whenever nothing definite was said.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self.clone() }
    }

    /// For how long it tries again.
    #[must_use]
    pub const fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Whether it tries again.
    #[must_use]
    pub const fn is_patient(&self) -> bool {
        self.patience.is_some()
    }

    /// The same client with another API key.
    #[must_use]
    pub fn with_key(&self, api_key: &str) -> Self {
        Self { api_key: api_key.to_owned(), ..self.clone() }
    }

    /// A key that no command had.
    #[must_use]
    pub fn fresh_key() -> String {
        uuid::Uuid::now_v7().to_string()
    }

    /// Sends one request once, whatever comes of it.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.api_key);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        read(request).await
    }

    /// Sends one command once under a key, and remembers it.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn try_once(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        key: &str,
    ) -> anyhow::Result<Answer> {
        let call = format!("{method} {path}");
        let answered = self.send(method, path, Some(body), Some(key)).await;
        let outcome = match &answered {
            Ok(answer) => answer.outcome(),
            Err(error) => Outcome::Unknown { why: format!("{error:#}") },
        };
        let (key, body) = (key.to_owned(), body.clone());
        self.history.push(Command { key, call, body, outcome });
        answered
    }

    /// Sends a command under a key of its own and answers whatever definite was said.
    ///
    /// # Errors
    /// When nothing definite was said in time.
    pub async fn command(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.command_with(Method::POST, path, body, &Self::fresh_key()).await
    }

    /// The same with a method and key of the caller's choice.
    ///
    /// # Errors
    /// When nothing definite was said in time.
    pub async fn command_with(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        key: &str,
    ) -> anyhow::Result<Answer> {
        let Some(patience) = self.patience else {
            return self.try_once(method, path, body, key).await.with_context(|| path.to_owned());
        };
        wait::until(&format!("for an answer to {method} {path}"), patience, async || {
            let answered = self.try_once(method.clone(), path, body, key).await;
            Ok(answered.ok().filter(|answer| !answer.is_for_later()))
        })
        .await
    }

    /// Sends a command that must succeed.
    ///
    /// # Errors
    /// The problem that came instead.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.command(path, body).await?;
        answer.ok().with_context(|| format!("POST {path}"))
    }

    /// Reads, whatever comes of it.
    ///
    /// # Errors
    /// When no whole answer came in time.
    pub async fn read(&self, path: &str) -> anyhow::Result<Answer> {
        let Some(patience) = self.patience else {
            return self.send(Method::GET, path, None, None).await;
        };
        wait::until(&format!("for GET {path}"), patience, async || {
            let answered = self.send(Method::GET, path, None, None).await;
            Ok(answered.ok().filter(|answer| !answer.is_for_later()))
        })
        .await
    }

    /// Reads what must be there.
    ///
    /// # Errors
    /// The problem that came instead.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.read(path).await?.ok().with_context(|| format!("GET {path}"))
    }

    /// All rows of a list, page by page.
    ///
    /// # Errors
    /// The problem that came instead, or a list that does not end.
    pub async fn all(&self, path: &str, rows: &str) -> anyhow::Result<Vec<Value>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut found = Vec::new();
        let mut token = String::new();
        for _ in 0..1_000 {
            let next = format!("{path}{separator}page_size=500&page_token={token}");
            let page = self.get(&next).await?;
            found.extend_from_slice(page.list(rows));
            token = page.text("next_page_token").to_owned();
            if token.is_empty() {
                return Ok(found);
            }
        }
        bail!("GET {path} has no last page")
    }
}

async fn read(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let bytes = response.bytes().await?.to_vec();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(Answer { status, body, bytes, headers })
}
