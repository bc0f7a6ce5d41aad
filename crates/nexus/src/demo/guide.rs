//! Leads through the steps: makes the calls, and shows each with what came of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::screen::{Screen, took};
use crate::client::{Answer, CallError, Client, encoded, rows, text};

/// How long a consequence may take to show.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(40);

/// A status that the order reached.
pub(crate) struct Reached {
    pub(crate) status: String,
    pub(crate) after: Duration,
    pub(crate) by: String,
}

pub(crate) struct Guide {
    pub(crate) client: Client,
    pub(crate) screen: Screen,
    /// Names this run in idempotency keys: the next run makes an order of its own.
    pub(crate) run: String,
    pub(crate) order_id: String,
    pub(crate) reached: Vec<Reached>,
    began: Instant,
    step_began: Instant,
    steps: u32,
    calls: u32,
    last_call: String,
    position: String,
    seen: BTreeSet<String>,
}

impl Guide {
    pub(crate) fn new(client: Client, screen: Screen) -> Self {
        let now = Instant::now();
        Self {
            client,
            screen,
            run: nexus_es::new_id().to_string(),
            order_id: String::new(),
            reached: Vec::new(),
            began: now,
            step_began: now,
            steps: 0,
            calls: 0,
            last_call: String::new(),
            position: String::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Time since the walk began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A step begins.
    pub(crate) fn step(&mut self, title: &str) {
        self.steps += 1;
        self.step_began = Instant::now();
        self.position.clear();
        println!("\n{}", self.screen.bold(&format!("{:>2}  {title}", self.steps)));
    }

    /// Something worth knowing.
    pub(crate) fn tell(&self, line: &str) {
        println!("    {line}");
    }

    /// A step ends: the events it caused, and how long it took.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        self.show_events().await?;
        println!("    {}", self.screen.dim(&format!("took {}", took(self.step_began.elapsed()))));
        Ok(())
    }

    /// Shows the events that came since it last showed some.
    pub(crate) async fn show_events(&mut self) -> anyhow::Result<()> {
        if self.order_id.is_empty() {
            return Ok(());
        }
        let position = encoded(&self.position);
        let path = format!("/v1/orders/{}/timeline?min_position={position}", self.order_id);
        let timeline = self.client.get(&path).await?;
        for entry in rows(&timeline, "entries") {
            if self.seen.insert(text(entry, "event_id").to_owned()) {
                let event = format!("{:<34}", text(entry, "type"));
                let position = self.screen.dim(text(entry, "position"));
                println!("    {} {} {position}", self.screen.event("●"), self.screen.event(&event));
            }
        }
        Ok(())
    }

    /// A call that changes something, shown with the time it took.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        Ok(self.call(path, body).await?.body)
    }

    /// A call that makes something; what was there already is as good.
    pub(crate) async fn make(&mut self, path: &str, body: &Value) -> anyhow::Result<bool> {
        match self.call(path, body).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn call(&mut self, path: &str, body: &Value) -> Result<Answer, CallError> {
        self.calls += 1;
        let key = format!("demo-{}-{}", self.run, self.calls);
        let began = Instant::now();
        let answer = self.client.post(path, &key, body).await;
        self.last_call = format!("POST {path}");
        let call = self.screen.dim(&format!("POST {path}"));
        let known = match &answer {
            Err(error) if error.is_conflict() => ", there already",
            _ => "",
        };
        println!("    {call}  {}{known}", took(began.elapsed()));
        if let Ok(answer) = &answer {
            text(&answer.body, "position").clone_into(&mut self.position);
        }
        answer
    }

    pub(crate) async fn order(&self) -> Result<Value, CallError> {
        self.client.get(&format!("/v1/orders/{}", self.order_id)).await
    }

    /// Waits until the order shows a status, and keeps when that was.
    pub(crate) async fn reach(&mut self, status: &str) -> anyhow::Result<()> {
        let shown = async || {
            let order = self.order().await?;
            Ok((text(&order, "status") == status).then_some(order))
        };
        let waited = until(&format!("the order to be {status}"), PATIENCE, shown).await;
        if let Err(error) = waited {
            let order = self.order().await?;
            return Err(error.context(format!("the order is {}", text(&order, "status"))));
        }
        self.note(status, self.last_call.clone());
        self.tell(&format!("the order is {}", self.screen.good(status)));
        Ok(())
    }

    /// Keeps that the order reached a status just now.
    pub(crate) fn note(&mut self, status: &str, by: String) {
        let after = self.elapsed();
        self.reached.push(Reached { status: status.to_owned(), after, by });
    }
}

/// Asks until there is an answer; says what it waited for when none came in time.
pub(crate) async fn until<T>(
    what: &str,
    patience: Duration,
    ask: impl AsyncFn() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await.with_context(|| format!("cannot wait for {what}"))? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {} for {what}", took(patience));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_first_answer() {
        let asked = Cell::new(0);
        let ask = async || {
            asked.set(asked.get() + 1);
            Ok((asked.get() == 3).then_some("there"))
        };
        assert_eq!(until("it", PATIENCE, ask).await.unwrap(), "there");
    }

    #[tokio::test]
    async fn waiting_in_vain_says_for_what() {
        let nothing = async || anyhow::Ok(None::<()>);
        let error = until("the parcel", Duration::ZERO, nothing).await.unwrap_err();
        assert_eq!(error.to_string(), "waited 0 ms for the parcel");
    }
}
