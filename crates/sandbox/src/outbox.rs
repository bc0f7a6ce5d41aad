//! Webhooks on their way out: stored with what caused them, sent until somebody answers 2xx.
//! *Invariant:* webhooks of one subject are never in flight side by side, so that only a fault or a
//! failed attempt brings them out of order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::failure::{Error, report};

/// Beyond this many at once the receiver, not the sandbox, is what is being tested.
const IN_FLIGHT_MAX: usize = 32;
/// At speed 1 in milliseconds: the wait after the first failed attempt, doubled up to the second.
const BACKOFF_FIRST: u64 = 1_000;
const BACKOFF_LAST: u64 = 60_000;
/// However fast the clock, a receiver that is away is not hammered.
const BACKOFF_FLOOR_MS: i64 = 50;
/// Weeks at speed 1, more than an hour at any; a receiver gone for good is not called for ever.
const ATTEMPTS_MAX: i64 = 100_000;
/// The column `done`.
const PENDING: i64 = 0;
const DELIVERED: i64 = 1;
const GIVEN_UP: i64 = 2;
const IDLE: Duration = Duration::from_secs(3_600);

/// What to send, to whom, and when.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) subject: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) due_ms: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    pub(crate) pool: SqlitePool,
    pub(crate) clock: Clock,
    pub(crate) http: reqwest::Client,
    pub(crate) wake: Arc<Notify>,
}

#[derive(Debug, Clone)]
struct Row {
    seq: i64,
    subject: String,
    url: String,
    headers: String,
    body: String,
    attempts: i64,
}

pub(crate) fn client() -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(Error::Client)
}

/// Stores a webhook with the change that caused it.
pub(crate) async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    webhook: &Webhook,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO outbox (subject, url, headers, body, due_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&webhook.subject)
    .bind(&webhook.url)
    .bind(serde_json::to_string(&webhook.headers)?)
    .bind(&webhook.body)
    .bind(webhook.due_ms)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Every webhook ever stored, oldest first, as the control API shows it.
pub(crate) async fn list(pool: &SqlitePool) -> Result<Vec<Value>, Error> {
    let rows: Vec<(String, String, String, i64, Option<String>, i64)> = sqlx::query_as(
        "SELECT subject, url, body, attempts, last_answer, done FROM outbox ORDER BY seq",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(subject, url, body, attempts, last_answer, done)| {
            let body: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
            json!({"subject": subject, "url": url, "body": body, "attempts": attempts,
                   "last_answer": last_answer, "delivered": done == DELIVERED})
        })
        .collect())
}

impl Outbox {
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut flight = Flight { sending: JoinSet::new(), busy: HashSet::new() };
        loop {
            let pause = match self.send_due(&mut flight).await {
                Ok(pause) => pause,
                Err(error) => {
                    report(&error, "webhooks wait");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(ended) = flight.sending.join_next() => {
                    self.settle(&mut flight, ended).await;
                    while let Some(ended) = flight.sending.try_join_next() {
                        self.settle(&mut flight, ended).await;
                    }
                }
            }
        }
    }

    async fn send_due(&self, flight: &mut Flight) -> Result<Duration, Error> {
        let now = self.clock.now();
        let due: Vec<(i64, String, String, String, String, i64)> = sqlx::query_as(
            "SELECT seq, subject, url, headers, body, attempts FROM outbox \
             WHERE done = 0 AND due_ms <= $1 ORDER BY due_ms, seq LIMIT 64",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        for (seq, subject, url, headers, body, attempts) in due {
            let row = Row { seq, subject, url, headers, body, attempts };
            if flight.busy.len() < IN_FLIGHT_MAX && flight.busy.insert(row.subject.clone()) {
                let http = self.http.clone();
                flight.sending.spawn(async move {
                    let answer = post(&http, &row).await;
                    (row, answer)
                });
            }
        }
        let next: Option<i64> =
            sqlx::query_scalar("SELECT MIN(due_ms) FROM outbox WHERE done = 0 AND due_ms > $1")
                .bind(now)
                .fetch_one(&self.pool)
                .await?;
        Ok(next.map_or(IDLE, |due| self.clock.until(due)))
    }

    async fn settle(&self, flight: &mut Flight, ended: Result<Ended, tokio::task::JoinError>) {
        let (row, answer) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                report(&error, "a webhook was not sent");
                flight.busy.clear();
                return;
            }
        };
        if let Err(error) = self.record(&row, &answer).await {
            report(&error, "a webhook is sent again");
        }
        flight.busy.remove(&row.subject);
    }

    async fn record(&self, row: &Row, answer: &Answer) -> Result<(), Error> {
        let attempts = row.attempts + 1;
        let (done, text) = match answer {
            Ok(status) if status.is_success() => (DELIVERED, status.to_string()),
            Ok(status) => (PENDING, status.to_string()),
            Err(error) => (PENDING, error.clone()),
        };
        let given_up = done == PENDING && attempts >= ATTEMPTS_MAX;
        let done = if given_up { GIVEN_UP } else { done };
        let doublings = u32::try_from(row.attempts.clamp(0, 10)).unwrap_or(10);
        let backoff = (BACKOFF_FIRST << doublings).min(BACKOFF_LAST);
        sqlx::query(
            "UPDATE outbox SET attempts = $2, last_answer = $3, done = $4, \
             due_ms = CASE WHEN $4 = 0 THEN $5 ELSE due_ms END WHERE seq = $1",
        )
        .bind(row.seq)
        .bind(attempts)
        .bind(text)
        .bind(done)
        .bind(self.clock.after(backoff).max(self.clock.now() + BACKOFF_FLOOR_MS))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

type Answer = Result<http::StatusCode, String>;
type Ended = (Row, Answer);

struct Flight {
    sending: JoinSet<Ended>,
    busy: HashSet<String>,
}

async fn post(http: &reqwest::Client, row: &Row) -> Answer {
    let headers: BTreeMap<String, String> =
        serde_json::from_str(&row.headers).map_err(|error| error.to_string())?;
    let mut request = http.post(&row.url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    match request.body(row.body.clone()).send().await {
        Ok(response) => Ok(response.status()),
        Err(error) => Err(error.without_url().to_string()),
    }
}
