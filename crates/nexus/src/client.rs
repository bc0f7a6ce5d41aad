//! A small client of our own REST API, for the commands that talk to a running Nexus.
//! *Invariant:* what changes something carries an idempotency key, so that asking again after a
//! lost answer does nothing twice.

mod problem;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::cli::ReachArgs;
use crate::endpoints::Endpoints;

pub(crate) use problem::{CallError, Problem};

const PATIENCE: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// All but what RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A running Nexus, reached over REST with its admin key.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
    patience: Duration,
    tries: u32,
}

/// What a call that changes something was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Value,
    /// True when the same key had been answered before.
    pub(crate) replayed: bool,
}

/// Nothing answers; the chain says what was tried.
#[derive(Debug, thiserror::Error)]
#[error("no Nexus runs on {directory}: start nexus up")]
pub(crate) struct NotRunning {
    directory: String,
    #[source]
    why: anyhow::Error,
}

impl Client {
    /// The Nexus of the directory, or the one whose address is given, with the key of the directory
    /// or the one that is given.
    pub(crate) async fn connect(reach: &ReachArgs) -> Result<Self, NotRunning> {
        let data = reach.data.as_path();
        let found = async {
            let given = reach.http.filter(|address| address.port() != 0);
            let base = match given {
                Some(address) => format!("http://{address}"),
                None => Endpoints::read(data)?.http,
            };
            let client = match &reach.key_file {
                Some(file) => Self::with_key(&base, file)?,
                None => Self::new(&base, data)?,
            };
            let asked = client.http.get(format!("{base}/healthz")).timeout(PATIENCE);
            asked.send().await?.error_for_status()?;
            anyhow::Ok(client)
        };
        found.await.map_err(|why| NotRunning { directory: data.display().to_string(), why })
    }

    /// A client of the API at `base`, with the admin key of a data directory.
    pub(crate) fn new(base: &str, data: &Path) -> anyhow::Result<Self> {
        Self::with_key(base, &data.join("admin.key"))
    }

    /// A client of the API at `base`, with the key in `file`.
    pub(crate) fn with_key(base: &str, file: &Path) -> anyhow::Result<Self> {
        let key = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self {
            http: nexus_runtime::http::client(LONGEST)?,
            base: base.to_owned(),
            key: key.trim().to_owned(),
            patience: PATIENCE,
            tries: TRIES,
        })
    }

    /// The same client for long work: it waits longer, and does not begin the work anew when no
    /// answer came.
    pub(crate) fn for_long_work(self, patience: Duration) -> Self {
        Self { patience, tries: 1, ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CallError> {
        let response = self.send(Method::GET, path, None, None).await?;
        json_of(&Method::GET, path, response).await
    }

    /// The bytes of a document.
    pub(crate) async fn download(&self, path: &str) -> Result<Vec<u8>, CallError> {
        let response = self.send(Method::GET, path, None, None).await?;
        let bytes = response.bytes().await;
        bytes.map(Vec::from).map_err(|source| CallError::no_answer(&Method::GET, path, source))
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Answer, CallError> {
        self.change(Method::POST, path, key, body).await
    }

    pub(crate) async fn patch(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Answer, CallError> {
        self.change(Method::PATCH, path, key, body).await
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Answer, CallError> {
        let response = self.send(method.clone(), path, Some(key), Some(body)).await?;
        let replayed = response.headers().contains_key("idempotent-replayed");
        Ok(Answer { body: json_of(&method, path, response).await?, replayed })
    }

    /// Sends until there is an answer that another try would not change.
    async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Response, CallError> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
            request = request.bearer_auth(&self.key).timeout(self.patience);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let (failure, wait) = match request.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let (again, wait) = (may_pass(&response), retry_after(&response));
                    let problem = Problem::read(&method, path, response).await;
                    let failure = CallError::Refused(Box::new(problem));
                    if !again {
                        return Err(failure);
                    }
                    (failure, wait)
                }
                Err(source) => (CallError::no_answer(&method, path, source), None),
            };
            if tries >= self.tries {
                return Err(failure);
            }
            tokio::time::sleep(wait.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause *= 2;
            tries += 1;
        }
    }
}

/// Whether the same call may do better a moment later.
fn may_pass(response: &Response) -> bool {
    match response.status() {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => true,
        // The same key is in flight.
        StatusCode::CONFLICT => response.headers().contains_key(header::RETRY_AFTER),
        _ => false,
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

async fn json_of(method: &Method, path: &str, response: Response) -> Result<Value, CallError> {
    response.json().await.map_err(|source| CallError::no_answer(method, path, source))
}

/// A text as one segment of a path or as one value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The text of a field; empty when it is not there.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The text of a field that an answer must have.
pub(crate) fn required<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    let found = Some(text(value, field)).filter(|text| !text.is_empty());
    found.ok_or_else(|| anyhow!("an answer of the API lacks {field}"))
}

/// The number of a field; 0 when it is not there.
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// The rows of a field; none when it is not there.
pub(crate) fn rows<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The body of a call that has nothing to say.
pub(crate) fn nothing() -> Value {
    json!({})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_letters_is_one_segment() {
        assert_eq!(encoded("BANK CHARGES"), "BANK%20CHARGES");
        assert_eq!(encoded("a/b?c"), "a%2Fb%3Fc");
        assert_eq!(encoded("TEE-BLK_M.1~"), "TEE-BLK_M.1~");
    }

    #[test]
    fn fields_that_are_not_there_are_empty() {
        let answer = json!({"status": "pending", "units": 3, "lines": [1]});
        assert_eq!((text(&answer, "status"), text(&answer, "number")), ("pending", ""));
        assert_eq!((number(&answer, "units"), number(&answer, "picked")), (3, 0));
        assert_eq!((rows(&answer, "lines").len(), rows(&answer, "holds").len()), (1, 0));
        let lack = required(&answer, "order_id").unwrap_err();
        assert_eq!(lack.to_string(), "an answer of the API lacks order_id");
    }

    #[tokio::test]
    async fn a_directory_without_a_running_nexus_is_told_what_to_start() {
        let data = tempfile::tempdir().unwrap();
        let reach = ReachArgs {
            data: data.path().to_owned(),
            http: None,
            key_file: None,
            ingress: None,
            grpc: None,
        };
        let error = Client::connect(&reach).await.err().unwrap();
        assert!(error.to_string().ends_with("start nexus up"), "{error}");
    }
}
