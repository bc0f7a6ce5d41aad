//! Faults that can be switched on: which there are, which are armed, and for how many things.
//! *Invariant:* an armed fault meets exactly as many of the next matching things as was asked.

use std::sync::{Mutex, MutexGuard};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use crate::failure::Error;
use crate::store::{Batch, locked};

/// A fault a server knows.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// True when it meets a call, false when it meets what a call made.
    pub(crate) on_call: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Armed {
    seq: i64,
    pub(crate) fault: String,
    times: i64,
    pub(crate) options: Map<String, Value>,
}

impl Armed {
    pub(crate) fn number(&self, option: &str) -> Option<u64> {
        self.options.get(option).and_then(Value::as_u64)
    }

    pub(crate) fn text(&self, option: &str) -> Option<&str> {
        self.options.get(option).and_then(Value::as_str)
    }
}

/// The body of `POST /_control/faults`.
#[derive(Debug, Deserialize)]
pub(crate) struct Switch {
    fault: String,
    #[serde(default = "once")]
    times: i64,
    #[serde(flatten)]
    options: Map<String, Value>,
}

const fn once() -> i64 {
    1
}

#[derive(Debug)]
pub(crate) struct Faults {
    pool: SqlitePool,
    known: &'static [Known],
    calls: &'static [&'static str],
    armed: Mutex<Vec<Armed>>,
}

impl Faults {
    /// `calls` are the names that the option `on` may take, the first being its default.
    pub(crate) async fn open(
        pool: SqlitePool,
        known: &'static [Known],
        calls: &'static [&'static str],
    ) -> Result<Self, Error> {
        let rows: Vec<(i64, String, i64, String)> =
            sqlx::query_as("SELECT seq, fault, times, options FROM fault ORDER BY seq")
                .fetch_all(&pool)
                .await?;
        let mut armed = Vec::with_capacity(rows.len());
        for (seq, fault, times, options) in rows {
            armed.push(Armed { seq, fault, times, options: serde_json::from_str(&options)? });
        }
        Ok(Self { pool, known, calls, armed: Mutex::new(armed) })
    }

    /// Switches a fault on, or says what is wrong with the request.
    pub(crate) async fn arm(&self, switch: Switch) -> Result<Result<(), String>, Error> {
        if let Some(problem) = self.problem(&switch) {
            return Ok(Err(problem));
        }
        let Switch { fault, times, options } = switch;
        let seq: i64 = sqlx::query_scalar(
            "INSERT INTO fault (fault, times, options) VALUES ($1, $2, $3) RETURNING seq",
        )
        .bind(&fault)
        .bind(times)
        .bind(serde_json::to_string(&options)?)
        .fetch_one(&self.pool)
        .await?;
        self.lock().push(Armed { seq, fault, times, options });
        Ok(Ok(()))
    }

    fn problem(&self, switch: &Switch) -> Option<String> {
        let Some(known) = self.known.iter().find(|known| known.name == switch.fault) else {
            let names: Vec<_> = self.known.iter().map(|known| known.name).collect();
            let fault = &switch.fault;
            return Some(format!("unknown fault {fault:?}; known are {}", names.join(", ")));
        };
        if !(1..=1_000_000).contains(&switch.times) {
            return Some(format!("times must be 1 to 1000000, not {}", switch.times));
        }
        if known.on_call && switch.options.contains_key("reference") {
            return Some(format!("{} meets a call, so it takes no \"reference\"", known.name));
        }
        match switch.options.get("on") {
            Some(_) if !known.on_call => {
                Some(format!("{} does not meet a call, so it takes no \"on\"", known.name))
            }
            Some(Value::String(on)) if on == "any" || self.calls.contains(&on.as_str()) => None,
            Some(on) => {
                Some(format!("\"on\" must be any or one of {}, not {on}", self.calls.join(", ")))
            }
            None => None,
        }
    }

    /// The fault that meets this call, if one is armed for it.
    pub(crate) async fn take_for_call(&self, call: &str) -> Result<Option<Armed>, Error> {
        let default = self.calls.first().copied().unwrap_or_default();
        let taken = self.take_from_memory(|armed| {
            let on = armed.text("on").unwrap_or(default);
            self.is_on_call(&armed.fault) && (on == "any" || on == call)
        });
        if let Some(taken) = &taken {
            one_less(taken).build().execute(&self.pool).await?;
        }
        Ok(taken)
    }

    /// One of the named faults, the one armed first, taken with the change that it bends. One that
    /// was armed with a `reference` waits for the thing that has it.
    pub(crate) fn take_named(
        &self,
        batch: &mut Batch,
        names: &[&str],
        references: &[Option<&str>],
    ) -> Option<Armed> {
        let taken = self.take_from_memory(|armed| {
            let wanted = armed.text("reference");
            names.contains(&armed.fault.as_str())
                && (wanted.is_none() || references.contains(&wanted))
        });
        if let Some(taken) = &taken {
            batch.add(one_less(taken));
        }
        taken
    }

    fn take_from_memory(&self, matches: impl Fn(&Armed) -> bool) -> Option<Armed> {
        let mut armed = self.lock();
        let first = armed.iter_mut().find(|armed| matches(armed))?;
        first.times -= 1;
        let taken = first.clone();
        armed.retain(|armed| armed.times > 0);
        Some(taken)
    }

    fn is_on_call(&self, fault: &str) -> bool {
        self.known.iter().any(|known| known.name == fault && known.on_call)
    }

    pub(crate) async fn clear(&self) -> Result<(), Error> {
        self.lock().clear();
        sqlx::query("DELETE FROM fault").execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) fn list(&self) -> Value {
        let armed: Vec<_> = self
            .lock()
            .iter()
            .map(|armed| {
                json!({"fault": armed.fault, "times": armed.times, "options": armed.options})
            })
            .collect();
        let known: Vec<_> = self
            .known
            .iter()
            .map(|known| json!({"fault": known.name, "about": known.about}))
            .collect();
        json!({"armed": armed, "known": known, "on": self.calls})
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        locked(&self.armed)
    }
}

fn one_less(taken: &Armed) -> QueryBuilder<Sqlite> {
    let mut statement = QueryBuilder::new(if taken.times == 0 {
        "DELETE FROM fault WHERE seq = "
    } else {
        "UPDATE fault SET times = times - 1 WHERE seq = "
    });
    statement.push_bind(taken.seq);
    statement
}
