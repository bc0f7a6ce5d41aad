//! Webhooks on their way out: stored with what caused them, sent until somebody answers 2xx.
//! *Invariant:* webhooks of one subject are never in flight side by side, so that only a fault or a
//! failed attempt brings them out of order.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use sqlx::SqlitePool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agenda::Agenda;
use crate::clock::Clock;
use crate::failure::{Error, report};
use crate::server;
use crate::store::{Batch, Store, locked};

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
/// The pause before what could not be marked is sent again.
const UNWRITTEN_MS: i64 = 1_000;
const IDLE: Duration = Duration::from_secs(3_600);

/// What to send, to whom, and when.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) subject: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) due_ms: i64,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    store: Arc<Store>,
    clock: Clock,
    pub(crate) http: reqwest::Client,
    wake: Notify,
    /// All that nobody took yet and that is not being sent.
    waiting: Mutex<Agenda<Row>>,
}

#[derive(Debug)]
struct Row {
    seq: i64,
    attempts: i64,
    webhook: Webhook,
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
    pub(crate) async fn open(
        store: Arc<Store>,
        clock: Clock,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        let rows: Vec<(i64, i64, String, String, String, String, i64)> = sqlx::query_as(
            "SELECT seq, attempts, subject, url, headers, body, due_ms FROM outbox WHERE done = 0",
        )
        .fetch_all(&store.pool)
        .await?;
        let mut waiting = Agenda::new(store.last_seq("outbox").await?);
        for (seq, attempts, subject, url, headers, body, due_ms) in rows {
            let headers = serde_json::from_str(&headers)?;
            let webhook = Webhook { subject, url, headers, body, due_ms };
            waiting.set(seq, Some(due_ms), Row { seq, attempts, webhook });
        }
        Ok(Self { store, clock, http, wake: Notify::new(), waiting: Mutex::new(waiting) })
    }

    /// Writes a change with the webhooks that tell it, and sends them when they are due.
    pub(crate) async fn write(
        &self,
        mut batch: Batch,
        webhooks: Vec<Webhook>,
    ) -> Result<(), Error> {
        let rows: Vec<Row> = {
            let mut waiting = locked(&self.waiting);
            let row = |webhook| Row { seq: waiting.next_seq(), attempts: 0, webhook };
            webhooks.into_iter().map(row).collect()
        };
        let headers = rows.iter().map(|row| serde_json::to_string(&row.webhook.headers));
        let headers = headers.collect::<Result<Vec<_>, _>>()?;
        batch.rows(
            "INSERT INTO outbox (seq, subject, url, headers, body, due_ms) ",
            rows.iter().zip(headers),
            |mut values, (Row { seq, webhook, .. }, headers)| {
                values.push_bind(seq).push_bind(&webhook.subject).push_bind(&webhook.url);
                values.push_bind(headers).push_bind(&webhook.body).push_bind(webhook.due_ms);
            },
            "",
        );
        self.store.write(batch).await?;
        self.wait_with(rows);
        self.wake.notify_one();
        Ok(())
    }

    fn wait_with(&self, rows: impl IntoIterator<Item = Row>) {
        let mut waiting = locked(&self.waiting);
        for row in rows {
            waiting.set(row.seq, Some(row.webhook.due_ms), row);
        }
    }

    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut busy = HashSet::new();
        let mut ended = Vec::new();
        let mut sending = FuturesUnordered::new();
        let mut turn = server::turns();
        loop {
            let now = self.clock.now();
            let free = IN_FLIGHT_MAX.saturating_sub(sending.len());
            for row in self.take_due(now, free, &mut busy) {
                sending.push(post(&self.http, row));
            }
            let next = locked(&self.waiting).next_after(now);
            let pause = next.map_or(IDLE, |due| self.clock.until(due));
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(one) = sending.next() => ended.push(one),
                // What ended within a turn is marked in one statement.
                _ = turn.tick(), if !ended.is_empty() => self.settle(&mut busy, &mut ended).await,
            }
        }
        self.settle(&mut busy, &mut ended).await;
    }

    fn take_due(&self, now: i64, free: usize, busy: &mut HashSet<String>) -> Vec<Row> {
        let mut taken = 0;
        locked(&self.waiting).take_due(now, |row| {
            let wanted = taken < free && busy.insert(row.webhook.subject.clone());
            taken += usize::from(wanted);
            wanted
        })
    }

    /// Writes what came of those that ended. Their subjects are busy until then, so that what a
    /// killed sandbox sends again comes before what it has not sent yet.
    async fn settle(&self, busy: &mut HashSet<String>, ended: &mut Vec<Ended>) {
        let outcomes: Vec<_> = ended.drain(..).map(|ended| self.outcome(ended)).collect();
        let mut batch = Batch::default();
        batch.rows(
            "UPDATE outbox SET attempts = fresh.column2, last_answer = fresh.column3, \
             done = fresh.column4, due_ms = fresh.column5 FROM (",
            &outcomes,
            |mut values, Outcome { row, answer, done }| {
                values.push_bind(row.seq).push_bind(row.attempts).push_bind(answer);
                values.push_bind(done).push_bind(row.webhook.due_ms);
            },
            ") AS fresh WHERE outbox.seq = fresh.column1",
        );
        let written = self.store.write(batch).await;
        for outcome in &outcomes {
            busy.remove(&outcome.row.webhook.subject);
        }
        match written {
            Ok(()) => {
                let pending = outcomes.into_iter().filter(|outcome| outcome.done == PENDING);
                self.wait_with(pending.map(|outcome| outcome.row));
            }
            Err(error) => {
                report(&error, "webhooks are sent again");
                let due_ms = self.clock.now() + UNWRITTEN_MS;
                self.wait_with(outcomes.into_iter().map(|Outcome { mut row, .. }| {
                    row.webhook.due_ms = due_ms;
                    row
                }));
            }
        }
    }

    fn outcome(&self, (mut row, answer): Ended) -> Outcome {
        let (taken, answer) = match answer {
            Ok(status) => (status.is_success(), status.to_string()),
            Err(error) => (false, error),
        };
        let doublings = u32::try_from(row.attempts.clamp(0, 10)).unwrap_or(10);
        row.attempts += 1;
        let done = match taken {
            true => DELIVERED,
            false if row.attempts >= ATTEMPTS_MAX => GIVEN_UP,
            false => PENDING,
        };
        if done == PENDING {
            let backoff = (BACKOFF_FIRST << doublings).min(BACKOFF_LAST);
            let soonest = self.clock.now() + BACKOFF_FLOOR_MS;
            row.webhook.due_ms = self.clock.after(backoff).max(soonest);
        }
        Outcome { row, answer, done }
    }
}

type Ended = (Row, Result<http::StatusCode, String>);

struct Outcome {
    row: Row,
    answer: String,
    done: i64,
}

async fn post(http: &reqwest::Client, row: Row) -> Ended {
    let webhook = &row.webhook;
    let mut request = http.post(&webhook.url).header("content-type", "application/json");
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    let answer = match request.body(webhook.body.clone()).send().await {
        Ok(response) => {
            let status = response.status();
            // A connection is used again only when its last answer was read to the end; the status
            // counts whatever becomes of the rest.
            drop(response.bytes().await);
            Ok(status)
        }
        Err(error) => Err(error.without_url().to_string()),
    };
    (row, answer)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::path::Path;

    use http::StatusCode;

    use super::{Outbox, Webhook, client, list};
    use crate::clock::Clock;
    use crate::store::Batch;
    use crate::store::tests::store_in;

    async fn outbox_in(folder: &Path) -> Outbox {
        let clock = Clock::new(1.0).unwrap();
        Outbox::open(store_in(folder).await, clock, client().unwrap()).await.unwrap()
    }

    fn webhook(subject: &str, due_ms: i64) -> Webhook {
        let headers = BTreeMap::from([("X-Key".to_owned(), "value".to_owned())]);
        let url = "http://127.0.0.1:1/hook".to_owned();
        Webhook { subject: subject.into(), url, headers, body: "{}".into(), due_ms }
    }

    fn subjects(taken: &[super::Row]) -> Vec<String> {
        taken.iter().map(|row| row.webhook.subject.clone()).collect()
    }

    #[tokio::test]
    async fn what_ended_together_is_marked_together_and_each_by_its_own_answer() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox_in(folder.path()).await;
        let webhooks = ["taken", "refused", "lost", "taken"].map(|subject| webhook(subject, 1));
        outbox.write(Batch::default(), webhooks.into()).await.unwrap();

        let mut busy = HashSet::new();
        let now = outbox.clock.now();
        let taken = outbox.take_due(now, 9, &mut busy);
        assert_eq!(subjects(&taken), ["taken", "refused", "lost"], "a subject is sent one by one");
        let answers = [Ok(StatusCode::OK), Ok(StatusCode::BAD_GATEWAY), Err("no route".into())];
        outbox.settle(&mut busy, &mut taken.into_iter().zip(answers).collect()).await;
        assert!(busy.is_empty());

        let told = list(&outbox.store.pool).await.unwrap();
        let column = |name: &str| told.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        assert_eq!(column("delivered"), [true, false, false, false]);
        assert_eq!(column("attempts"), [1, 1, 1, 0]);
        assert_eq!(column("last_answer")[1], "502 Bad Gateway");
        assert_eq!(column("last_answer")[2], "no route");
        for outbox in [&outbox, &outbox_in(folder.path()).await] {
            let at_once = outbox.take_due(now, 9, &mut HashSet::new());
            assert_eq!(subjects(&at_once), ["taken"], "the others wait after a failure");
            let later = outbox.take_due(now + 60_000, 9, &mut HashSet::new());
            assert_eq!(subjects(&later), ["refused", "lost"]);
            assert!(later.iter().all(|row| row.attempts == 1));
        }
    }

    #[tokio::test]
    async fn a_webhook_that_waited_at_a_restart_keeps_its_time_and_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let before = outbox_in(folder.path()).await;
        let now = before.clock.now();
        let first = vec![webhook("held back", now + 60_000), webhook("due", now)];
        before.write(Batch::default(), first).await.unwrap();

        let after = outbox_in(folder.path()).await;
        after.write(Batch::default(), vec![webhook("new", now)]).await.unwrap();
        assert_eq!(after.waiting.lock().unwrap().next_after(now), Some(now + 60_000));
        let taken = after.take_due(now, 9, &mut HashSet::new());
        assert_eq!(subjects(&taken), ["due", "new"]);
        assert_eq!(taken[0].webhook.headers["X-Key"], "value");
        assert!(taken[1].seq > taken[0].seq);
    }

    #[tokio::test]
    async fn no_more_are_taken_than_may_be_in_flight() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox_in(folder.path()).await;
        let webhooks = ["a", "b", "c"].map(|subject| webhook(subject, 1));
        outbox.write(Batch::default(), webhooks.into()).await.unwrap();
        let mut busy = HashSet::new();
        assert_eq!(subjects(&outbox.take_due(2, 2, &mut busy)), ["a", "b"]);
        assert_eq!(subjects(&outbox.take_due(2, 2, &mut busy)), ["c"]);
    }
}
